#include "libs/gateway/role.h"

namespace weir::gateway {

Status DemandNamedCallers(const proxy::Listener& listener) {
  for (const proxy::FilterChain& chain : listener.chains) {
    if (chain.tls && chain.tls->demands()) continue;
    return InvalidArgument("PEER_IDENTITY",
                           "Listener {}: filter chain {} must require a client certificate and name the identities "
                           "that may call",
                           listener.name, chain.name);
  }
  return {};
}

Status DemandNamedUpstreams(const proxy::DestinationSet& destination, std::string_view tier) {
  if (!destination.tls) {
    return InvalidArgument("PEER_IDENTITY", "Cluster {}: transport_socket is missing; {} calls nobody without TLS",
                           destination.name, tier);
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

}  // namespace weir::gateway
