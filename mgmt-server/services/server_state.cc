#include "api/weir/v2/server_state.pb.h"
#include "mgmt-server/audit/audit.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/services.h"
#include "mgmt-server/store/store.h"

namespace weir::services {
namespace {

Result<v2::AdoptStateResponse> AdoptState(const Backends& backends, CallContext& call,
                                          const v2::AdoptStateRequest& request) {
  v2::AdoptStateResponse response;
  const auto held = backends.fleet->HeldClusters();
  *response.mutable_held() = {held.begin(), held.end()};
  const auto decide = [&](store::Txn& txn) -> Status {
    WEIR_ASSIGN(const authz::Decision decision,
                authz::Authorize(txn.view(), call.principal, authz::Right::kSetPolicy, ""));
    response.set_revision(txn.view().revision());
    if (!request.confirm()) return {};
    if (held.empty()) {
      return FailedPrecondition("NOTHING_TO_ADOPT", "no cluster keeps another state; there is nothing to decide");
    }
    WEIR_TRY(txn.AdoptState());
    return audit::Append(txn, {.principal = call.principal.fqn,
                               .principal_uid = call.principal.uid,
                               .action = "adopt-state",
                               .fqn = "",
                               .uid = "",
                               .before_etag = "",
                               .after_etag = "",
                               .path = decision.path,
                               .peer = call.peer,
                               .request_id = call.request_id});
  };
  WEIR_TRY(backends.store->Write(decide));
  if (request.confirm()) {
    backends.fleet->ReleaseHeldClusters();
    response.set_adopted(true);
  }
  return response;
}

}  // namespace

void AddServerState(MethodTable& table, const Backends& backends) {
  table.Add<v2::AdoptStateRequest, v2::AdoptStateResponse>(
      "weir.v2.ServerState.AdoptState", [&backends](CallContext& call, const v2::AdoptStateRequest& request) {
        return AdoptState(backends, call, request);
      });
}

}  // namespace weir::services
