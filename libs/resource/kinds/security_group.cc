#include "api/weir/v2/security_group.pb.h"
#include "libs/resource/checks.h"
#include "libs/resource/kinds/rules.h"

namespace weir::resource {
namespace {

void Check(const v2::SecurityGroup& group, Checker& check) {
  check.Namespaces(group.spec().namespace_selector());
  check.Require(v2::ConfigMode_IsValid(group.spec().config_mode()), "spec.configMode", "must be BRIDGED or DIRECT");
}

std::vector<std::string> Summary(const v2::SecurityGroup& group) {
  std::vector<std::string> parts{v2::ConfigMode_Name(group.spec().config_mode())};
  for (const auto& name : group.spec().namespace_selector().names()) parts.push_back(name);
  return parts;
}

}  // namespace

KindRules SecurityGroupRules() {
  return RulesOf<v2::SecurityGroup>{
      .summary = Summary,
      .check = Check,
      .not_served = {{"SecurityGroupSpec", {"securityDomain"}, ""},
                     {"SecurityGroupSpec", {"profiles"}, "OrganizationSetting, TenantSetting and WorkspaceSetting"}},
      .namespaces = [](const v2::SecurityGroup& it) -> const v2::NamespaceSelector& {
        return it.spec().namespace_selector();
      },
      .all_namespaces_if_empty = true,
  }
      .Rules();
}

}  // namespace weir::resource
