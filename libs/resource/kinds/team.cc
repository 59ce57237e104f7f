#include <set>

#include "api/weir/v2/team.pb.h"
#include "libs/resource/checks.h"
#include "libs/resource/kinds.h"
#include "libs/resource/kinds/rules.h"

namespace weir::resource {
namespace {

constexpr int kMaxMembers = 10'000;

void Check(const v2::Team& team, Checker& check) {
  const auto& members = team.spec().members();
  check.Require(members.size() <= kMaxMembers, "spec.members", "must be at most 10000");
  std::set<std::string> seen;
  for (int i = 0; i < members.size(); ++i) {
    const std::string at = fmt::format("spec.members[{}]", i);
    check.Require(IsSubject(members[i]), at,
                  "must be the full name of a user, team or service account, like organizations/o/users/u");
    check.Require(seen.insert(members[i]).second, at, "stands there twice");
  }
}

std::vector<std::string> Summary(const v2::Team& team) {
  std::vector<std::string> parts;
  for (const std::string& member : team.spec().members()) parts.emplace_back(LastName(member));
  return parts;
}

}  // namespace

KindRules TeamRules() {
  return RulesOf<v2::Team>{
      .summary = Summary,
      .check = Check,
      .always = {{"spec.sourceType", {"MANUAL", "LOCAL"}}},
      .not_served = {{"TeamSpec", {"sourceType"}, "members are named here: leave it out"},
                     {"TeamSpec", {"oidcGroups", "externalMembers", "excludeFromJitReconcile"}, "members"}},
  }
      .Rules();
}

}  // namespace weir::resource
