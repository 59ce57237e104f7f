#include "api/weir/v2/organization_setting.pb.h"
#include "libs/resource/checks.h"
#include "libs/resource/kinds/rules.h"
#include "libs/resource/kinds/settings.h"
#include "libs/resource/routes.h"
#include "libs/resource/validate.h"

namespace weir::resource {
namespace {

void CheckQuota(const v2::TenantQuota& quota, const std::string& field, Checker& check) {
  check.Require(quota.objects() >= 0 && quota.objects() <= 50'000, field + ".objects", "must be 1 to 50000");
  check.Require(quota.watches() >= 0 && quota.watches() <= 2'000, field + ".watches", "must be 1 to 2000");
}

void Check(const v2::OrganizationSetting& setting, Checker& check) {
  CheckFailover(setting, check);
  check.Require(IsWithin(setting.spec().expired_identity_grace(), 3600), "spec.expiredIdentityGrace",
                "must be 0 s to 1 h");
  CheckQuota(setting.spec().tenant_quota(), "spec.tenantQuota", check);
  check.Require(setting.spec().tenant_quotas_size() <= 10'000, "spec.tenantQuotas", "at most 10,000 tenants");
  for (const auto& [tenant, quota] : setting.spec().tenant_quotas()) {
    const std::string field = fmt::format("spec.tenantQuotas.{}", tenant);
    check.Require(IsDnsLabel(tenant), field, "is called as no tenant can be");
    CheckQuota(quota, field, check);
  }
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
