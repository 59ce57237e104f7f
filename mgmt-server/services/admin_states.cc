#include "mgmt-server/services/admin_states.h"

#include <algorithm>
#include <utility>

#include "libs/obs/log.h"
#include "libs/obs/metrics.h"
#include "libs/resource/admin_state.h"
#include "mgmt-server/audit/audit.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/crud.h"
#include "mgmt-server/services/kept_answers.h"
#include "mgmt-server/services/services.h"

namespace weir::services {
namespace {

Status CheckOrder(const v2::SetAdminStateRequest& request) {
  std::vector<FieldViolation> violations;
  const auto violate = [&](const char* field, std::string text) {
    violations.push_back({.field = field, .description = std::move(text)});
  };
  const std::string& reason = request.reason();
  if (reason.size() > resource::kMostAdminReason)
    violate("reason", fmt::format("must be at most {} bytes", resource::kMostAdminReason));
  if (std::any_of(reason.begin(), reason.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }))
    violate("reason", "must not contain control characters");
  const int64_t most = std::chrono::duration_cast<std::chrono::seconds>(resource::kMostAdminTtl).count();
  if (request.ttl_seconds() < -1 || request.ttl_seconds() > most)
    violate("ttlSeconds", fmt::format("must be 1 to {}, or -1 (for good)", most));
  if (violations.empty()) return {};
  Error error = InvalidArgument("INVALID_REQUEST", "the order cannot be followed");
  error.violations = std::move(violations);
  return error;
}

Result<v2::Cluster> ReadCluster(const store::StoredResource& stored) {
  v2::Cluster cluster;
  if (!cluster.ParseFromString(stored.body)) return DataLoss("BAD_BODY", "{} cannot be read", stored.fqn);
  return cluster;
}

Result<store::ResourcePtr> PutCluster(store::Txn& txn, const store::StoredResource& before, const v2::Cluster& cluster,
                                      Owners owners) {
  return txn.Put({.kind = before.kind,
                  .fqn = before.fqn,
                  .body = Serialize(cluster),
                  .field_owners = std::move(owners),
                  .expected_etag = before.etag});
}

// `change`: the stored cluster and the time -> whether it changed.
using Change = std::function<Result<bool>(v2::Cluster&, WallTime)>;
struct Order {
  resource::Fqn cluster;
  const char* action;
  std::string reason;
  bool force = false;  // Nobody is asked who is left; Invariants that it breaks are written down, and broken.
  Change change;
};

// What was found out beforehand of an order, without a write that others wait for.
struct Foreseen {
  v2::AdminState state = v2::ACTIVE;
  std::optional<Leave> leave;  // It takes the cluster out of traffic, and may.
};
Result<Foreseen> Foresee(const Backends& backends, const CallContext& call, const Order& order) {
  const store::ViewPtr view = backends.store->Read();
  WEIR_TRY(authz::Authorize(*view, call.principal, authz::Right::kWrite, order.cluster.text));
  const store::ResourcePtr stored = view->Get(order.cluster.text);
  if (stored == nullptr) return authz::Missing(order.cluster.text);
  WEIR_ASSIGN(const v2::Cluster before, ReadCluster(*stored));
  v2::Cluster after = before;
  WEIR_TRY(order.change(after, backends.clock->Wall()));
  Foreseen foreseen{.state = after.spec().admin_state(), .leave = {}};
  if (order.force || !resource::Leaves(before, after)) return foreseen;
  WEIR_ASSIGN(foreseen.leave, Leave::Judge(backends, &call.principal, order.cluster.text));
  return foreseen;
}

// A verb of its own: it needs no etag, changes nothing else, and what it sets belongs to nobody's documents. `stale`:
// refused because it was judged by what is no longer so.
Result<MessagePtr> Write(const Backends& backends, CallContext& call, const Order& order, const Foreseen& foreseen,
                         bool* stale) {
  const auto write = [&](store::Txn& txn) -> Result<MessagePtr> {
    WEIR_ASSIGN(const authz::Decision decision,
                authz::Authorize(txn.view(), call.principal, authz::Right::kWrite, order.cluster.text));
    const store::ResourcePtr before = txn.Get(order.cluster.text);
    if (before == nullptr) return authz::Missing(order.cluster.text);
    WEIR_ASSIGN(const v2::Cluster was, ReadCluster(*before));
    v2::Cluster cluster = was;
    WEIR_ASSIGN(const bool changed, order.change(cluster, txn.now()));
    if (!changed) return ToMessage(*before);
    const bool leaves = !order.force && resource::Leaves(was, cluster);
    *stale = leaves && !(foreseen.leave && foreseen.leave->Holds(txn.view()));
    if (*stale || cluster.spec().admin_state() != foreseen.state)
      return Aborted("STATE_CHANGED", "admin states were changed in the meantime; look at them and try again");
    Owners owners = before->field_owners;
    owners["spec.adminState"] = ManagerOf(kApiManager, call.principal);
    WEIR_ASSIGN(const store::ResourcePtr after, PutCluster(txn, *before, cluster, std::move(owners)));
    txn.Annotate({.message = order.reason, .change_set = ""});
    WEIR_TRY(Record(txn, call, order.action, before.get(), after.get(), decision.path));
    return ToMessage(*after);
  };
  return WriteOnce(backends, call, false, write, {.asks_tenants = true, .force = order.force});
}

// Judged anew when another cluster left meanwhile; not for ever, others write too.
Result<MessagePtr> Apply(const Backends& backends, CallContext& call, const Order& order) {
  constexpr int kMostTries = 3;
  for (int tries = 1;; ++tries) {
    WEIR_ASSIGN(const Foreseen foreseen, Foresee(backends, call, order));
    bool stale = false;
    auto stored = Write(backends, call, order, foreseen, &stale);
    if (stale && tries < kMostTries) continue;
    return stored;
  }
}

Result<MessagePtr> Set(const Backends& backends, CallContext& call, const v2::SetAdminStateRequest& request,
                       v2::AdminState state, const char* action) {
  WEIR_ASSIGN(const resource::Fqn fqn, ParseFqnOf(resource::Kind::kCluster, request.fqn()));
  WEIR_TRY(CheckOrder(request));
  resource::AdminOrder order{.state = state, .reason = request.reason(), .author = call.principal.fqn};
  if (request.ttl_seconds() != 0) order.ttl = std::chrono::seconds(std::max<int64_t>(0, request.ttl_seconds()));
  return Apply(backends, call,
               {.cluster = fqn,
                .action = action,
                .reason = request.reason(),
                .force = request.force(),
                .change = [&](v2::Cluster& cluster, WallTime now) -> Result<bool> {
                  return SetAdminState(order, now, cluster);
                }});
}

Result<MessagePtr> Undo(const Backends& backends, CallContext& call, const v2::UndoAdminStateRequest& request) {
  WEIR_ASSIGN(const resource::Fqn fqn, ParseFqnOf(resource::Kind::kCluster, request.fqn()));
  return Apply(backends, call,
               {.cluster = fqn,
                .action = "undo",
                .reason = "",
                .force = request.force(),
                .change = [](v2::Cluster& cluster, WallTime now) -> Result<bool> {
                  WEIR_TRY(resource::UndoAdminState(now, cluster));
                  return true;
                }});
}

}  // namespace

