#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/clock.h"

namespace weir::xds {

// Type URLs. Envoy's, agent to data plane:
inline constexpr std::string_view kCluster = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
inline constexpr std::string_view kEndpoints = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
inline constexpr std::string_view kListener = "type.googleapis.com/envoy.config.listener.v3.Listener";
inline constexpr std::string_view kRoute = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
inline constexpr std::string_view kVirtualHost = "type.googleapis.com/envoy.config.route.v3.VirtualHost";
inline constexpr std::string_view kSecret = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
// Ours, server to agent:
inline constexpr std::string_view kMeshListener = "type.googleapis.com/weir.mesh.v1.Listener";
inline constexpr std::string_view kMeshHost = "type.googleapis.com/weir.mesh.v1.Host";
inline constexpr std::string_view kMeshDestinationSet = "type.googleapis.com/weir.mesh.v1.DestinationSet";
inline constexpr std::string_view kMeshServiceEndpoints = "type.googleapis.com/weir.mesh.v1.ServiceEndpoints";
inline constexpr std::string_view kMeshTrustBundle = "type.googleapis.com/weir.mesh.v1.TrustBundle";
inline constexpr std::string_view kMeshTypePrefix = "type.googleapis.com/weir.mesh.v1.";

// All types of a hop, in make order: what is pointed at before what points at it. A server says all of them; one that
// has nothing is said to be empty.
inline constexpr std::string_view kEnvoyTypes[] = {kSecret, kCluster, kEndpoints, kListener, kRoute, kVirtualHost};
inline constexpr std::string_view kMeshTypes[] = {kMeshTrustBundle, kMeshServiceEndpoints, kMeshDestinationSet,
                                                  kMeshHost, kMeshListener};

// Both hops: sent anew every 3 s, its ACK is the sign of life.
inline constexpr std::string_view kHeartbeat = "type.googleapis.com/weir.mesh.v1.Heartbeat";

// Key in Node.metadata of a client's Snapshot::origin.
inline constexpr std::string_view kOriginKey = "dev.weir.origin";

// Node feature (Node.client_features) of our own clients: they subscribe to kHeartbeat.
inline constexpr std::string_view kFeatureHeartbeat = "dev.weir.heartbeat";

// One xDS resource. `value` is the serialized message without its Any wrapper; `version` is a hash of the content, so
// that it survives a restart of the server (T9). `ttl` 0 = lives until removed.
struct Resource {
  std::string name;
  std::string version;
  std::string value;
  Duration ttl{0};
};
using ResourcePtr = std::shared_ptr<const Resource>;
ResourcePtr MakeResource(std::string name, std::string value, Duration ttl = Duration{0});  // Version = ContentVersion.
std::string ContentVersion(std::string_view value);  // 16 hex digits, stable across machines.

using Resources = std::map<std::string, ResourcePtr, std::less<>>;
using ResourcesPtr = std::shared_ptr<const Resources>;

// Everything one node may see, by type URL. Immutable once shared. A type that is absent is not loaded yet: requests
// for it wait (T48). A type that is present and empty is known to be empty. Unchanged types should share their pointer
// with the snapshot before: such types cost nothing.
struct Snapshot {
  std::map<std::string, ResourcesPtr, std::less<>> types;
  // A client's: the newest `system_version_info` that it accepted a response with, as the server wrote it (position.h);
  // "" = the server says none. Goes back to the server with each new stream (kOriginKey).
  std::string origin;

  const Resource* Find(std::string_view type_url, std::string_view name) const;  // nullptr = no such resource.
  const Resources& Of(std::string_view type_url) const;                          // Empty when absent.
  size_t Count() const;
};
using SnapshotPtr = std::shared_ptr<const Snapshot>;

// Most bytes of a peer's own words that are kept: reasons of a NACK or of a stream's end; names of itself.
inline constexpr size_t kMostErrorBytes = 4096;
inline constexpr size_t kMostNodeTextBytes = 256;

// Who is at the other end, as it says itself (Envoy's Node). Not authenticated.
struct Node {
  std::string id;
  std::string cluster;  // Of the node: a Weir cluster.
  std::string user_agent;
  std::string region, zone, sub_zone;
  std::set<std::string, std::less<>> features;
  std::map<std::string, std::string> metadata;  // String-valued fields of Node.metadata.

  bool Has(std::string_view feature) const { return features.contains(feature); }
};

// A name with the version that was acknowledged or refused.
struct NamedVersion {
  std::string name;
  std::string version;
  bool operator==(const NamedVersion&) const = default;
};

// One answer of a client to one response.
struct AckEvent {
  std::string type_url;
  bool accepted = true;
  // What the client now has (accepted), by name; with initial_resource_versions what it already had.
  std::vector<NamedVersion> accepted_resources{};
  std::vector<NamedVersion> rejected_resources{};
  std::vector<std::string> removed{};  // Names the client acknowledged to be gone.
  std::string error{};                 // Reason of a NACK: cut and escaped, see CleanText.
  // Not an answer: names whose acknowledged version is being replaced or removed by a response that is on its way.
  // Until it is answered nobody knows which of them the client runs.
  std::vector<std::string> replaced{};
};

// weir.mesh.v1.Heartbeat{name: "heartbeat", sequence}, encoded by hand: this library knows no api.
inline constexpr std::string_view kHeartbeatName = "heartbeat";
std::string EncodeHeartbeat(uint64_t sequence);

}  // namespace weir::xds
