#include "api/weir/v2/tenant.pb.h"
#include "libs/resource/kinds/rules.h"

namespace weir::resource {

KindRules TenantRules() {
  return RulesOf<v2::Tenant>{
      .summary = [](const v2::Tenant& it) -> std::vector<std::string> { return {it.metadata().display_name()}; },
      .not_served = {{"TenantSpec", {"securityDomain"}, ""},
                     {"TenantSpec", {"profiles"}, std::string(kInsteadOfProfiles)}},
  }
      .Rules();
}

}  // namespace weir::resource
