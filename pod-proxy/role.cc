#include "pod-proxy/role.h"

#include "libs/proxy/snapshot.h"

namespace weir::podproxy {
namespace {

bool IsLoopback(const std::string& address) { return address.starts_with("127.") || address == "::1"; }

Status CheckListener(const proxy::Listener& listener) {
  for (const proxy::FilterChain& chain : listener.chains) {
    if (chain.tls && chain.tls->demands()) continue;
    return InvalidArgument("PEER_IDENTITY",
                           "Listener {}: filter chain {} must require a client certificate and name the identities "
                           "that may call",
                           listener.name, chain.name);
  }
  return {};
}

Status CheckDestinationSet(const proxy::DestinationSet& destination, const std::set<std::string>& own_addresses) {
  if (destination.tls) return {};
  for (const auto& locality : destination.localities) {
    for (const auto& endpoint : locality.endpoints) {
      if (IsLoopback(endpoint.address) || own_addresses.contains(endpoint.address)) continue;
      return InvalidArgument("PEER_IDENTITY", "Cluster {}: plain endpoint {}:{} is not this workload", destination.name,
                             endpoint.address, endpoint.port);
    }
  }
  return {};
}

}  // namespace

gateway::Role PodProxyRole() {
  gateway::Role role;
  role.program = "weir-podproxy";
  role.purpose = "Stands beside a workload and lets in who proves an identity of the mesh.";
  role.checks = {CheckListener, CheckDestinationSet};
  return role;
}

}  // namespace weir::podproxy
