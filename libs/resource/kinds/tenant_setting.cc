#include "api/weir/v2/tenant_setting.pb.h"
#include "libs/resource/kinds/rules.h"
#include "libs/resource/kinds/settings.h"

namespace weir::resource {
KindRules TenantSettingRules() {
  return RulesOf<v2::TenantSetting>{
      .summary = FailoverSummary<v2::TenantSetting>,
      .check = CheckFailover<v2::TenantSetting>,
      .moved = {},
      .not_served = {{"TenantSettingSpec", {"defaultTrafficSetting", "defaultSecuritySetting"}, ""}},
      .effect = Effect::kDefaults,
  }
      .Rules();
}

}  // namespace weir::resource