AdminStateEnds::AdminStateEnds(const Backends& backends) : backends_(backends) {}

Status AdminStateEnds::Pass(WallTime now) {
  std::set<std::string> ended;
  backends_.store->Read()->ForEach("", "Cluster", [&](const store::ResourcePtr& stored) {
    auto cluster = ReadCluster(*stored);
    if (cluster.ok() && resource::ExpireAdminState(now, *cluster)) ended.insert(stored->fqn);
    return true;
  });
  std::erase_if(kept_, [&](const auto& entry) { return !ended.contains(entry.first); });
  Status first;
  for (const std::string& fqn : ended) {
    Status done = End(fqn, now);
    if (first.ok()) first = std::move(done);
  }
  overdue_ = kept_.size();
  return first;
}

bool AdminStateEnds::MayLeave(const std::string& fqn, const v2::Cluster& before, const v2::Cluster& after,
                              std::optional<Leave>* leave) {
  const MonoTime now = backends_.clock->Now();
  const auto kept = kept_.find(fqn);
  if (kept != kept_.end() && now < kept->second.again) return false;
  if (!backends_.fleet->IsCompiled(backends_.store->Read()->revision())) return false;  // In a moment.
  auto judged = Leave::Judge(backends_, nullptr, fqn);
  if (judged.ok()) {
    *leave = std::move(judged).value();
    return true;
  }
  Kept& entry = kept_[fqn];
  entry.again = now + kAgain;
  if (std::exchange(entry.reason, judged.error().reason) == judged.error().reason) return false;
  obs::Log(obs::Level::kWarn, "an admin state goes on beyond its end",
           {{"cluster", fqn},
            {"state", v2::AdminState_Name(before.spec().admin_state())},
            {"next", v2::AdminState_Name(after.spec().admin_state())},
            {"error", judged.error().ToString()}});
  return false;
}

