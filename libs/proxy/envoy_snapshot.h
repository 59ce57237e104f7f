#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"
#include "libs/proxy/snapshot.h"

namespace weir::proxy {

// One Envoy v3 resource as it came: `bytes` is the serialized message (google.protobuf.Any.value).
struct EnvoyResource {
  std::string type_url;  // "type.googleapis.com/envoy.config.listener.v3.Listener"
  std::string name;
  std::string bytes;
};
struct EnvoyResourceName {
  std::string type_url;
  std::string name;
};

// What a set of resources means.
struct BuiltSnapshot {
  std::shared_ptr<const Snapshot> snapshot;
  // PEM of Secret `trust`, for Engine::SetIdentity; "" = not here yet.
  std::string trust_pem;
  // Listeners that wait for a route configuration that has not arrived: "listener 80 waits for routes edge/80". They
  // are served as before, or not yet.
  std::vector<std::string> waiting;
};

// Envoy v3 resources (Listener, RouteConfiguration, VirtualHost, Cluster, ClusterLoadAssignment, Secret `trust`) ->
// Snapshot. Keeps what it parsed, so that a change costs what changed, and unchanged pieces are the same objects in the
// next snapshot. A field that the engine does not serve refuses the resource (manifest below). Not thread-safe.
class SnapshotBuilder {
 public:
  SnapshotBuilder();
  ~SnapshotBuilder();

  // All or nothing: upserts, removals, and the snapshot of what is then there. An Error (INVALID_ARGUMENT; message
  // "Listener 80: filter_chains[0].filters[0].typed_config.access_log is not served") leaves everything as it was and
  // is what a NACK says. Reasons: UNSUPPORTED_FIELD, UNSUPPORTED_VALUE, UNSUPPORTED_TYPE, BAD_RESOURCE,
  // DUPLICATE_DOMAIN, BAD_DOMAIN. Removing what is not there is nothing. `version` becomes Snapshot::version.
  Result<BuiltSnapshot> Apply(std::span<const EnvoyResource> upserts, std::span<const EnvoyResourceName> removals,
                              std::string version);

 private:
  class State;
  std::unique_ptr<State> state_;
};

// The same for one complete set (last-good, tests).
Result<BuiltSnapshot> BuildSnapshot(std::span<const EnvoyResource> resources, std::string version);

// Which Envoy fields are served: lines "<full field name> supported|ignored [reason]". Supported: obeyed, or refused
// when its value cannot be. Ignored: leaving it out protects nobody less (the engine does it anyway, or it only names
// things). Any other field, unknown field numbers too, is refused by name.
std::string_view EnvoyManifest();

}  // namespace weir::proxy
