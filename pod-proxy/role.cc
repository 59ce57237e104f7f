#include "pod-proxy/role.h"

#include <algorithm>

#include "libs/proxy/snapshot.h"

namespace weir::podproxy {
namespace {

bool IsLoopback(const std::string& address) { return address.starts_with("127.") || address == "::1"; }

Status CheckListener(const proxy::Listener& listener) {
  for (const proxy::FilterChain& chain : listener.chains) {
    if (chain.tls && chain.tls->require_client_certificate && !chain.tls->allowed_uris.empty()) continue;
    return InvalidArgument("PEER_IDENTITY",
                           "Listener {}: filter chain {} must require a client certificate and name the identities "
                           "that may call",
                           listener.name, chain.name);
  }
  return {};
}

Status Check(const proxy::Snapshot& snapshot) {
  for (const auto& listener : snapshot.listeners) WEIR_TRY(CheckListener(*listener));
  const auto own = [&](const std::string& address) {
    return IsLoopback(address) || std::any_of(snapshot.listeners.begin(), snapshot.listeners.end(),
                                              [&](const auto& listener) { return listener->address == address; });
  };
  for (const auto& [name, cluster] : snapshot.clusters) {
    if (cluster->tls) continue;
    for (const auto& locality : cluster->localities) {
      for (const auto& endpoint : locality.endpoints) {
        if (own(endpoint.address)) continue;
        return InvalidArgument("PEER_IDENTITY", "Cluster {}: plain endpoint {}:{} is not this workload", name,
                               endpoint.address, endpoint.port);
      }
    }
  }
  return {};
}

}  // namespace

gateway::Role PodProxyRole() {
  gateway::Role role;
  role.program = "weir-podproxy";
  role.purpose = "Stands beside a workload and lets in who proves an identity of the mesh.";
  role.check = Check;
  return role;
}

}  // namespace weir::podproxy
