#include <fmt/format.h>

#include "api/weir/v2/server_state.pb.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/kept_answers.h"
#include "mgmt-server/services/services.h"
#include "mgmt-server/services/writes.h"
#include "mgmt-server/store/store.h"

namespace weir::services {
namespace {

std::string AndAway(const std::vector<std::string>& away) {
  return fmt::format("; {}{} {} not connected", away.front(),
                     away.size() == 1 ? "" : fmt::format(" (and {} more)", away.size() - 1),
                     away.size() == 1 ? "is" : "are");
}

Result<v2::AdoptStateResponse> AdoptState(const Backends& backends, CallContext& call,
                                          const v2::AdoptStateRequest& request) {
  const auto away = backends.fleet->AwayClusters();  // First: who comes meanwhile is in one of the two.
  const auto held = backends.fleet->HeldClusters();
  const auto decide = [&](store::Txn& txn) -> Result<v2::AdoptStateResponse> {
    v2::AdoptStateResponse response;
    *response.mutable_away() = {away.begin(), away.end()};
    *response.mutable_held() = {held.begin(), held.end()};
    WEIR_ASSIGN(const authz::Decision decision,
                authz::Authorize(txn.view(), call.principal, authz::Right::kSetPolicy, ""));
    response.set_revision(txn.view().revision());
    if (!request.confirm()) return response;
    if (held.empty()) {
      return FailedPrecondition("NOTHING_TO_ADOPT", "no cluster that is connected keeps another state{}",
                                away.empty() ? "; there is nothing to decide" : AndAway(away));
    }
    if (!away.empty() && !request.force()) {
      return FailedPrecondition("CLUSTERS_AWAY",
                                "nobody knows what goes back where a cluster is away{}; wait until it is connected, or "
                                "give up by force what it acknowledged",
                                AndAway(away));
    }
    WEIR_TRY(txn.AdoptState());
    WEIR_TRY(Record(txn, call, "adopt-state", nullptr, nullptr, decision.path));
    response.set_adopted(true);
    return response;
  };
  auto response = WriteOnce(backends, call, !request.confirm(), decide);
  if (response.ok() && response->adopted()) backends.fleet->ReleaseHeldClusters();
  return response;
}

Status MayReplace(const v2::ReplaceRootRequest& request, const v2::ReplaceRootResponse& now) {
  const bool gives_up =
      request.step() == v2::ReplaceRootRequest::FINISH && now.phase() != v2::ReplaceRootResponse::RETIRING;
  if (request.step() == v2::ReplaceRootRequest::INTRODUCE || gives_up || request.force() || now.waiting().empty()) {
    return {};
  }
  const v2::RootAwaited& first = now.waiting(0);
  return FailedPrecondition("ROOT_AWAITED", "{}{}{}{}; wait, or go on without them by force", first.cluster(),
                            first.cluster().empty() ? "" : ": ", first.reason(),
                            now.waiting_size() > 1 ? fmt::format(" (and {} more)", now.waiting_size() - 1) : "");
}

Result<v2::ReplaceRootResponse> ReplaceRoot(const Backends& backends, CallContext& call,
                                            const v2::ReplaceRootRequest& request) {
  authz::Decision decision;
  WEIR_TRY(backends.Write(call, [&](store::Txn& txn) -> Status {
    WEIR_ASSIGN(decision, authz::Authorize(txn.view(), call.principal, authz::Right::kSetPolicy, ""));
    return {};
  }));
  WEIR_ASSIGN(v2::ReplaceRootResponse now, backends.fleet->Roots());
  if (request.step() == v2::ReplaceRootRequest::LOOK) return now;
  WEIR_TRY(MayReplace(request, now));
  WEIR_TRY(backends.fleet->ReplaceRoot(request.step()));
  WEIR_TRY(backends.store->Write([&](store::Txn& txn) -> Status {
    return Record(txn, call, "replace-root", nullptr, nullptr,
                  fmt::format("{}{}; {}", v2::ReplaceRootRequest::Step_Name(request.step()),
                              request.force() ? " by force" : "", decision.path));
  }));
  return backends.fleet->Roots();
}

}  // namespace

void AddServerState(MethodTable& table, const Backends& backends) {
  table.Add<v2::GetServerStatusRequest, v2::ServerStatus>(
      "weir.v2.ServerState.GetServerStatus",
      [&backends](CallContext& call, const v2::GetServerStatusRequest&) -> Result<v2::ServerStatus> {
        WEIR_TRY(authz::Authorize(*backends.store->Read(), call.principal, authz::Right::kRead, ""));
        return backends.fleet->ServerStatus();
      });
  table.Add<v2::AdoptStateRequest, v2::AdoptStateResponse>(
      "weir.v2.ServerState.AdoptState", [&backends](CallContext& call, const v2::AdoptStateRequest& request) {
        return AdoptState(backends, call, request);
      });
  table.Add<v2::ReplaceRootRequest, v2::ReplaceRootResponse>(
      "weir.v2.ServerState.ReplaceRoot", [&backends](CallContext& call, const v2::ReplaceRootRequest& request) {
        return ReplaceRoot(backends, call, request);
      });
}

}  // namespace weir::services
