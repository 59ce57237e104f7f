#include <iostream>
#include <set>

#include "api/weir/v2/cluster.pb.h"
#include "api/weir/v2/cluster_service.pb.h"
#include "api/weir/v2/status.pb.h"
#include "api/weir/v2/traffic.pb.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/objects.h"
#include "cli/verdict.h"

namespace weir::cli {
namespace {

Result<std::string> NewToken(const Flags& flags) {
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  v2::CreateJoinTokenRequest request;
  WEIR_ASSIGN(*request.mutable_fqn(), FqnArgument(session, flags.words[0], resource::Kind::kCluster));
  if (flags.Has("ttl")) {
    WEIR_ASSIGN(const int ttl, ParseNumber("ttl", flags.Get("ttl"), 1, 86400));
    request.set_ttl_seconds(ttl);
  }
  WEIR_ASSIGN(Client client, Client::Connect(session));
  v2::JoinToken token;
  WEIR_TRY(client.Call("JoinTokens/CreateJoinToken", request, token));
  return token.token();
}

Result<int> ClusterToken(const Flags& flags) {
  if (flags.words.size() != 1) return Usage("cluster token wants one NAME");
  WEIR_ASSIGN(const std::string token, NewToken(flags));
  std::cout << token << "\n";  // Alone on standard output, for "> token-file".
  return kExitOk;
}

Result<int> Rejoin(const Flags& flags) {
  if (flags.words.size() != 1) return Usage("cluster rejoin wants one NAME");
  // libs/identity/token.h: the same token, whose first word tells a member to use it.
  constexpr std::string_view kJoin = "weir-join-", kRejoin = "weir-rejoin-";
  WEIR_ASSIGN(const std::string token, NewToken(flags));
  if (!token.starts_with(kJoin)) return FailedPrecondition("TOKEN_UNKNOWN", "the server makes tokens of another kind");
  std::cout << kRejoin << token.substr(kJoin.size()) << "\n";
  std::cerr << fmt::format(
      "put it into a file on the machine of the agent of {0} and start the agent again with it:\n"
      "  weir-agent --join-token-file FILE ...   (everything else as before)\n"
      "the membership that it has ends when it joins; until then, and if it cannot, the agent goes on with that one\n",
      flags.words[0]);
  return kExitOk;
}

// What the gateways that route to the cluster make of it; the exit code.
Result<int> AwaitGateways(Client& client, const std::string& fqn, int seconds) {
  v2::GetStatusRequest request;
  request.set_fqn(fqn);
  request.set_wait("applied");
  request.set_wait_seconds(seconds);
  v2::ResourceStatus status;
  WEIR_TRY(client.Call("Statuses/GetStatus", request, status, seconds + 30));
  Verdict verdict;
  verdict.Add(status);
  if (status.state() == v2::ResourceStatus::READY) std::cout << "every gateway that routes to it acknowledged\n";
  return verdict.ExitCode();
}

Result<int> SetAdminState(const Flags& flags, const std::string& verb, v2::AdminState wanted) {
  if (flags.words.size() != 1) return Usage(fmt::format("cluster {} wants one NAME", verb));
  WEIR_ASSIGN(const int seconds, WaitSeconds(flags));
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  v2::GetClusterRequest get;
  WEIR_ASSIGN(*get.mutable_fqn(), FqnArgument(session, flags.words[0], resource::Kind::kCluster));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  v2::Cluster before;
  WEIR_TRY(client.Call("Clusters/GetCluster", get, before));
  v2::SetAdminStateRequest request;
  request.set_fqn(get.fqn());
  request.set_force(flags.Has("force"));
  v2::Cluster after;
  WEIR_TRY(client.Call(wanted == v2::DRAINING ? "ClusterOperations/DrainCluster" : "ClusterOperations/ActivateCluster",
                       request, after));
  const std::string state = v2::AdminState_Name(after.spec().admin_state());
  if (before.metadata().resource_version() == after.metadata().resource_version()) {
    std::cout << get.fqn() << " is " << state << " already\n";
  } else {
    std::cout << get.fqn() << ": " << v2::AdminState_Name(before.spec().admin_state()) << " -> " << state
              << (wanted == v2::DRAINING
                      ? "; tier-1 gateways send it no new requests, what is in flight finishes there\n"
                      : "; it takes its share again\n");
    if (wanted == v2::DRAINING && after.spec().tier1_cluster()) {
      std::cout << "its own tier-1 gateways serve on: take them out of DNS or the load balancer before them\n";
    }
  }
  return flags.Has("wait") ? AwaitGateways(client, get.fqn(), seconds) : Result<int>(kExitOk);
}

Result<int> Drain(const Flags& flags) { return SetAdminState(flags, "drain", v2::DRAINING); }
Result<int> Activate(const Flags& flags) { return SetAdminState(flags, "activate", v2::ACTIVE); }

// The hosts that are served now and would not be without this cluster; none where that is not to be found out.
std::set<std::string> ServedByItAlone(Client& client, const std::string& fqn) {
  v2::ExplainFailoverRequest request;
  request.set_parent(resource::ParentFqn(fqn));
  request.set_without(std::string(resource::LastName(fqn)));
  v2::ExplainFailoverResponse response;
  std::set<std::string> hosts;
  if (!client.Call("Traffic/ExplainFailover", request, response).ok()) return hosts;
  for (const v2::FailoverPlan& plan : response.items()) {
    if (plan.served_now() && !plan.served_then()) hosts.insert(plan.host());
  }
  return hosts;
}

// Never refused for whom it leaves alone: it is what is done when keys are stolen.
Result<int> Revoke(const Flags& flags) {
  if (flags.words.size() != 1) return Usage("cluster revoke wants one NAME");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  v2::RevokeClusterRequest request;
  WEIR_ASSIGN(*request.mutable_fqn(), FqnArgument(session, flags.words[0], resource::Kind::kCluster));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  const std::set<std::string> alone = ServedByItAlone(client, request.fqn());
  v2::Cluster after;
  WEIR_TRY(client.Call("ClusterOperations/RevokeCluster", request, after));
  std::cout << request.fqn() << ": every membership below generation " << after.state().generation()
            << " has ended; an agent joins again with a token of `weir cluster rejoin`\n";
  if (!alone.empty()) {
    std::cerr << fmt::format("no other cluster serves {} now: requests are answered 503 until one does\n",
                             fmt::join(alone, ", "));
  }
  return kExitOk;
}

}  // namespace

Command ClusterTokenCommand() {
  return {"cluster token",
          "make the token with which an agent joins",
          R"(Usage: weir cluster token NAME [--ttl SECONDS]

Prints a token that weir-agent needs to join as this cluster: used once, valid for 900 seconds or --ttl (1 to 86400).
The cluster must exist. Whoever joins with it becomes the agent of this cluster; the agent before is it no longer.
Needs the right cluster.join (rbac/admin).

  weir cluster token cluster1 > join-token
)",
          {{"ttl"}, {}, {}},
          ClusterToken};
}
Command ClusterRejoinCommand() {
  return {"cluster rejoin",
          "make the token with which a member joins anew",
          R"(Usage: weir cluster rejoin NAME [--ttl SECONDS]

Like `weir cluster token`, for an agent that is a member already: of another server, or of this one. An agent uses a
token of `weir cluster token` only while it is nobody's member, and says so otherwise; a token of this command tells it
to give up the membership that it has. Used once, valid for 900 seconds or --ttl. Needs the right cluster.join.

  weir cluster rejoin cluster1 > rejoin-token
  weir-agent --join-token-file rejoin-token ...
)",
          {{"ttl"}, {}, {}},
          Rejoin};
}
Command ClusterDrainCommand() {
  return {"cluster drain",
          "take a cluster out of traffic",
          R"(Usage: weir cluster drain NAME [--wait[=SECONDS]] [--force]

Tier-1 gateways send the cluster no new requests; its share goes to the others as their failover settings say, and what
is in flight finishes there. Documents that do not name adminState leave it so; `weir cluster activate` undoes it.

  --wait[=SECONDS]    until every gateway that routes to it acknowledged (default 60, 1 to 300); exit code 4 if not in time
  --force             also when a host that is served now has no other cluster that can serve it (LAST_RECEIVER);
                      `weir explain failover HOST --without NAME` shows beforehand where requests would go

  weir cluster drain cluster1 --wait && upgrade cluster1 && weir cluster activate cluster1 --wait
)",
          {{}, {"wait", "force"}, {}},
          Drain};
}
Command ClusterActivateCommand() {
  return {"cluster activate",
          "let a drained cluster take its share again",
          R"(Usage: weir cluster activate NAME [--wait[=SECONDS]]

Undoes `weir cluster drain`: the cluster gets its share of new requests as soon as it can serve them.

  --wait[=SECONDS]    until every gateway that routes to it acknowledged (default 60, 1 to 300); exit code 4 if not in time

  weir cluster activate cluster1 --wait
)",
          {{}, {"wait"}, {}},
          Activate};
}
Command ClusterRevokeCommand() {
  return {"cluster revoke",
          "end the membership of a cluster's agent",
          R"(Usage: weir cluster revoke NAME

For a key that may be in other hands. At once: the streams of the cluster's agent end, its certificate is not renewed,
and gateways of other clusters refuse whatever was signed by it and close such connections. Unused join tokens of the
cluster end too. Its own gateways go on serving what they know, without traffic from other clusters. Needs the right
cluster.join (rbac/admin); stands in the audit.

Back: restart the agent with another token. It keeps its stateDir, in which its gateways have theirs, and makes its keys anew:

  weir cluster revoke cluster1
  weir cluster rejoin cluster1 > join-token
)",
          {{}, {}, {}},
          Revoke};
}

}  // namespace weir::cli
