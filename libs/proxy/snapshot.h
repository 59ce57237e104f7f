#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

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
  std::string cluster;  // Name in Snapshot::clusters.
  std::optional<Redirect> redirect;
  std::optional<DirectResponse> direct_response;
  std::chrono::milliseconds timeout{15'000};  // Whole request; 0 = none.
  bool idempotent = false;                    // Safe to repeat whatever its method.
};

// One route configuration. `actions[host_index][rule.action]` belongs to `table.hosts()[host_index]`.
struct Routes {
  std::string name;
  traffic::RouteTable table;
  std::vector<std::shared_ptr<const std::vector<RouteAction>>> actions;
};

struct FilterChain {
  std::string name;
  // SNI, lower case: "host" or "*.suffix". Empty = everything else (at most one such chain per listener).
  std::vector<std::string> server_names;
  std::optional<DownstreamTls> tls;  // Unset = plain; all chains of a listener agree.
  std::shared_ptr<const Routes> routes;
};

struct Listener {
  std::string name;
  std::string address;  // IPv4 or IPv6.
  uint16_t port = 0;    // 0 = chosen by the kernel, see Engine::Port.
  std::vector<FilterChain> chains;
};

struct Endpoint {
  std::string address;  // IPv4 or IPv6.
  uint16_t port = 0;
  std::string spiffe_id;  // Demanded exactly when the cluster speaks TLS; empty there = the cluster's `allowed_uris`.

  bool operator==(const Endpoint&) const = default;
};

struct Locality {
  std::string cluster;             // Weir cluster: label of metrics and logs.
  std::optional<uint32_t> weight;  // Unset on all = by priority, equally. 0 = standby.
  uint32_t priority = 0;           // Lower first.
  std::vector<Endpoint> endpoints;
};

struct UpstreamTls {
  std::string sni;
  std::vector<UriMatch> allowed_uris;  // For endpoints without a SPIFFE id of their own; empty = any that verifies.

  bool operator==(const UpstreamTls&) const = default;
};

struct Cluster {
  std::string name;
  std::chrono::milliseconds connect_timeout{500};
  std::optional<UpstreamTls> tls;  // Unset = plain.
  traffic::Mode mode = traffic::Mode::kProportional;
  std::vector<Locality> localities;
};

struct Snapshot {
  std::string version;                                     // For logs and the admin door.
  std::vector<std::shared_ptr<const Listener>> listeners;  // Unique by name and by address:port.
  std::unordered_map<std::string, std::shared_ptr<const Cluster>> clusters;
};

}  // namespace weir::proxy
