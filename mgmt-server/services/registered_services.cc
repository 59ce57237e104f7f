#include <memory>

#include "api/weir/v2/metadata.pb.h"
#include "api/weir/v2/service.pb.h"
#include "libs/base/sha256.h"
#include "libs/facts/check.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/listing.h"
#include "mgmt-server/services/registry.h"
#include "mgmt-server/services/services.h"
#include "mgmt-server/services/writes.h"

namespace weir::services {
namespace {

// One call's look at the registry.
class Look {
 public:
  Look(const Backends& backends, const CallContext& call, Registry& registry)
      : backends_(backends),
        view_(backends.store->Read()),
        services_(registry.Of(*view_)),
        sight_(*view_, call.principal) {}

  const store::View& view() const { return *view_; }
  const store::View& services() const { return *services_; }

  // Whether the caller may see anything of it: what he may, is found out by making it.
  Result<bool> MaySee(const store::StoredResource& stored) {
    WEIR_ASSIGN(const std::unique_ptr<v2::Service> service, Seen(stored));
    return service != nullptr;
  }
  // As the caller may see it; null = not at all.
  Result<std::unique_ptr<v2::Service>> Of(const store::StoredResource& stored) {
    WEIR_ASSIGN(std::unique_ptr<v2::Service> service, Seen(stored));
    if (service == nullptr) return service;
    const std::string organization = resource::ParentFqn(stored.fqn);
    AddHealth(*backends_.fleet, organization, *service);
    v2::Metadata& metadata = *service->mutable_metadata();
    metadata.set_name(std::string(resource::LastName(stored.fqn)));
    metadata.set_organization(std::string(resource::LastName(organization)));
    metadata.set_fqn(stored.fqn);
    // Of what is shown: one of all would tell of clusters that the caller may not see.
    metadata.set_resource_version(Sha256Hex(Serialize(*service)).substr(0, 32));
    return service;
  }

 private:
  Result<std::unique_ptr<v2::Service>> Seen(const store::StoredResource& stored) {
    auto service = std::make_unique<v2::Service>();
    if (!service->ParseFromString(stored.body)) return DataLoss("BAD_BODY", "{} cannot be read", stored.fqn);
    if (!sight_.Narrow(resource::ParentFqn(stored.fqn), *service)) service = nullptr;
    return service;
  }

  const Backends& backends_;
  const store::ViewPtr view_, services_;
  ServiceSight sight_;
};

Result<v2::Service> GetService(const Backends& backends, Registry& registry, CallContext& call,
                               const v2::GetServiceRequest& request) {
  Look look(backends, call, registry);
  const store::ResourcePtr stored = look.services().Get(request.fqn());
  if (stored == nullptr) return authz::Missing(request.fqn());
  WEIR_ASSIGN(std::unique_ptr<v2::Service> service, look.Of(*stored));
  if (service == nullptr) return authz::Missing(request.fqn());
  return std::move(*service);
}

Result<v2::ListServicesResponse> ListServices(const Backends& backends, Registry& registry, const PageTokens& tokens,
                                              CallContext& call, const v2::ListServicesRequest& request) {
  WEIR_ASSIGN(
      const Listing listing,
      Listing::Read({"Service", resource::Kind::kOrganization, v2::Service::descriptor()}, call, request, tokens, 0));
  Look look(backends, call, registry);
  const std::string& above = listing.above();
  if (!above.empty() && !authz::SeesBelow(look.view(), call.principal, above)) {
    WEIR_TRY(authz::Authorize(look.view(), call.principal, authz::Right::kRead, above));
  }
  const auto may_read = [&](const store::StoredResource& stored) { return look.MaySee(stored); };
  const auto render = [&](const store::StoredResource& stored) -> Result<MessagePtr> {
    WEIR_ASSIGN(std::unique_ptr<v2::Service> service, look.Of(stored));
    return MessagePtr(std::move(service));
  };
  WEIR_ASSIGN(Listing::Page page, listing.Fill(look.services(), may_read, render));
  v2::ListServicesResponse answer;
  for (Listing::Item& item : page.items) {
    listing.Mask(*item.message);
    answer.mutable_items()->AddAllocated(static_cast<v2::Service*>(item.message.release()));
  }
  if (!page.last.empty()) {
    WEIR_ASSIGN(*answer.mutable_next_page_token(), tokens.Make(listing.question(), page.last));
  }
  return answer;
}

}  // namespace

void AddServices(MethodTable& table, const Backends& backends, std::shared_ptr<Registry> registry) {
  const auto tokens = std::make_shared<const PageTokens>(*backends.store);
  table.Add<v2::GetServiceRequest, v2::Service>(
      "weir.v2.Services.GetService", [&backends, registry](CallContext& call, const v2::GetServiceRequest& request) {
        return GetService(backends, *registry, call, request);
      });
  table.Add<v2::ListServicesRequest, v2::ListServicesResponse>(
      "weir.v2.Services.ListServices",
      [&backends, registry, tokens](CallContext& call, const v2::ListServicesRequest& request) {
        return ListServices(backends, *registry, *tokens, call, request);
      });
}

}  // namespace weir::services
