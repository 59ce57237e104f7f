#include "tier2-gateway/role.h"

#include "libs/dialect/dialect.h"
#include "libs/proxy/snapshot.h"

namespace weir::tier2 {
namespace {

Status CheckListener(const proxy::Listener& listener) {
  for (const proxy::FilterChain& chain : listener.chains) {
    if ((chain.tls && chain.tls->demands()) || listener.port != dialect::kMeshPort) continue;
    return InvalidArgument("PEER_IDENTITY",
                           "Listener {}: filter chain {} must require a client certificate and name the identities "
                           "that may call",
                           listener.name, chain.name);
  }
  return {};
}

Status CheckDestinationSet(const proxy::DestinationSet& destination, const std::set<std::string>&) {
  if (!destination.tls) {
    return InvalidArgument("PEER_IDENTITY", "Cluster {}: transport_socket is missing; tier 2 calls nobody without TLS",
                           destination.name);
  }
  if (!destination.tls->allowed_uris.empty()) return {};
  for (const auto& locality : destination.localities) {
    for (const auto& endpoint : locality.endpoints) {
      if (!endpoint.spiffe_id.empty()) continue;
      return InvalidArgument("PEER_IDENTITY", "Cluster {}: endpoint {}:{} has no SPIFFE id to demand", destination.name,
                             endpoint.address, endpoint.port);
    }
  }
  return {};
}

}  // namespace

gateway::Role Tier2Role() {
  gateway::Role role;
  role.program = "weir-tier2";
  role.purpose = "Receives requests inside a cluster and hands them to the proxies beside the pods.";
  role.checks = {CheckListener, CheckDestinationSet};
  return role;
}

}  // namespace weir::tier2
