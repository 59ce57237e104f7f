#include "api/weir/v2/organization_setting.pb.h"
#include "libs/resource/checks.h"
#include "libs/resource/kinds/rules.h"
#include "libs/resource/kinds/settings.h"
#include "libs/resource/routes.h"

namespace weir::resource {
namespace {

void Check(const v2::OrganizationSetting& setting, Checker& check) {
  CheckFailover(setting, check);
  check.Require(IsWithin(setting.spec().expired_identity_grace(), 3600), "spec.expiredIdentityGrace",
                "must be 0 s to 1 h");
}

}  // namespace

KindRules OrganizationSettingRules() {
  return RulesOf<v2::OrganizationSetting>{
      .summary = FailoverSummary<v2::OrganizationSetting>,
      .check = Check,
      .moved = {{"spec.regionalFailover", "spec.failoverSettings.regionalFailover"}},
      .not_served = {{"OrganizationSettingSpec",
                      {"networkSettings"},
                      "tier-1 gateways reach every cluster whose tier-2 gateways admit theirs: Cluster "
                      "spec.tier1Cluster says whose"},
                     {"OrganizationSettingSpec", {"defaultTrafficSetting", "defaultSecuritySetting"}, ""}},
      .effect = Effect::kDefaults,
  }
      .Rules();
}

}  // namespace weir::resource
