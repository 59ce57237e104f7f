#include "api/weir/v2/workspace_setting.pb.h"
#include "libs/resource/checks.h"
#include "libs/resource/kinds/rules.h"
#include "libs/resource/kinds/settings.h"

namespace weir::resource {
namespace {

void Check(const v2::WorkspaceSetting& setting, Checker& check) {
  check.Failover(setting.spec().failover_settings(), "spec.failoverSettings");
}

}  // namespace

KindRules WorkspaceSettingRules() {
  return RulesOf<v2::WorkspaceSetting>{
      .summary = FailoverSummary<v2::WorkspaceSetting>,
      .check = Check,
      .moved = {{"spec.regionalFailover", "spec.failoverSettings.regionalFailover"}},
      .not_served = {{"WorkspaceSettingSpec",
                      {"defaultTrafficSetting", "defaultSecuritySetting", "defaultEastWestGatewaySettings",
                       "hostsReachability"},
                      ""}},
      .effect = Effect::kDefaults,
      .failover = FailoverOfSetting<v2::WorkspaceSetting>,
  }
      .Rules();
}

}  // namespace weir::resource
