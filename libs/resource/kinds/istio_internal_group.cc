#include "api/weir/v2/istio_internal_group.pb.h"
#include "libs/resource/checks.h"
#include "libs/resource/kinds/rules.h"

namespace weir::resource {
namespace {

void Check(const v2::IstioInternalGroup& group, Checker& check) { check.Namespaces(group.spec().namespace_selector()); }

std::vector<std::string> Summary(const v2::IstioInternalGroup& group) {
  std::vector<std::string> parts{};
  for (const auto& name : group.spec().namespace_selector().names()) parts.push_back(name);
  return parts;
}

}  // namespace

KindRules IstioInternalGroupRules() {
  return RulesOf<v2::IstioInternalGroup>{
      .summary = Summary,
      .check = Check,
      .always = {{"spec.configMode", {"DIRECT"}}},
      .not_served = {{"IstioInternalGroupSpec", {"securityDomain"}, ""},
                     {"IstioInternalGroupSpec",
                      {"profiles"},
                      "OrganizationSetting, TenantSetting and WorkspaceSetting"}},
      .namespaces = [](const v2::IstioInternalGroup& it) -> const v2::NamespaceSelector& {
        return it.spec().namespace_selector();
      },
      .all_namespaces_if_empty = true,
  }
      .Rules();
}

}  // namespace weir::resource
