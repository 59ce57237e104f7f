#include <algorithm>
#include <set>
#include <tuple>

#include "api/weir/v2/cluster.pb.h"
#include "libs/identity/certificates.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/ca/generations.h"
#include "mgmt-server/ca/join_tokens.h"
#include "mgmt-server/services/crud.h"
#include "mgmt-server/services/services.h"

namespace weir::services {
namespace {

// How long an expired token is kept, so that whoever still tries it is told that it has expired.
constexpr std::chrono::hours kRemembered(24);

Result<v2::JoinToken> CreateJoinToken(const Backends& backends, CallContext& call,
                                      const v2::CreateJoinTokenRequest& request) {
  WEIR_ASSIGN(const resource::Fqn fqn, ParseFqnOf(resource::Kind::kCluster, request.fqn()));
  const int32_t ttl = request.ttl_seconds() == 0 ? 900 : request.ttl_seconds();
  if (ttl < 1 || ttl > 86400) {
    Error error = InvalidArgument("INVALID_REQUEST", "lifetime out of range");
    error.violations.push_back({.field = "ttlSeconds", .description = "must be 1 to 86400"});
    return error;
  }
  return backends.Write(call, [&](store::Txn& txn) -> Result<v2::JoinToken> {
    WEIR_ASSIGN(const authz::Decision decision,
                authz::Authorize(txn.view(), call.principal, authz::Right::kJoin, fqn.text));
    const store::ResourcePtr cluster = txn.Get(fqn.text);
    if (cluster == nullptr) return authz::Missing(fqn.text);
    const ca::NewJoinToken minted =
        ca::MintJoinToken(fqn.text, backends.anchor_sha256, *backends.clock, std::chrono::seconds(ttl));
    WEIR_TRY(txn.DeleteJoinTokensBefore(txn.now() - kRemembered));
    WEIR_TRY(txn.PutJoinToken({.token_hash = minted.hash,
                               .cluster_uid = cluster->uid,
                               .created = txn.now(),
                               .expires = minted.expires,
                               .used = false}));
    WEIR_TRY(Record(txn, call, "create-join-token", cluster.get(), cluster.get(), decision.path));
    v2::JoinToken token;
    token.set_token(minted.text);
    token.mutable_expire_time()->set_seconds(std::chrono::system_clock::to_time_t(minted.expires));
    return token;
  });
}

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

// A verb of its own: it needs no etag, changes nothing else, and what it sets belongs to nobody's documents.
Result<v2::Cluster> SetAdminState(const Backends& backends, Writes& writes, CallContext& call, const std::string& name,
                                  v2::AdminState state, bool force) {
  WEIR_ASSIGN(const resource::Fqn fqn, ParseFqnOf(resource::Kind::kCluster, name));
  if (state == v2::DRAINING && !force) {
    WEIR_TRY(authz::Authorize(*backends.store->Read(), call.principal, authz::Right::kWrite, fqn.text));
    WEIR_TRY(CheckSomebodyIsLeft(backends, fqn));
  }
  auto stored = backends.Write(call, [&](store::Txn& txn) -> Result<store::ResourcePtr> {
    WEIR_TRY(authz::Authorize(txn.view(), call.principal, authz::Right::kWrite, fqn.text));
    const store::ResourcePtr before = txn.Get(fqn.text);
    if (before == nullptr) return authz::Missing(fqn.text);
    WEIR_ASSIGN(MessagePtr message, ToMessage(*before));
    auto& spec = *static_cast<v2::Cluster&>(*message).mutable_spec();
    if (spec.admin_state() == state) return before;
    spec.set_admin_state(state);
    Owners owners = before->field_owners;
    owners["spec.adminState"] = ManagerOf(kApiManager, call.principal);
    std::vector<Issue> issues;
    return writes.Update(txn, call, MakeDraft(fqn, std::move(message)), std::move(owners), std::nullopt, issues,
                         state == v2::DRAINING ? "drain" : "activate");
  });
  if (!stored.ok()) return std::move(stored).error();
  WEIR_ASSIGN(const MessagePtr rendered, Render(backends, **stored));
  return static_cast<const v2::Cluster&>(*rendered);
}

// The generation after the last that was signed: nobody has it until somebody joins.
Result<v2::Cluster> Revoke(const Backends& backends, CallContext& call, const v2::RevokeClusterRequest& request) {
  WEIR_ASSIGN(const resource::Fqn fqn, ParseFqnOf(resource::Kind::kCluster, request.fqn()));
  auto stored = backends.Write(call, [&](store::Txn& txn) -> Result<store::ResourcePtr> {
    WEIR_ASSIGN(const authz::Decision decision,
                authz::Authorize(txn.view(), call.principal, authz::Right::kJoin, fqn.text));
    const store::ResourcePtr before = txn.Get(fqn.text);
    if (before == nullptr) return authz::Missing(fqn.text);
    WEIR_TRY(txn.DeleteJoinTokensOf(before->uid));
    WEIR_ASSIGN(const store::ResourcePtr after, ca::SetGeneration(txn, *before, ca::GenerationOf(*before) + 1, true));
    WEIR_TRY(Record(txn, call, "revoke", before.get(), after.get(), decision.path));
    return after;
  });
  if (!stored.ok()) return std::move(stored).error();
  WEIR_ASSIGN(const MessagePtr rendered, Render(backends, **stored));
  return static_cast<const v2::Cluster&>(*rendered);
}

}  // namespace

void AddClusters(MethodTable& table, const Backends& backends, Writes& writes) {
  writes.AlsoDelete(resource::Kind::kCluster, [](store::Txn& txn, const store::StoredResource& cluster) -> Status {
    WEIR_TRY(txn.DeleteFacts(cluster.uid));
    return txn.DeleteJoinTokensOf(cluster.uid);
  });
  table.Add<v2::CreateJoinTokenRequest, v2::JoinToken>(
      "weir.v2.JoinTokens.CreateJoinToken", [&backends](CallContext& call, const v2::CreateJoinTokenRequest& request) {
        return CreateJoinToken(backends, call, request);
      });
  table.Add<v2::RevokeClusterRequest, v2::Cluster>(
      "weir.v2.ClusterOperations.RevokeCluster",
      [&backends](CallContext& call, const v2::RevokeClusterRequest& request) {
        return Revoke(backends, call, request);
      });
  for (const auto state : {v2::DRAINING, v2::ACTIVE}) {
    table.Add<v2::SetAdminStateRequest, v2::Cluster>(
        state == v2::DRAINING ? "weir.v2.ClusterOperations.DrainCluster" : "weir.v2.ClusterOperations.ActivateCluster",
        [&backends, &writes, state](CallContext& call, const v2::SetAdminStateRequest& request) {
          return SetAdminState(backends, writes, call, request.fqn(), state, request.force());
        });
  }
}

}  // namespace weir::services
