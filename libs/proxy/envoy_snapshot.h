#pragma once

#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"
#include "libs/identity/generation.h"
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

// A resource that is not served as it came.
struct Refusal {
  std::string type_url;
  std::string name;
  Error error;
  // false: it is bad by itself; what was there under this name stays, and it is forgotten. true: something outside of
  // it stands in its way (another resource's domain or address, the role, a port that somebody holds); it is kept, what
  // was served under this name is served on, and it is tried again whenever anything changes.
  bool held = false;
};

// What a set of resources means.
struct BuiltSnapshot {
  std::shared_ptr<const Snapshot> snapshot;
  // PEM of Secret `trust`, for Engine::SetIdentity; "" = not here yet.
  std::string trust_pem;
  // Listeners that wait for a route configuration that has not arrived: "listener 80 waits for routes edge/80". They
  // are served as before, or not yet.
  std::vector<std::string> waiting;
  // Those of this change that are bad, and all that are held.
  std::vector<Refusal> refused;
  // Which memberships count, from the custom_validator_config "dev.weir.generations" of Secret `trust` (a
  // google.protobuf.Struct, cluster uid -> lowest generation); null = not said.
  std::shared_ptr<const identity::ValidGenerations> generations = nullptr;
};

// What a role demands of a piece beyond its form. A piece that is refused is held.
class PieceChecks {
 public:
  virtual ~PieceChecks() = default;

  virtual Status CheckListener(const Listener& listener) const = 0;
  // `own_addresses`: of all listeners, served or not.
  virtual Status CheckDestinationSet(const DestinationSet& destination,
                                     const std::set<std::string>& own_addresses) const = 0;
};

// Demands nothing: for who only wants to know what resources mean.
class FormOnly final : public PieceChecks {
 public:
  Status CheckListener(const Listener&) const override { return {}; }
  Status CheckDestinationSet(const DestinationSet&, const std::set<std::string>&) const override { return {}; }
};
inline const FormOnly kFormOnly{};

// Envoy v3 resources (Listener, RouteConfiguration, VirtualHost, Cluster, ClusterLoadAssignment, Secret `trust`) ->
// Snapshot. Keeps what it parsed, so that a change costs what changed, and unchanged pieces are the same objects in the
// next snapshot. A field that the engine does not serve refuses the resource (manifest below). Not thread-safe.
class SnapshotBuilder {
 public:
  explicit SnapshotBuilder(const PieceChecks& checks);  // `checks` outlives it.
  ~SnapshotBuilder();

  // Upserts, removals, and the snapshot of what is then there. Each resource is judged by itself: one that is refused
  // (BuiltSnapshot::refused) takes no other along. INVALID_ARGUMENT; message "Listener 80:
  // filter_chains[0].filters[0].typed_config.access_log is not served" is what a NACK says. Reasons:
  // UNSUPPORTED_FIELD, UNSUPPORTED_VALUE, UNSUPPORTED_TYPE, BAD_RESOURCE, BAD_DOMAIN; of what is held:
  // DUPLICATE_DOMAIN, ADDRESS_TAKEN and the role's. Of two that exclude each other the one that is served already
  // stays, else the first by name. Removing what is not there is nothing. `version` becomes Snapshot::version.
  BuiltSnapshot Apply(std::span<const EnvoyResource> upserts, std::span<const EnvoyResourceName> removals,
                      std::string version);

 private:
  class State;
  std::unique_ptr<State> state_;
};

// The same for one complete set (tests); the Error is the first refusal.
Result<BuiltSnapshot> BuildSnapshot(std::span<const EnvoyResource> resources, std::string version);

// Which Envoy fields are served: lines "<full field name> supported|ignored [reason]". Supported: obeyed, or refused
// when its value cannot be. Ignored: leaving it out protects nobody less (the engine does it anyway, or it only names
// things). Any other field, unknown field numbers too, is refused by name.
std::string_view EnvoyManifest();

}  // namespace weir::proxy
