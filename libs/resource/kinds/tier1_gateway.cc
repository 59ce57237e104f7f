#include <map>

#include "api/weir/v2/tier1_gateway.pb.h"
#include "libs/resource/checks.h"
#include "libs/resource/kinds/gateway_checks.h"
#include "libs/resource/kinds/rules.h"

namespace weir::resource {
namespace {

void Check(const v2::Tier1Gateway& gateway, Checker& check) {
  GatewayChecker checks(check);
  checks.Selector(gateway.spec().has_workload_selector(), gateway.spec().workload_selector());
  const auto& servers = gateway.spec().external_servers();
  checks.Count(servers.size(), "spec.externalServers");
  for (int i = 0; i < servers.size(); ++i) {
    const std::string at = fmt::format("spec.externalServers[{}]", i);
    checks.Server(servers[i].name(), servers[i].hostname(), servers[i].port(), servers[i].tls(), at);
    checks.Tenant(servers[i].tenant(), at);
    checks.Clusters(servers[i].clusters(), at + ".clusters");
    checks.Times(servers[i], at);
    check.Failover(servers[i].failover_settings(), at + ".failoverSettings");
  }
}

v2::HttpServer AsServer(const v2::Tier1ExternalServer& from) {
  v2::HttpServer server;
  server.set_name(from.name());
  server.set_hostname(from.hostname());
  server.set_port(from.port());
  if (from.has_tls()) *server.mutable_tls() = from.tls();
  if (from.has_failover_settings()) *server.mutable_failover_settings() = from.failover_settings();
  server.set_tenant(from.tenant());
  v2::HttpRule& rule = *server.mutable_routing()->add_rules();
  *rule.mutable_route()->mutable_cluster_destination()->mutable_clusters() = from.clusters();
  if (from.has_timeout()) *rule.mutable_timeout() = from.timeout();
  if (from.has_idle_timeout()) *rule.mutable_idle_timeout() = from.idle_timeout();
  return server;
}

v2::Gateway AsGateway(const v2::Tier1Gateway& from) {
  v2::Gateway gateway;
  *gateway.mutable_metadata() = from.metadata();
  *gateway.mutable_spec()->mutable_workload_selector() = from.spec().workload_selector();
  for (const auto& server : from.spec().external_servers()) *gateway.mutable_spec()->add_http() = AsServer(server);
  return gateway;
}

// "east", "{ring:beta}", "{ring:beta}@dmz"
std::string Selection(const v2::ClusterDestination& cluster) {
  std::string text = cluster.name();
  if (!cluster.labels().empty()) {
    const std::map<std::string, std::string> sorted(cluster.labels().begin(), cluster.labels().end());
    for (const auto& [key, value] : sorted) text += fmt::format("{}{}:{}", text.empty() ? "{" : ",", key, value);
    text += "}";
  }
  return cluster.network().empty() ? text : fmt::format("{}@{}", text, cluster.network());
}

std::vector<std::string> Summary(const v2::Tier1Gateway& gateway) {
  std::vector<std::string> parts;
  for (const auto& server : gateway.spec().external_servers()) {
    std::string text = fmt::format("{}:{} ->", server.hostname(), server.port());
    for (const auto& cluster : server.clusters()) {
      text += " " + Selection(cluster);
      if (cluster.has_weight()) text += fmt::format("={}", cluster.weight());
    }
    if (server.clusters().empty()) text += " *";
    parts.push_back(std::move(text));
  }
  return parts;
}

}  // namespace

KindRules Tier1GatewayRules() {
  return RulesOf<v2::Tier1Gateway>{
      .summary = Summary,
      .check = Check,
      .not_served = {{"Tier1GatewaySpec",
                      {"internalServers", "passthroughServers", "tcpExternalServers", "tcpInternalServers", "waf",
                       "extension"},
                      ""},
                     {"Tier1ExternalServer", {"redirect"}, "a Gateway with a rule that redirects"},
                     {"Tier1ExternalServer", {"authentication", "authorization", "rateLimiting"}, ""}},
      .effect = Effect::kGateway,
      .as_gateway = AsGateway,
      .servers = "spec.externalServers",
      .clusters = "clusters",
  }
      .Rules();
}

}  // namespace weir::resource
