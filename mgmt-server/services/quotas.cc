#include "mgmt-server/services/quotas.h"

#include <google/protobuf/message.h>
#include <google/protobuf/util/message_differencer.h>

#include "api/weir/v2/organization_setting.pb.h"
#include "api/weir/v2/quota.pb.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/services.h"

namespace weir::services {
namespace {

Error Exceeded(std::string_view tenant, std::string_view quota, int64_t used, int64_t limit) {
  return ResourceExhausted("QUOTA_EXCEEDED",
                           "the quota {} of {} is reached: {} of {}; make room, or ask an administrator of the "
                           "organization to raise it (OrganizationSetting spec.tenantQuotas)",
                           quota, tenant, used, limit);
}

void Take(const v2::TenantQuota& said, Quota& quota) {
  if (said.objects() > 0) quota.objects = said.objects();
  if (said.watches() > 0) quota.watches = said.watches();
}

std::string UidOf(const store::View& view, std::string_view tenant) {
  const store::ResourcePtr stored = view.Get(tenant);
  return stored == nullptr ? "" : stored->uid;
}

}  // namespace

std::string_view TenantOf(std::string_view fqn) {
  const std::string_view tenant = resource::FirstNames(fqn, 2);
  const bool is = tenant.substr(resource::OrganizationFqn(fqn).size()).starts_with("/tenants/");
  return is ? tenant : std::string_view();
}

Quota QuotaOf(const store::View& view, std::string_view tenant) {
  Quota quota;
  const std::string organization = resource::ParentFqn(tenant);
  view.ForEach(organization, "OrganizationSetting", [&](const store::ResourcePtr& stored) {
    v2::OrganizationSetting setting;
    if (!setting.ParseFromString(stored->body)) return true;
    Take(setting.spec().tenant_quota(), quota);
    const auto own = setting.spec().tenant_quotas().find(std::string(resource::LastName(tenant)));
    if (own != setting.spec().tenant_quotas().end()) Take(own->second, quota);
    return false;  // There is one.
  });
  return quota;
}

// Each has its bindings beside it, and so has the tenant.
int64_t ObjectsOf(const store::View& view, std::string_view tenant) {
  return static_cast<int64_t>(view.CountBelow(tenant) / 2);
}

Status CheckObjects(const store::View& view, std::string_view fqn) {
  const std::string_view tenant = TenantOf(fqn);
  if (tenant.empty() || tenant == fqn) return {};
  const int64_t used = ObjectsOf(view, tenant), limit = QuotaOf(view, tenant).objects;
  if (used < limit) return {};
  return Exceeded(tenant, "objects", used, limit);
}

bool ChangesQuotas(const google::protobuf::Message* before, const google::protobuf::Message& after) {
  if (after.GetDescriptor() != v2::OrganizationSetting::descriptor()) return false;
  const auto quotas = [](const google::protobuf::Message* message) {
    v2::OrganizationSettingSpec only;
    if (message == nullptr) return only;
    const auto& spec = static_cast<const v2::OrganizationSetting&>(*message).spec();
    if (spec.has_tenant_quota()) *only.mutable_tenant_quota() = spec.tenant_quota();
    *only.mutable_tenant_quotas() = spec.tenant_quotas();
    return only;
  };
  return !google::protobuf::util::MessageDifferencer::Equals(quotas(before), quotas(&after));
}

Result<bool> SetsQuotas(const store::StoredResource& stored) {
  if (stored.kind != resource::Info(resource::Kind::kOrganizationSetting).name) return false;
  WEIR_ASSIGN(const MessagePtr said, ToMessage(stored));
  return ChangesQuotas(said.get(), v2::OrganizationSetting());
}

Result<std::shared_ptr<const void>> WatchQuota::Take(const store::View& view, std::string_view tenant) {
  const std::string uid = UidOf(view, tenant);
  const int64_t limit = QuotaOf(view, tenant).watches;
  MutexLock lock(taken_->mutex);
  int64_t& used = taken_->by_uid[uid];
  if (used >= limit) return Exceeded(tenant, "watches", used, limit);
  ++used;
  return std::shared_ptr<const void>(this, [taken = taken_, uid](const void*) {
    MutexLock leaving(taken->mutex);
    const auto own = taken->by_uid.find(uid);
    if (--own->second == 0) taken->by_uid.erase(own);
  });
}

int64_t WatchQuota::Used(const store::View& view, std::string_view tenant) const {
  MutexLock lock(taken_->mutex);
  const auto own = taken_->by_uid.find(UidOf(view, tenant));
  return own == taken_->by_uid.end() ? 0 : own->second;
}

void AddQuotas(MethodTable& table, const Backends& backends, std::shared_ptr<const WatchQuota> watches) {
  table.Add<v2::GetQuotaRequest, v2::Quota>(
      "weir.v2.Quotas.GetQuota",
      [&backends, watches](CallContext& call, const v2::GetQuotaRequest& request) -> Result<v2::Quota> {
        const std::string& fqn = request.fqn();
        if (TenantOf(fqn) != fqn || fqn.empty()) {
          return InvalidArgument("BAD_FQN", "\"{}\" is not the full name of a Tenant", fqn.substr(0, 512));
        }
        const store::ViewPtr view = backends.store->Read();
        WEIR_TRY(authz::Authorize(*view, call.principal, authz::Right::kRead, fqn));
        const Quota limits = QuotaOf(*view, fqn);
        v2::Quota quota;
        quota.set_fqn(fqn);
        quota.mutable_objects()->set_used(ObjectsOf(*view, fqn));
        quota.mutable_objects()->set_limit(limits.objects);
        quota.mutable_watches()->set_used(watches->Used(*view, fqn));
        quota.mutable_watches()->set_limit(limits.watches);
        return quota;
      });
}

}  // namespace weir::services
