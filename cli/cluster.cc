#include <google/protobuf/util/time_util.h>

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
#include "libs/resource/admin_state.h"

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

struct AdminVerb {
  const char* verb;
  const char* method;
  const char* after;  // What the gateways do from now on; "" = no verb of one state.
};
constexpr AdminVerb kDrain{"drain", "ClusterOperations/DrainCluster",
                           "tier-1 gateways send it no new requests, what is in flight finishes there"};
constexpr AdminVerb kStandby{"standby", "ClusterOperations/StandbyCluster",
                             "tier-1 gateways send it requests only while no active cluster can serve"};
constexpr AdminVerb kMaintenance{"maintenance", "ClusterOperations/MaintainCluster",
                                 "tier-1 gateways send it no new requests; nobody waits for it while it is away"};
constexpr AdminVerb kActivate{"activate", "ClusterOperations/ActivateCluster", "it takes its share again"};
constexpr AdminVerb kUndo{"undo", "ClusterOperations/UndoAdminState", ""};

Result<v2::Cluster> CallVerb(Client& client, const AdminVerb& verb, const std::string& fqn, const Flags& flags) {
  v2::Cluster after;
  if (std::string_view(verb.verb) == kUndo.verb) {
    v2::UndoAdminStateRequest request;
    request.set_fqn(fqn);
    request.set_force(flags.Has("force"));
    WEIR_TRY(client.CallOnce(verb.method, request, after));
    return after;
  }
  v2::SetAdminStateRequest request;
  request.set_fqn(fqn);
  request.set_force(flags.Has("force"));
  request.set_reason(flags.Get("reason"));
  if (const std::string end = flags.Get("for"); end == "good" || end == "0") {
    request.set_ttl_seconds(-1);
  } else if (flags.Has("for")) {
    WEIR_ASSIGN(const int64_t seconds, ParseDuration("for", end, 365 * 86400));
    request.set_ttl_seconds(seconds);
  }
  WEIR_TRY(client.CallOnce(verb.method, request, after));
  return after;
}

// "; until 2026-11-30T12:00:00Z; reason: new disks"; of a state without an end "; for good".
std::string EndAndReason(const v2::Cluster& cluster) {
  const v2::AdminChange* change = resource::AdminChangeOf(cluster);
  std::string text = change != nullptr && change->has_expire_time()
                         ? "; until " + google::protobuf::util::TimeUtil::ToString(change->expire_time())
                         : "; for good";
  if (change != nullptr && !change->reason().empty()) text += "; reason: " + change->reason();
  return text;
}

void PrintAdminState(const v2::Cluster& before, const v2::Cluster& after, const AdminVerb& verb) {
  const std::string& fqn = after.metadata().fqn();
  const std::string state = v2::AdminState_Name(after.spec().admin_state());
  if (before.metadata().resource_version() == after.metadata().resource_version()) {
    std::cout << fqn << " is " << state << " already" << EndAndReason(after) << "\n";
    return;
  }
  std::cout << fqn << ": " << v2::AdminState_Name(before.spec().admin_state()) << " -> " << state;
  if (*verb.after != '\0') std::cout << "; " << verb.after;
  std::cout << EndAndReason(after) << "\n";
  if (resource::TakesNoRequests(after.spec().admin_state()) && after.spec().tier1_cluster()) {
    std::cout << "its own tier-1 gateways serve on: take them out of DNS or the load balancer before them\n";
  }
}

// The hosts that are served now and would not be without these clusters (names with commas between them); none where
// that is not to be found out.
std::set<std::string> ServedByThemAlone(Client& client, const std::string& organization, const std::string& names) {
  v2::ExplainFailoverRequest request;
  request.set_parent(organization);
  request.set_without(names);
  v2::ExplainFailoverResponse response;
  std::set<std::string> hosts;
  if (!client.Call("Traffic/ExplainFailover", request, response).ok()) return hosts;
  for (const v2::FailoverPlan& plan : response.items()) {
    if (resource::LeavesAlone(plan)) hosts.insert(plan.host());
  }
  return hosts;
}

