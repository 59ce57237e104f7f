#include "api/weir/v2/access_bindings.pb.h"
#include "libs/resource/checks.h"
#include "libs/resource/kinds.h"
#include "libs/resource/kinds/rules.h"
#include "libs/resource/validate.h"

namespace weir::resource {
namespace {

void FillIn(v2::AccessBindings& bindings) {
  for (auto& binding : *bindings.mutable_allow()) {
    const std::string role = CanonicalRole(binding.role());
    if (!role.empty()) binding.set_role(role);
  }
}

void CheckSubject(const v2::Subject& subject, const std::string& at, int index, Checker& check) {
  const std::string field = fmt::format("{}.subjects[{}]", at, index);
  if (subject.subject_case() == v2::Subject::SUBJECT_NOT_SET) return check.Add(field, "needs one of user, team");
  const bool team = subject.has_team();
  const auto fqn = ParseFqn(team ? subject.team() : subject.user());
  const Kind kind = team ? Kind::kTeam : Kind::kUser;
  check.Require(fqn.ok() && fqn->kind == kind, field + (team ? ".team" : ".user"),
                team ? "must be the full name of a team, like organizations/o/teams/t"
                     : "must be the full name of a user, like organizations/o/users/u");
}

void Check(const v2::AccessBindings& bindings, Checker& check) {
  for (int i = 0; i < bindings.allow_size(); ++i) {
    const std::string at = fmt::format("allow[{}]", i);
    const auto& binding = bindings.allow(i);
    check.Require(!CanonicalRole(binding.role()).empty(), at + ".role",
                  "must be rbac/admin, rbac/creator, rbac/editor, rbac/writer or rbac/reader");
    check.Require(binding.subjects_size() > 0, at + ".subjects", "required: at least one");
    for (int j = 0; j < binding.subjects_size(); ++j) CheckSubject(binding.subjects(j), at, j, check);
  }
}

std::vector<std::string> Summary(const v2::AccessBindings& bindings) {
  std::vector<std::string> parts;
  for (const auto& binding : bindings.allow()) {
    parts.push_back(fmt::format("{}: {} subjects", binding.role(), binding.subjects_size()));
  }
  return parts;
}

}  // namespace

KindRules AccessBindingsRules() {
  return RulesOf<v2::AccessBindings>{
      .summary = Summary,
      .fill_in = FillIn,
      .check = Check,
      .moved = {{"spec.allow", "allow"}},
      .not_served = {{"Subject", {"serviceAccount"}, "user, or team"}},
  }
      .Rules();
}

}  // namespace weir::resource
