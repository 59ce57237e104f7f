#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "libs/xds/protocol/types.h"

namespace envoy::service::discovery::v3 {
class DiscoveryRequest;
class DiscoveryResponse;
class DeltaDiscoveryRequest;
class DeltaDiscoveryResponse;
}  // namespace envoy::service::discovery::v3

namespace weir::xds {

// How one type behaves.
struct TypeRule {
  std::string url;
  // An empty first subscription means "all" (LDS, CDS, VHDS, all mesh types). RDS, EDS and SDS: never (T15, T17). "*"
  // always does.
  bool legacy_wildcard = false;
  // State of the world: absence in a response means deletion, so a response cannot be split (LDS, CDS; T19).
  bool complete = false;
  // Neither waits for other types nor makes them wait (SDS).
  bool unordered = false;
  // Additions wait for nobody, but others wait for them: Envoy acknowledges a Cluster only when it is warm, and it is
  // warm once its endpoints are there (EDS; T31).
  bool at_once = false;
  // How long its answer is waited for before the others go on without it (T30); 0 = ServerRules::ack_timeout.
  Duration ack_timeout{0};
  // After a changed resource of this type, the resource of type `warms` that it names is sent again even if unchanged
  // (a changed Cluster waits for its endpoints; T31). `warmed_name` maps this type's message to that name ("" = none).
  std::string warms;
  std::function<std::string(const Resource&)> warmed_name;
};

struct ServerRules {
  // In make order (T29): a type's additions and changes wait until those of every earlier subscribed type that came
  // with them or before are acknowledged.
  std::vector<TypeRule> types;
  // In break order: a type's removals wait until every type before it in this list has sent what came with them or
  // before, and has it acknowledged. Empty = reverse of `types`.
  std::vector<std::string> removal_order;
  // ControlPlane.identifier of every response.
  std::string control_plane;
  // How long one type is waited for before the others go on without it (T30). After a NACK that names nobody, too.
  Duration ack_timeout = std::chrono::seconds(5);
  // Of one response; what is more is split (T49: proxyless gRPC takes 4 MiB).
  size_t max_response_bytes = 3'500'000;
  // Of one resource, or of a set that cannot be split, to clients that take more than gRPC's: Envoy and our own.
  size_t max_large_response_bytes = 60'000'000;
  // Most names that one stream may ask for by name, of one type, and most bytes of each.
  size_t max_names = 100'000;
  size_t max_name_bytes = 1024;
  // Heartbeats (type kHeartbeat) for clients with kFeatureHeartbeat that subscribe to it.
  Duration heartbeat_interval = std::chrono::seconds(3);
  int heartbeat_misses = 3;
};
ServerRules EnvoyRules();  // SDS (free), CDS EDS LDS RDS VHDS; removals LDS RDS VHDS CDS EDS SDS.
ServerRules MeshRules();   // TrustBundle ServiceEndpoints DestinationSet Host Listener; removals reversed.

// The server's side of one ADS stream, state of the world or delta (decided by the first request). Knows no transport
// and no thread: feed requests in, pull responses out with Next whenever the transport can write, call Tick at
// NextDeadline. Not thread-safe. At most one un-acknowledged response per type; what changes meanwhile coalesces to the
// newest (T53). Numbers T.. are the rules this implements; server_stream_test.cc cites them.
class ServerStream {
 public:
  using Observer = std::function<void(const AckEvent&)>;

  ServerStream(std::shared_ptr<const ServerRules> rules, const Clock& clock, Observer observer = {});
  ~ServerStream();
  ServerStream(const ServerStream&) = delete;
  ServerStream& operator=(const ServerStream&) = delete;

  // An error ends the stream with that code: INVALID_ARGUMENT NODE_MISSING, TYPE_MISSING, MIXED_PROTOCOLS,
  // NODE_CHANGED, NAME_TOO_LONG; RESOURCE_EXHAUSTED TOO_MANY_NAMES.
  Status OnRequest(const envoy::service::discovery::v3::DiscoveryRequest& request);
  Status OnRequest(const envoy::service::discovery::v3::DeltaDiscoveryRequest& request);

  // nullptr = nothing loaded: every request waits. Never pass an empty snapshot for "not loaded" (T48).
  void SetSnapshot(SnapshotPtr snapshot);

  // The next response to write, if one is due now. The variant must fit the stream's protocol; the other returns false.
  bool Next(envoy::service::discovery::v3::DiscoveryResponse* out);
  bool Next(envoy::service::discovery::v3::DeltaDiscoveryResponse* out);

  // When Tick wants to be called next (ACK timeout, TTL refresh, heartbeat); nullopt = never.
  std::optional<MonoTime> NextDeadline() const;
  // Then call Next. UNAVAILABLE HEARTBEAT_MISSED: the client is dead, close the stream.
  Status Tick();

  // Set after the first request was accepted.
  const std::optional<Node>& node() const;
  // What the client acknowledged of a type (T57). Empty for unknown types.
  std::map<std::string, std::string> Acknowledged(std::string_view type_url) const;
  // Everything that is in the snapshot and subscribed was sent and answered (tests, drain).
  bool AllAnswered() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace weir::xds