// Others that go out of traffic by themselves some day, and whom that would leave alone now that this one is out.
void WarnOfEnds(Client& client, const v2::Cluster& left) {
  v2::ListClustersRequest list;
  list.set_parent(resource::ParentFqn(left.metadata().fqn()));
  std::string names = std::string(resource::LastName(left.metadata().fqn())), ends;
  do {
    v2::ListClustersResponse page;
    if (!client.Call("Clusters/ListClusters", list, page).ok()) return;
    for (const v2::Cluster& other : page.items()) {
      const v2::AdminChange* change = resource::AdminChangeOf(other);
      const int changes = other.state().admin_changes_size();
      if (change == nullptr || changes < 2 || !change->has_expire_time()) continue;
      const v2::AdminState next = other.state().admin_changes(changes - 2).state();
      if (resource::TakesNoRequests(other.spec().admin_state()) || !resource::TakesNoRequests(next)) continue;
      names += "," + std::string(resource::LastName(other.metadata().fqn()));
      ends += fmt::format("{}{} is {} until {} only, and {} before", ends.empty() ? "" : "; ",
                          resource::LastName(other.metadata().fqn()), v2::AdminState_Name(other.spec().admin_state()),
                          google::protobuf::util::TimeUtil::ToString(change->expire_time()), v2::AdminState_Name(next));
    }
    list.set_page_token(page.next_page_token());
  } while (!list.page_token().empty());
  if (ends.empty()) return;
  const std::set<std::string> alone = ServedByThemAlone(client, list.parent(), names);
  if (alone.empty()) return;
  std::cerr << fmt::format("{}: then nobody would serve {}, so that end will not be kept while this is so\n", ends,
                           fmt::join(alone, ", "));
}

Result<int> SetAdminState(const Flags& flags, const AdminVerb& verb) {
  if (flags.words.size() != 1) return Usage(fmt::format("cluster {} wants one NAME", verb.verb));
  WEIR_ASSIGN(const int seconds, WaitSeconds(flags));
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  v2::GetClusterRequest get;
  WEIR_ASSIGN(*get.mutable_fqn(), FqnArgument(session, flags.words[0], resource::Kind::kCluster));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  v2::Cluster before;
  WEIR_TRY(client.Call("Clusters/GetCluster", get, before));
  WEIR_ASSIGN(const v2::Cluster after, CallVerb(client, verb, get.fqn(), flags));
  PrintAdminState(before, after, verb);
  if (resource::TakesNoRequests(after.spec().admin_state())) WarnOfEnds(client, after);
  return flags.Has("wait") ? AwaitGateways(client, get.fqn(), seconds) : Result<int>(kExitOk);
}

// Never refused for whom it leaves alone: it is what is done when keys are stolen.
Result<int> Revoke(const Flags& flags) {
  if (flags.words.size() != 1) return Usage("cluster revoke wants one NAME");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  v2::RevokeClusterRequest request;
  WEIR_ASSIGN(*request.mutable_fqn(), FqnArgument(session, flags.words[0], resource::Kind::kCluster));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  const std::set<std::string> alone =
      ServedByThemAlone(client, resource::ParentFqn(request.fqn()), std::string(resource::LastName(request.fqn())));
  v2::Cluster after;
  WEIR_TRY(client.CallOnce("ClusterOperations/RevokeCluster", request, after));
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
namespace {

constexpr std::string_view kAdminFlags = R"(
  --reason TEXT       for those who look at it later: weir get cluster, weir history, weir audit
  --for DURATION      until then only (90s, 45m, 2h, 1h30m, 7d; at most 365d): the state before comes back by itself
  --for good          without an end, also when it has one
  --wait[=SECONDS]    until every gateway that routes to it acknowledged (default 60, 1 to 300); exit code 4 if not in time
)";
constexpr std::string_view kForceFlag =
    R"(  --force             also when a host that is served now has no other cluster that can serve it (LAST_RECEIVER;
                      `weir explain failover HOST --without NAME` shows beforehand where requests would go), or when
                      it breaks an Invariant (INVARIANT_BROKEN), which the audit then names
)";
constexpr std::string_view kForceInvariants =
    R"(  --force             also when it breaks an Invariant (INVARIANT_BROKEN), which the audit then names
)";

