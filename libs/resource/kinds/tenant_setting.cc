#include "api/weir/v2/tenant_setting.pb.h"
#include "libs/resource/checks.h"
#include "libs/resource/kinds/rules.h"
#include "libs/resource/kinds/settings.h"

namespace weir::resource {
namespace {

void Check(const v2::TenantSetting& setting, Checker& check) {
  check.Failover(setting.spec().failover_settings(), "spec.failoverSettings");
}

}  // namespace

KindRules TenantSettingRules() {
  return RulesOf<v2::TenantSetting>{
      .summary = FailoverSummary<v2::TenantSetting>,
      .check = Check,
      .moved = {},
      .not_served = {{"TenantSettingSpec", {"defaultTrafficSetting", "defaultSecuritySetting"}, ""}},
      .effect = Effect::kDefaults,
      .failover = FailoverOfSetting<v2::TenantSetting>,
  }
      .Rules();
}

}  // namespace weir::resource
