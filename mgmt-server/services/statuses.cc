#include "api/weir/v2/status.pb.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/services.h"
#include "mgmt-server/store/store.h"

namespace weir::services {

void AddStatuses(MethodTable& table, const Backends& backends) {
  table.Add<v2::GetStatusRequest, v2::ResourceStatus>(
      "weir.v2.Statuses.GetStatus",
      [&backends](CallContext& call, const v2::GetStatusRequest& request) -> Result<v2::ResourceStatus> {
        const store::ViewPtr view = backends.store->Read();
        WEIR_TRY(authz::Authorize(*view, call.principal, authz::Right::kRead, request.fqn()));
        return backends.status(request.fqn());
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
