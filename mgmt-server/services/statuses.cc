#include "api/weir/v2/status.pb.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/services.h"
#include "mgmt-server/services/waits.h"
#include "mgmt-server/store/store.h"

namespace weir::services {

namespace {

Result<MessagePtr> GetStatus(const Backends& backends, Waits& waits, CallContext& call,
                             const v2::GetStatusRequest& request) {
  Error error = InvalidArgument("INVALID_REQUEST", "the call is not complete");
  Waits::Check(request.wait(), request.wait_seconds(), error.violations);
  if (!error.violations.empty()) return error;
  const store::ViewPtr view = backends.store->Read();
  WEIR_TRY(authz::Authorize(*view, call.principal, authz::Right::kRead, request.fqn()));
  if (request.wait().empty()) {
    WEIR_ASSIGN(v2::ResourceStatus status, backends.fleet->Status(request.fqn()));
    return MessagePtr(new v2::ResourceStatus(std::move(status)));
  }
  const store::ResourcePtr resource = view->Get(request.fqn());
  if (resource == nullptr) return authz::Missing(request.fqn());
  WEIR_TRY(waits.Start(call, {{resource->fqn}, resource->revision, request.wait_seconds()},
                       [](std::vector<v2::ResourceStatus> statuses) -> MessagePtr {
                         if (statuses.empty()) return std::make_unique<v2::ResourceStatus>();
                         return std::make_unique<v2::ResourceStatus>(std::move(statuses.front()));
                       }));
  return MessagePtr();
}

}  // namespace

void AddStatuses(MethodTable& table, const Backends& backends, std::shared_ptr<Waits> waits) {
  table.Add("weir.v2.Statuses.GetStatus",
            [&backends, waits](CallContext& call, const google::protobuf::Message& message) {
              return GetStatus(backends, *waits, call, static_cast<const v2::GetStatusRequest&>(message));
            });
  table.Add<v2::ListStatusesRequest, v2::ListStatusesResponse>(
      "weir.v2.Statuses.ListStatuses",
      [&backends](CallContext& call, const v2::ListStatusesRequest& request) -> Result<v2::ListStatusesResponse> {
        const store::ViewPtr view = backends.store->Read();
        // Who has a role somewhere below sees the states of what that role shows.
        if (!authz::SeesBelow(*view, call.principal, request.parent())) {
          WEIR_TRY(authz::Authorize(*view, call.principal, authz::Right::kRead, request.parent()));
        }
        WEIR_ASSIGN(std::vector<v2::ResourceStatus> statuses, backends.fleet->Statuses(request.parent()));
        v2::ListStatusesResponse response;
        for (v2::ResourceStatus& status : statuses) {
          const store::ResourcePtr resource = view->Get(status.fqn());
          if (resource == nullptr || resource->kind == authz::kBindingsKind) continue;  // Bindings reach no gateway.
          if (!authz::Allowed(*view, call.principal, authz::Right::kRead, *resource)) continue;
          *response.add_items() = std::move(status);
        }
        return response;
      });
}

}  // namespace weir::services
