#include <iostream>

#include "api/weir/v2/traffic.pb.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/health_text.h"
#include "cli/objects.h"
#include "cli/traffic.h"
#include "libs/base/text.h"

namespace weir::cli {
namespace {

void Print(const v2::HostHealth& item) {
  std::cout << Printable(fmt::format("{} (route {}) as {} {}", item.host(), item.route(), item.gateway_cluster(),
                                     item.gateway()))
            << " sees it, " << Ago(item.time());
  if (UnixNow() - item.time().seconds() > kSilentSeconds) std::cout << ", silent since";
  std::cout << "\n";
  if (item.clusters().empty()) std::cout << "  it does not report health (a gateway of another make?)\n";
  for (const auto& cluster : item.clusters()) std::cout << HealthText(cluster, "  ");
}

Result<int> ExplainHealth(const Flags& flags) {
  const std::string format = flags.Get("output", "table");
  if (format != "table" && format != "yaml" && format != "json") return Usage("-o is table, yaml or json");
  if (flags.words.size() != 1) return Usage("explain health wants one HOST");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  v2::ExplainHealthRequest request;
  WEIR_ASSIGN(*request.mutable_parent(), ParentOf(session, ScopeOf(flags)));
  request.set_host(flags.words[0]);
  v2::ExplainHealthResponse response;
  WEIR_TRY(client.Call("Traffic/ExplainHealth", request, response));
  if (format == "json") {
    std::cout << document::ToJson(response, true);
  } else if (format == "yaml") {
    std::cout << document::ToYaml(response);
  } else {
    for (const auto& item : response.items()) Print(item);
  }
  if (response.items().empty()) {
    std::cerr << "A tier-1 gateway object serves " << flags.words[0]
              << ", but no gateway has reported about it yet; `weir status` says whether they are connected.\n";
  }
  return kExitOk;
}

void Print(const v2::FailoverPlan& plan) {
  std::cout << plan.host() << " (route " << plan.route() << ") at " << plan.gateway_cluster();
  for (const auto& gateway : plan.gateways()) std::cout << " " << gateway;
  std::cout << "\n";
  if (!plan.doubt().empty()) std::cout << "  in doubt: " << plan.doubt() << "\n";
  std::vector<std::vector<std::string>> rows = {{"  CLUSTER", "WEIGHT", "NOW", "THEN", ""}};
  for (const auto& share : plan.clusters()) {
    rows.push_back({"  " + share.cluster(), share.has_weight() ? std::to_string(share.weight()) : "",
                    Percent(share.now()), Percent(share.then()), share.lost() ? "lost" : share.why_not()});
  }
  std::cout << Table(rows);
  std::string order;
  for (const auto& rank : plan.order()) {
    std::string names;
    for (const auto& name : rank.clusters()) names += (names.empty() ? "" : " + ") + name;
    order += (order.empty() ? "" : ", then ") + names;
  }
  if (!order.empty()) std::cout << "  order: " << order << "\n";
  if (plan.panic_then()) {
    std::cout << "  nobody can serve (" << plan.nobody() << (plan.panic_now() ? ", as now" : "")
              << "): all are asked all the same (panic)\n";
  } else if (!plan.served_then()) {
    std::cout << "  nowhere to go (" << plan.nobody() << ")" << (plan.served_now() ? "" : ", as now") << "\n";
  }
}

Result<int> ExplainFailover(const Flags& flags) {
  const std::string format = flags.Get("output", "table");
  if (format != "table" && format != "yaml" && format != "json") return Usage("-o is table, yaml or json");
  if (flags.words.size() > 1) return Usage("explain failover wants one HOST, or none for all");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  v2::ExplainFailoverRequest request;
  request.set_parent(session.OrganizationFqn());
  if (!flags.words.empty()) request.set_host(flags.words[0]);
  for (const std::string& names : flags.All("without")) {
    request.set_without(request.without() + (request.without().empty() ? "" : ",") + names);
  }
  v2::ExplainFailoverResponse response;
  WEIR_TRY(client.Call("Traffic/ExplainFailover", request, response));
  if (format == "json") {
    std::cout << document::ToJson(response, true);
  } else if (format == "yaml") {
    std::cout << document::ToYaml(response);
  } else {
    for (const auto& plan : response.items()) Print(plan);
    int alone = 0;
    for (const auto& plan : response.items()) alone += plan.served_then() || plan.panic_then() ? 0 : 1;
    if (alone > 0) std::cout << alone << " of " << response.items_size() << " routes would have nowhere to go\n";
  }
  if (response.items().empty()) std::cerr << "No tier-1 gateway is there to spread requests.\n";
  return kExitOk;
}

}  // namespace

Command ExplainFailoverCommand() {
  return {"explain failover",
          "where requests go when clusters are lost",
          R"(Usage: weir explain failover [HOST] [--without CLUSTER[,CLUSTER...]] [-o table|yaml|json]

For each route of HOST (or of every host) and the tier-1 gateways that serve it: the share of each cluster now and without
those clusters, in which order the others take over, and which routes would have nowhere to go. Computed by the code that
routes, from what is pushed and reported at this moment; nothing is changed.

  weir explain failover shop.example.com --without cluster1
  weir explain failover --without cluster1,cluster2
)",
          {{"output", "without"}, {}, {{'o', "output"}}},
          ExplainFailover};
}

Command ExplainHealthCommand() {
  return {"explain health",
          "why each cluster can or cannot serve a host",
          R"(Usage: weir explain health HOST [-o table|yaml|json] [--tenant T [--workspace W [--group G]]]

For each tier-1 gateway that serves HOST and each cluster behind it: whether the cluster can serve, since when, why not,
and from which observations that follows:

digest    what the tier-2 gateway says of itself over the open connection
check     an active health check
connect   a connection that failed or was lost
ejected   requests that failed
admin     somebody said so

  weir explain health shop.example.com
)",
          {{"tenant", "workspace", "group", "output"}, {}, {{'o', "output"}}},
          ExplainHealth};
}

}  // namespace weir::cli
