#include "api/weir/v2/status.pb.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/services.h"
#include "mgmt-server/services/waits.h"
#include "mgmt-server/store/store.h"

namespace weir::services {

void AddStatuses(MethodTable& table, const Backends& backends, std::shared_ptr<Waits> waits) {
  table.Add<v2::GetStatusRequest, v2::ResourceStatus>(
      "weir.v2.Statuses.GetStatus",
      [&backends, waits](CallContext& call, const v2::GetStatusRequest& request) -> Result<v2::ResourceStatus> {
        Error error = InvalidArgument("INVALID_REQUEST", "the call is not complete");
        Waits::Check(request.wait(), request.wait_seconds(), error.violations);
        if (!error.violations.empty()) return error;
        const store::ViewPtr view = backends.store->Read();
        WEIR_TRY(authz::Authorize(*view, call.principal, authz::Right::kRead, request.fqn()));
        if (request.wait().empty()) return backends.status(request.fqn());
        const store::ResourcePtr resource = view->Get(request.fqn());
        if (resource == nullptr) return authz::Missing(request.fqn());
        WEIR_ASSIGN(const auto statuses, waits->Applied({resource->fqn}, resource->revision, request.wait_seconds()));
        return statuses.front();
      });
  table.Add<v2::ListStatusesRequest, v2::ListStatusesResponse>(
      "weir.v2.Statuses.ListStatuses",
      [&backends](CallContext& call, const v2::ListStatusesRequest& request) -> Result<v2::ListStatusesResponse> {
        const store::ViewPtr view = backends.store->Read();
        WEIR_TRY(authz::Authorize(*view, call.principal, authz::Right::kRead, request.parent()));
        WEIR_ASSIGN(std::vector<v2::ResourceStatus> statuses, backends.statuses(request.parent()));
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
