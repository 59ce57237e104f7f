#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "libs/resource/conflicts.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/compile/compile.h"
#include "mgmt-server/compile/gateway_shape.h"

// Inside compile: names of intent resources, built and read in one place, and which keys a cluster has.
namespace weir::compile {

inline constexpr std::string_view kListener = "Listener";
inline constexpr std::string_view kHost = "Host";
inline constexpr std::string_view kDestinationSet = "DestinationSet";
inline constexpr std::string_view kServiceEndpoints = "ServiceEndpoints";
inline constexpr std::string_view kTrustBundle = "TrustBundle";

struct ListenerParts {
  std::string selector_key;
  uint32_t port = 0;
};
struct HostParts {
  ListenerParts listener;
  std::string hostname;
};
struct DestinationSetParts {
  HostParts host;
  std::string server;
  int rule = 0;
};
struct EndpointsParts {
  std::string cluster;  // Names.
  std::string tenant;
  std::string hostname;
};

std::string ListenerName(std::string_view selector_key, uint32_t port);
std::string HostName(std::string_view listener, std::string_view hostname);
std::string RouteName(const ServerShape& server, int rule);
std::string DestinationSetName(std::string_view host, const ServerShape& server, int rule);
std::string EndpointsName(std::string_view cluster, const ServerShape& server);

std::optional<ListenerParts> ParseListenerName(std::string_view name);
std::optional<HostParts> ParseHostName(std::string_view name);
std::optional<DestinationSetParts> ParseDestinationSetName(std::string_view name);
std::optional<EndpointsParts> ParseEndpointsName(std::string_view name);

// The object and server that a host comes from: the first by FQN, should two claim it.
struct Owner {
  const GatewayShape* shape = nullptr;
  const ServerShape* server = nullptr;
};
Owner FindOwner(const World& world, std::string_view cluster, const HostParts& name);

// Servers of a tier-2 object that answer for this host.
template <typename Fn>
void EachCovering(const GatewayShape& tier2, const std::string& hostname, Fn fn) {
  for (const std::string& pattern : resource::PatternsFor(hostname)) {
    const auto [begin, end] = tier2.servers_by_host.equal_range(pattern);
    for (auto at = begin; at != end; ++at) fn(tier2.servers[at->second]);
  }
}
// Servers of a tier-1 object whose host this pattern covers.
template <typename Fn>
void EachCovered(const GatewayShape& tier1, const std::string& pattern, Fn fn) {
  if (!pattern.starts_with("*.")) {
    const auto [begin, end] = tier1.servers_by_host.equal_range(pattern);
    for (auto at = begin; at != end; ++at) fn(tier1.servers[at->second]);
    return;
  }
  for (const ServerShape& server : tier1.servers) {
    if (resource::Covers(pattern, server.hostname)) fn(server);
  }
}

bool GoesTo(const ServerShape& server, std::string_view cluster);
// Whether a tier-1 object has a host that `pattern` covers and that goes to this cluster (name), to gateways of this
// tenant (FQN).
bool RoutesTo(const GatewayShape& tier1, const std::string& pattern, std::string_view cluster, std::string_view tenant);
// Some servers of one object.
using Servers = std::vector<const ServerShape*>;
Servers AllOf(const GatewayShape& shape);

// Calls fn(cluster FQN, tier-1 object, its server) for every cluster that learns the endpoints which these servers of a
// tier-2 object make in `cluster` (FQN).
template <typename Fn>
void EachImport(const World& world, const GatewayShape& tier2, const Servers& servers, std::string_view cluster,
                Fn fn) {
  const std::string_view name = resource::LastName(cluster);
  std::map<std::string, std::vector<std::string>> importers;  // Of a tier-1 object.
  for (const ServerShape* server : servers) {
    for (const std::string& fqn : Tier1For(world, tier2.organization, server->hostname)) {
      const GatewayShape& tier1 = *world.gateway(fqn);
      if (!RoutesTo(tier1, server->hostname, name, tier2.tenant)) continue;
      const auto [known, first] = importers.try_emplace(fqn);
      if (first) known->second = ClustersOf(world, tier1);
      for (const std::string& importer : known->second) {
        EachCovered(tier1, server->hostname, [&](const ServerShape& theirs) {
          if (theirs.tenant == tier2.tenant) fn(importer, tier1, theirs);
        });
      }
    }
  }
}
// Calls fn(cluster FQN, tier-2 object, its server) for every tier-2 server that answers what these servers of a tier-1
// object send.
template <typename Fn>
void EachCallee(const World& world, const GatewayShape& tier1, const Servers& servers, Fn fn) {
  for (const ServerShape* server : servers) {
    const FqnSet callees = Tier2For(world, server->tenant, server->hostname);
    for (const auto* destination : GatewayShape::Destinations(*server)) {
      const std::string cluster = resource::ClusterFqn(tier1.organization, destination->name());
      for (const std::string& fqn : callees) {
        const GatewayShape& tier2 = *world.gateway(fqn);
        if (!CountsIn(world, tier2, cluster)) continue;
        EachCovering(tier2, server->hostname, [&](const ServerShape& theirs) { fn(cluster, tier2, theirs); });
      }
    }
  }
}

// Keys that one object brings to a cluster where it counts.
void AddObjectKeys(const GatewayShape& shape, std::set<Key>& keys);
void AddServerKeys(const GatewayShape& shape, const ServerShape& server, std::set<Key>& keys);
// The destination sets of a server that spread over clusters; with `cluster` (name) only those that name it.
void AddSpreadKeys(const GatewayShape& shape, const ServerShape& server, std::string_view cluster, std::set<Key>& keys);
// The objects that count in a cluster.
std::vector<const GatewayShape*> ShapesIn(const World& world, std::string_view cluster);
// All keys of a cluster, and perhaps some that CompileKey then finds empty.
std::set<Key> KeysOf(const World& world, std::string_view cluster);

}  // namespace weir::compile