Status AdminStateEnds::End(const std::string& fqn, WallTime now) {
  const store::ResourcePtr stored = backends_.store->Read()->Get(fqn);
  if (stored == nullptr) return {};
  WEIR_ASSIGN(const v2::Cluster before, ReadCluster(*stored));
  v2::Cluster after = before;
  if (!resource::ExpireAdminState(now, after)) return {};
  std::optional<Leave> leave;
  if (resource::Leaves(before, after) && !MayLeave(fqn, before, after, &leave)) return {};
  WEIR_TRY(Write(fqn, now, leave));
  kept_.erase(fqn);
  return {};
}

Status AdminStateEnds::Write(const std::string& fqn, WallTime now, const std::optional<Leave>& leave) {
  return backends_.store->Write([&](store::Txn& txn) -> Status {
    const store::ResourcePtr before = txn.Get(fqn);
    if (before == nullptr) return {};
    WEIR_ASSIGN(v2::Cluster was, ReadCluster(*before));
    v2::Cluster cluster = was;
    if (!resource::ExpireAdminState(now, cluster)) return {};
    // Others changed meanwhile: the next pass judges anew.
    if (resource::Leaves(was, cluster) && !(leave && leave->Holds(txn.view()))) return {};
    WEIR_ASSIGN(const store::ResourcePtr after, PutCluster(txn, *before, cluster, before->field_owners));
    return audit::Append(txn, {.principal = "",
                               .principal_uid = "",
                               .action = "expire",
                               .fqn = fqn,
                               .uid = before->uid,
                               .before_etag = before->etag,
                               .after_etag = after->etag,
                               .path = "its end, set with the state",
                               .peer = "",
                               .request_id = ""});
  });
}

void AdminStateEnds::Render(std::string& out) const {
  obs::AppendFamily(
      out, "weir_server_admin_states_overdue", "gauge",
      "Clusters whose admin state goes on beyond its end, because the one before would leave a host alone.");
  obs::AppendSample(out, "weir_server_admin_states_overdue", {}, static_cast<double>(overdue_));
}

void AddAdminStates(MethodTable& table, const Backends& backends) {
  struct Verb {
    const char* method;
    v2::AdminState state;
    const char* action;
  };
  constexpr Verb kVerbs[] = {{"DrainCluster", v2::DRAINING, "drain"},
                             {"StandbyCluster", v2::STANDBY, "standby"},
                             {"MaintainCluster", v2::MAINTENANCE, "maintenance"},
                             {"ActivateCluster", v2::ACTIVE, "activate"}};
  const auto add = [&](std::string_view method, MethodTable::Function function) {
    const std::string name = fmt::format("weir.v2.ClusterOperations.{}", method);
    table.Add(name, std::move(function));
    table.Then(name, AsReported(backends));
  };
  for (const Verb& verb : kVerbs) {
    add(verb.method, [&backends, verb](CallContext& call, const google::protobuf::Message& request) {
      return Set(backends, call, static_cast<const v2::SetAdminStateRequest&>(request), verb.state, verb.action);
    });
  }
  add("UndoAdminState", [&backends](CallContext& call, const google::protobuf::Message& request) {
    return Undo(backends, call, static_cast<const v2::UndoAdminStateRequest&>(request));
  });
}

}  // namespace weir::services
