#include "envoy/config/cluster/v3/cluster.pb.h"
#include "libs/xds/protocol/server_stream.h"

namespace weir::xds {
namespace {

// The name under which Envoy's Cluster asks for its endpoints; "" when it does not.
std::string EndpointsOfCluster(const Resource& resource) {
  envoy::config::cluster::v3::Cluster cluster;
  if (!cluster.ParseFromString(resource.value)) return "";
  if (cluster.type() != envoy::config::cluster::v3::Cluster::EDS) return "";
  const std::string& name = cluster.eds_cluster_config().service_name();
  return name.empty() ? cluster.name() : name;
}

TypeRule Rule(std::string_view url, bool legacy_wildcard, bool complete = false) {
  TypeRule rule;
  rule.url = std::string(url);
  rule.legacy_wildcard = legacy_wildcard;
  rule.complete = complete;
  return rule;
}

}  // namespace

ServerRules EnvoyRules() {
  ServerRules rules;
  rules.control_plane = "weir-agent";
  TypeRule secrets = Rule(kSecret, false);
  secrets.unordered = true;  // As referenced: Cluster and Listener resources wait for them, never the other way round.
  TypeRule clusters = Rule(kCluster, true, true);
  clusters.warms = std::string(kEndpoints);
  clusters.warmed_name = EndpointsOfCluster;
  // Envoy gives up on the endpoints of a Cluster after its initial_fetch_timeout, 15 s, and acknowledges then.
  clusters.ack_timeout = std::chrono::seconds(20);
  TypeRule endpoints = Rule(kEndpoints, false);
  endpoints.at_once = true;
  rules.types = {std::move(secrets),          std::move(clusters), std::move(endpoints),
                 Rule(kListener, true, true), Rule(kRoute, false), Rule(kVirtualHost, true)};
  for (const auto url : {kListener, kRoute, kVirtualHost, kCluster, kEndpoints, kSecret}) {
    rules.removal_order.emplace_back(url);
  }
  return rules;
}

ServerRules MeshRules() {
  ServerRules rules;
  rules.control_plane = "weir-server";
  for (const auto url : kMeshTypes) rules.types.push_back(Rule(url, true));
  return rules;
}

}  // namespace weir::xds
