#include "api/weir/v2/access_bindings.pb.h"
#include "libs/resource/checks.h"
#include "libs/resource/kinds.h"
#include "libs/resource/kinds/rules.h"
#include "libs/resource/rights.h"

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
  const auto is = [&](const std::string& text, Kind kind, const char* key, const char* needed) {
    const auto fqn = ParseFqn(text);
    check.Require(fqn.ok() && fqn->kind == kind, field + key, needed);
  };
  switch (subject.subject_case()) {
    case v2::Subject::kUser:
      return is(subject.user(), Kind::kUser, ".user", "must be the full name of a user, like organizations/o/users/u");
    case v2::Subject::kTeam:
      return is(subject.team(), Kind::kTeam, ".team", "must be the full name of a team, like organizations/o/teams/t");
    case v2::Subject::kServiceAccount:
      return is(subject.service_account(), Kind::kServiceAccount, ".serviceAccount",
                "must be the full name of a service account, like organizations/o/serviceaccounts/s");
    case v2::Subject::SUBJECT_NOT_SET:
      check.Add(field, "needs one of user, team, serviceAccount");
  }
}

void Check(const v2::AccessBindings& bindings, Checker& check) {
  for (int i = 0; i < bindings.allow_size(); ++i) {
    const std::string at = fmt::format("allow[{}]", i);
    const auto& binding = bindings.allow(i);
    check.Require(!CanonicalRole(binding.role()).empty(), at + ".role",
                  "must be rbac/admin, rbac/creator, rbac/editor, rbac/writer, rbac/reader or rbac/<name of a Role>");
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
  }
      .Rules();
}

}  // namespace weir::resource
