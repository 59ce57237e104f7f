#include "mgmt-server/services/admin_states.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "libs/resource/admin_state.h"
#include "mgmt-server/audit/audit.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/crud.h"
#include "mgmt-server/services/kept_answers.h"
#include "mgmt-server/services/services.h"

namespace weir::services {
namespace {

// "a, b and 3 more"
std::string SomeOf(const std::set<std::string>& hosts) {
  constexpr size_t kMostNamed = 10;
  std::string names;
  size_t named = 0;
  for (const std::string& host : hosts) {
    if (named++ == kMostNamed) break;
    names += (names.empty() ? "" : ", ") + host;
  }
  if (hosts.size() > kMostNamed) names += fmt::format(" and {} more", hosts.size() - kMostNamed);
  return names;
}

// FAILED_PRECONDITION HEALTH_UNKNOWN when of a host that is sent there no gateway of some cluster says who can serve.
// Gateways of one cluster follow the same intent, so one of them speaks for all; those of the cluster that is drained
// are not asked, it may be dead.
Status CheckSomebodyKnows(const std::vector<v2::FailoverPlan>& plans, std::string_view cluster) {
  using Route = std::tuple<std::string, std::string, std::string, std::string>;
  const auto route = [](const v2::FailoverPlan& plan) {
    return Route{plan.gateway_cluster(), plan.source(), plan.host(), plan.route()};
  };
  std::set<Route> known;
  for (const v2::FailoverPlan& plan : plans) {
    if (plan.doubt().empty()) known.insert(route(plan));
  }
  std::set<std::string> unknown;
  std::string first;
  for (const v2::FailoverPlan& plan : plans) {
    const auto& to = plan.clusters();
    if (plan.gateway_cluster() == cluster || known.contains(route(plan))) continue;
    if (std::none_of(to.begin(), to.end(), [](const v2::FailoverShare& share) { return share.lost(); })) continue;
    if (unknown.insert(plan.host()).second && first.empty())
      first = fmt::format("gateways of {}: {}", plan.gateway_cluster(), plan.doubt());
  }
  if (unknown.empty()) return {};
  return FailedPrecondition("HEALTH_UNKNOWN",
                            "whether another cluster can serve {} is not known now ({}); a drain may leave them "
                            "unanswered. After a start of the server repeat it in a few seconds; force does it all the "
                            "same",
                            SomeOf(unknown), first);
}

// FAILED_PRECONDITION LAST_RECEIVER when hosts that are served now would be served by nobody.
Status CheckSomebodyIsLeft(const Backends& backends, const resource::Fqn& cluster) {
  const std::string organization = resource::ParentFqn(cluster.text);
  const std::string name(resource::LastName(cluster.text));
  const std::vector<v2::FailoverPlan> plans = backends.fleet->Failover(organization, "", {name});
  std::set<std::string> left_alone;
  for (const v2::FailoverPlan& plan : plans) {
    if (plan.served_now() && !plan.served_then()) left_alone.insert(plan.host());
  }
  if (left_alone.empty()) return CheckSomebodyKnows(plans, name);
  return FailedPrecondition("LAST_RECEIVER",
                            "no other cluster can serve {} now; a drain would leave them unanswered (force does it all "
                            "the same; `weir explain failover` shows each)",
                            SomeOf(left_alone));
}

// Whether the cluster may be taken out of traffic now.
Status CheckMayLeave(const Backends& backends, const CallContext& call, const resource::Fqn& cluster) {
  WEIR_TRY(authz::Authorize(*backends.store->Read(), call.principal, authz::Right::kWrite, cluster.text));
  return CheckSomebodyIsLeft(backends, cluster);
}

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
  if (request.ttl_seconds() < 0 || request.ttl_seconds() > most)
    violate("ttlSeconds", fmt::format("must be 0 (for good) or 1 to {}", most));
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

// A verb of its own: it needs no etag, changes nothing else, and what it sets belongs to nobody's documents.
// `change`: the stored cluster and the time -> whether it changed.
using Change = std::function<Result<bool>(v2::Cluster&, WallTime)>;
// `force`: Invariants that it breaks are written down, and broken.
Result<MessagePtr> Apply(const Backends& backends, CallContext& call, const resource::Fqn& fqn, const char* action,
                         const std::string& reason, bool force, const Change& change) {
  const auto write = [&](store::Txn& txn) -> Result<MessagePtr> {
    WEIR_ASSIGN(const authz::Decision decision,
                authz::Authorize(txn.view(), call.principal, authz::Right::kWrite, fqn.text));
    const store::ResourcePtr before = txn.Get(fqn.text);
    if (before == nullptr) return authz::Missing(fqn.text);
    WEIR_ASSIGN(v2::Cluster cluster, ReadCluster(*before));
    WEIR_ASSIGN(const bool changed, change(cluster, txn.now()));
    if (!changed) return ToMessage(*before);
    Owners owners = before->field_owners;
    owners["spec.adminState"] = ManagerOf(kApiManager, call.principal);
    WEIR_ASSIGN(const store::ResourcePtr after, PutCluster(txn, *before, cluster, std::move(owners)));
    txn.Annotate({.message = reason, .change_set = ""});
    WEIR_TRY(Record(txn, call, action, before.get(), after.get(), decision.path));
    return ToMessage(*after);
  };
  return WriteOnce(backends, call, false, write, {.asks_tenants = true, .force = force});
}

Result<MessagePtr> Set(const Backends& backends, CallContext& call, const v2::SetAdminStateRequest& request,
                       v2::AdminState state, const char* action) {
  WEIR_ASSIGN(const resource::Fqn fqn, ParseFqnOf(resource::Kind::kCluster, request.fqn()));
  WEIR_TRY(CheckOrder(request));
  if (resource::TakesNoRequests(state) && !request.force()) WEIR_TRY(CheckMayLeave(backends, call, fqn));
  const resource::AdminOrder order{.state = state,
                                   .reason = request.reason(),
                                   .author = call.principal.fqn,
                                   .ttl = std::chrono::seconds(request.ttl_seconds())};
  return Apply(backends, call, fqn, action, request.reason(), request.force(),
               [&](v2::Cluster& cluster, WallTime now) -> Result<bool> { return SetAdminState(order, now, cluster); });
}

// Where it goes is found out beforehand, and again within the write: what changes between is not looked for twice.
Result<MessagePtr> Undo(const Backends& backends, CallContext& call, const v2::UndoAdminStateRequest& request) {
  WEIR_ASSIGN(const resource::Fqn fqn, ParseFqnOf(resource::Kind::kCluster, request.fqn()));
  const store::ViewPtr view = backends.store->Read();
  WEIR_TRY(authz::Authorize(*view, call.principal, authz::Right::kWrite, fqn.text));
  const store::ResourcePtr now = view->Get(fqn.text);
  if (now == nullptr) return authz::Missing(fqn.text);
  WEIR_ASSIGN(v2::Cluster cluster, ReadCluster(*now));
  const bool serves = !resource::TakesNoRequests(cluster.spec().admin_state());
  WEIR_TRY(resource::UndoAdminState(backends.clock->Wall(), cluster));
  const v2::AdminState wanted = cluster.spec().admin_state();
  if (serves && resource::TakesNoRequests(wanted) && !request.force()) WEIR_TRY(CheckSomebodyIsLeft(backends, fqn));
  const auto undo = [&](v2::Cluster& stored, WallTime time) -> Result<bool> {
    WEIR_TRY(resource::UndoAdminState(time, stored));
    if (stored.spec().admin_state() == wanted) return true;
    return Aborted("STATE_CHANGED", "its admin state was changed in the meantime; look at it and try again");
  };
  return Apply(backends, call, fqn, "undo", "", request.force(), undo);
}

}  // namespace

Status ExpireAdminStates(store::Store& store, WallTime now) {
  std::vector<std::string> ended;
  store.Read()->ForEach("", "Cluster", [&](const store::ResourcePtr& stored) {
    auto cluster = ReadCluster(*stored);
    if (cluster.ok() && resource::ExpireAdminState(now, *cluster)) ended.push_back(stored->fqn);
    return true;
  });
  for (const std::string& fqn : ended) {
    WEIR_TRY(store.Write([&](store::Txn& txn) -> Status {
      const store::ResourcePtr before = txn.Get(fqn);
      if (before == nullptr) return {};
      WEIR_ASSIGN(v2::Cluster cluster, ReadCluster(*before));
      if (!resource::ExpireAdminState(now, cluster)) return {};
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
    }));
  }
  return {};
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
