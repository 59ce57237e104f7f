#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "libs/dialect/dialect.h"
#include "libs/traffic/route_table.h"
#include "libs/traffic/share.h"

namespace weir::proxy {

// Everything the engine serves at one time: plain immutable values, built once, read by every worker without a lock.
// What did not change between two snapshots is shared by pointer; the engine relies on that to skip work.

// One accepted URI subject alternative name (SPIFFE id) of a peer.
struct UriMatch {
  std::string value;    // "spiffe://edge.acme.weir.internal/ns/edge/sa/t1"
  bool prefix = false;  // true: `value` is a prefix ending in '/'.

  bool operator==(const UriMatch&) const = default;
};

// TLS on the side of the caller. The certificate and the trusted roots are the engine's identity (SetIdentity).
struct DownstreamTls {
  bool require_client_certificate = false;
  // The caller's one URI SAN must match one of these; empty with a required certificate = any that verifies.
  // A chain that demands identities is inside the mesh: forwarded headers of its callers are believed.
  std::vector<UriMatch> allowed_uris;
  // Instead: SNI is looked up among the hosts of the chain's routes, and the caller must be one that its host lets in
  // (Routes::callers). Such a chain has no server names, and a listener may have several.
  bool by_host = false;

  // Whether the caller has to prove an identity that is named.
  bool demands() const { return require_client_certificate && (by_host || !allowed_uris.empty()); }
  bool operator==(const DownstreamTls&) const = default;
};

struct Redirect {
  std::string scheme;     // "https"; empty = as requested.
  std::string authority;  // Empty = as requested.
  std::string path;       // Empty = as requested, with query.
  uint32_t status = 301;  // 301, 302, 303, 307, 308.
};

struct DirectResponse {
  uint32_t status = 200;  // 200 to 599.
  std::string body;       // text/plain.
};

// What a route does: exactly one of the first three is set.
struct RouteAction {
  std::string destination_set;  // Name in Snapshot::destination_sets.
  std::optional<Redirect> redirect;
  std::optional<DirectResponse> direct_response;
  std::chrono::milliseconds timeout{15'000};  // Whole request, first byte to the answer's last; 0 = none.
  // To the first byte of the answer and between two bytes, while the endpoint is waited for; 0 = none, unset = as the
  // chain says.
  std::optional<std::chrono::milliseconds> idle = std::nullopt;
  bool idempotent = false;  // Safe to repeat whatever its method.
};

// Who may call a host on chains by host; empty = nobody.
using Callers = std::vector<UriMatch>;

// One route configuration. `actions[host_index][rule.action]` belongs to `table.hosts()[host_index]`.
struct Routes {
  std::string name;
  traffic::RouteTable table;
  std::vector<std::shared_ptr<const std::vector<RouteAction>>> actions;
  std::vector<std::shared_ptr<const Callers>> callers;  // By host; null, or no entry: no chain by host serves it.

  const Callers* CallersOf(uint32_t host) const { return host < callers.size() ? callers[host].get() : nullptr; }
};

struct FilterChain {
  std::string name;
  // SNI, lower case: "host" or "*.suffix". Empty = everything else (at most one such chain per listener).
  std::vector<std::string> server_names;
  std::optional<DownstreamTls> tls;  // Unset = plain; all chains of a listener agree.
  std::shared_ptr<const Routes> routes;
  // The chain on which tier-1 gateways keep the health digest open (GET dialect::kHealthPath); else that path answers
  // for what stands behind this chain alone.
  bool health_digest = false;
  // RouteAction::idle of routes without; unset = Limits::stalled_body.
  std::optional<std::chrono::milliseconds> idle = std::nullopt;
};

struct Listener {
  std::string name;
  std::string resource;  // The Envoy resource it was made of, which may open several addresses; empty = name.
  std::string address;   // IPv4 or IPv6.
  uint16_t port = 0;     // 0 = chosen by the kernel, see Engine::Port.
  std::vector<FilterChain> chains;
};

struct Endpoint {
  std::string address;  // IPv4 or IPv6.
  uint16_t port = 0;
  std::string spiffe_id;  // Demanded exactly when the destination set speaks TLS; empty there = its `allowed_uris`.

  bool operator==(const Endpoint&) const = default;
};

struct Locality {
  std::string cluster;             // Weir cluster: label of metrics and logs.
  std::optional<uint32_t> weight;  // Unset on all = by priority, equally. 0 = standby.
  uint32_t priority = 0;           // Lower first.
  bool standby = false;            // Waits until nobody else can serve; among those that do, `weight` counts.
  bool drained = false;            // Takes no new requests: its share moves as if it could not serve.
  std::vector<Endpoint> endpoints;
};

// An active check of every endpoint of a destination set, over the same TLS as its requests.
struct HealthCheck {
  enum class Kind : uint8_t { kHttp, kTcp };
  Kind kind = Kind::kHttp;
  std::string path{dialect::kHealthPath};     // kHttp: GET; a status from 200 on is healthy,
  int unhealthy_from = 300;                   // up to here. 201 or 300.
  std::string host;                           // kHttp: Host header; empty = the destination set's name.
  uint16_t port = 0;                          // 0 = the endpoint's.
  std::chrono::milliseconds interval{1'000};  // 100 ms to 1 h.
  std::chrono::milliseconds timeout{500};     // 10 ms to 1 min.
  uint32_t down_after = 2;                    // Consecutive failures, 1 to 100.
  uint32_t up_after = 3;                      // Consecutive successes, 1 to 100.

  bool operator==(const HealthCheck&) const = default;
};

struct UpstreamTls {
  std::string sni;
  std::vector<UriMatch> allowed_uris;  // For endpoints without a SPIFFE id of their own; empty = any that verifies.

  bool operator==(const UpstreamTls&) const = default;
};

// Where a route leads: endpoints of one service, or of several Weir clusters with their shares. Made of Envoy's Cluster
// and ClusterLoadAssignment; "cluster" alone is a Weir cluster everywhere here.
struct DestinationSet {
  std::string name;
  std::chrono::milliseconds connect_timeout{500};
  std::optional<UpstreamTls> tls;  // Unset = plain.
  traffic::Mode mode = traffic::Mode::kProportional;
  std::vector<Locality> localities;
  std::optional<HealthCheck> check;  // Unset = only failed requests tell.
  // Ask each endpoint for its digest; `check` only where a peer has none.
  bool digest = false;
  bool panic = false;                             // While nobody can serve, all are asked all the same.
  std::chrono::milliseconds hold{10'000};         // A locality judged down stays out at least this long.
  std::chrono::milliseconds slow_return{10'000};  // Then takes its share in 10 equal steps over this time.
};

struct Snapshot {
  std::string version;                                     // For logs and the admin door.
  std::vector<std::shared_ptr<const Listener>> listeners;  // Unique by name and by address:port.
  std::unordered_map<std::string, std::shared_ptr<const DestinationSet>> destination_sets;
};

}  // namespace weir::proxy