template <const AdminVerb& verb>
Result<int> Run(const Flags& flags) {
  return SetAdminState(flags, verb);
}
FlagSpec AdminSpec() { return {{"reason", "for"}, {"wait", "force"}, {}}; }

}  // namespace

Command ClusterDrainCommand() {
  static const std::string kHelp =
      fmt::format(R"(Usage: weir cluster drain NAME [--reason TEXT] [--for DURATION] [--wait[=SECONDS]] [--force]

Tier-1 gateways send the cluster no new requests; its share goes to the others as their failover settings say, and what
is in flight finishes there. Documents that do not name adminState leave it so; `weir cluster undo` goes back to what
was before, `weir cluster activate` to taking its share. Again with another --reason or --for: these are replaced, and
what is not said stays.
{}{}
  weir cluster drain cluster1 --for 2h --reason "kernel upgrade" --wait
)",
                  kAdminFlags, kForceFlag);
  return {"cluster drain", "take a cluster out of traffic", kHelp, AdminSpec(), Run<kDrain>};
}
Command ClusterStandbyCommand() {
  static const std::string kHelp =
      fmt::format(R"(Usage: weir cluster standby NAME [--reason TEXT] [--for DURATION] [--wait[=SECONDS]] [--force]

Tier-1 gateways send the cluster new requests only while no active cluster of the route can serve. Several on standby
share by their weights, or the nearest goes first where there are none.
{}{}
  weir cluster standby cluster3 --reason "costs more"
)",
                  kAdminFlags, kForceInvariants);
  return {"cluster standby", "use a cluster only when no other can serve", kHelp, AdminSpec(), Run<kStandby>};
}
Command ClusterMaintenanceCommand() {
  static const std::string kHelp =
      fmt::format(R"(Usage: weir cluster maintenance NAME [--reason TEXT] [--for DURATION] [--wait[=SECONDS]] [--force]

As `weir cluster drain`; and the cluster may be away meanwhile: `weir status` does not call it a fault, and no --wait
waits for its agent and its gateways.
{}{}
  weir cluster maintenance cluster1 --for 8h --reason "new rack" --wait && ssh cluster1 poweroff
)",
                  kAdminFlags, kForceFlag);
  return {"cluster maintenance", "take a cluster out of traffic that may be away", kHelp, AdminSpec(),
          Run<kMaintenance>};
}
Command ClusterActivateCommand() {
  static const std::string kHelp =
      fmt::format(R"(Usage: weir cluster activate NAME [--reason TEXT] [--for DURATION] [--wait[=SECONDS]] [--force]

Ends drain, standby and maintenance: the cluster gets its share of new requests as soon as it can serve them.
{}{}
  weir cluster activate cluster1 --wait
)",
                  kAdminFlags, kForceInvariants);
  return {"cluster activate", "let a cluster take its share", kHelp, AdminSpec(), Run<kActivate>};
}
Command ClusterUndoCommand() {
  static const std::string kHelp = fmt::format(R"(Usage: weir cluster undo NAME [--wait[=SECONDS]] [--force]

Takes the last of drain, standby, maintenance and activate back: the cluster is again in the state before, with its
reason and its end; where that end has passed, in the one before that. The last 8 are kept; `weir get cluster NAME -o
yaml` shows them, with who and when (state.adminChanges).

  --wait[=SECONDS]    until every gateway that routes to it acknowledged (default 60, 1 to 300); exit code 4 if not in time
{}
  weir cluster undo cluster1
)",
                                               kForceFlag);
  return {"cluster undo", "go back to a cluster's state before", kHelp, {{}, {"wait", "force"}, {}}, Run<kUndo>};
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
