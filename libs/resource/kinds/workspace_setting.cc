#include "api/weir/v2/workspace_setting.pb.h"
#include "libs/resource/kinds/rules.h"
#include "libs/resource/kinds/settings.h"

namespace weir::resource {
KindRules WorkspaceSettingRules() {
  return RulesOf<v2::WorkspaceSetting>{
      .summary = FailoverSummary<v2::WorkspaceSetting>,
      .check = CheckFailover<v2::WorkspaceSetting>,
      .moved = {{"spec.regionalFailover", "spec.failoverSettings.regionalFailover"}},
      .not_served = {{"WorkspaceSettingSpec",
                      {"defaultTrafficSetting", "defaultSecuritySetting", "defaultEastWestGatewaySettings",
                       "hostsReachability"},
                      ""}},
      .effect = Effect::kDefaults,
  }
      .Rules();
}

}  // namespace weir::resource
