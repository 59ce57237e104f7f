#pragma once

#include <cstdint>
#include <string>
#include <string_view>

// What an agent and the gateways of its cluster say to each other beyond Envoy's own vocabulary. Both sides spell it
// from here (tests/layering finds whoever does not). Type URLs and what the xDS protocol itself needs on both hops
// (heartbeat, origin) stand in libs/xds/protocol/types.h; reasons are the words of libs/traffic/reason.h.

namespace weir::dialect {

// Where the tiers and the pod proxies call each other over mTLS, as declared; a workload may bind it elsewhere.
inline constexpr uint16_t kMeshPort = 15443;

// --- HTTP between the tiers

// This path and all below it are ours: from outside nothing there is answered.
inline constexpr std::string_view kOwnPaths = "/.weir";
inline bool IsOwnPath(std::string_view target) {
  if (!target.starts_with(kOwnPaths)) return false;
  return target.size() == kOwnPaths.size() || target[kOwnPaths.size()] == '/' || target[kOwnPaths.size()] == '?';
}
// GET: 200 while what stands behind the name that was called can serve; else 503 with the reason. On the chain
// kHealthChain: the health digest (libs/proxy/digest.h).
inline constexpr std::string_view kHealthPath = "/.weir/health";
// Headers that begin with it are nobody's business outside; lower case.
inline constexpr std::string_view kOwnHeaders = "x-weir-";
// Of a request: nobody could serve it, so whoever has it now sends it on whatever is known of health.
inline constexpr std::string_view kPanicHeader = "x-weir-panic";
// Of an answer that a gateway made by itself: why.
inline constexpr std::string_view kReasonHeader = "x-weir-reason";

// --- SNI and names on the mesh port

// Name of the filter chain on which our gateways serve the health digest.
inline constexpr std::string_view kHealthChain = "weir.health";
// SNI of that chain at the gateways of a trust domain.
inline std::string HealthSni(std::string_view trust_domain) { return "health." + std::string(trust_domain); }
// SNI of one port of a service at the pod proxies, in Istio's form.
inline std::string ServiceSni(uint32_t port, std::string_view host) {
  return "outbound_." + std::to_string(port) + "_._." + std::string(host);
}

// --- Secrets by SDS

inline constexpr std::string_view kIdentitySecret = "identity";  // The workload's own certificate and key.
inline constexpr std::string_view kTrustSecret = "trust";        // Roots, and which memberships count.
// Name of the custom_validator_config of kTrustSecret: a Struct, uid of a cluster -> its lowest valid generation.
inline constexpr std::string_view kGenerations = "dev.weir.generations";
// In it, beside the uids: how many seconds ago a leaf may have run out that is believed all the same.
inline constexpr std::string_view kExpiredGrace = "expired.grace";

// --- Node.client_features

// The node takes virtual hosts as resources of their own (VHDS) in Weir's form.
inline constexpr std::string_view kFeatureVhds = "dev.weir.vhds";

// --- Load and health reports

// Name of the set that leads to a port of a service of the gateway's own cluster; `host`: "<namespace>/<host>".
inline std::string ServiceSet(std::string_view host, uint32_t port) {
  return "service/" + std::string(host) + ":" + std::to_string(port);
}
inline bool IsServiceSet(std::string_view set) { return set.starts_with("service/"); }

// Metric of a locality: the share that it was meant to get, 0 to 1.
inline constexpr std::string_view kIntendedShare = "dev.weir.intended";

// --- filter_metadata: what Envoy has no field for

inline constexpr std::string_view kMetadata = "dev.weir";
namespace key {
// Of an endpoint.
inline constexpr std::string_view kSpiffeId = "spiffe_id";  // Text: the identity that it must prove.
inline constexpr std::string_view kCluster = "cluster";     // Text: the Weir cluster that it is in.
// Of a locality.
inline constexpr std::string_view kStandby = "standby";  // Flag: has weight 0, which Envoy cannot say, or waits.
inline constexpr std::string_view kDrained = "drained";  // Flag: an administrator took it out.
// Of a destination set.
inline constexpr std::string_view kHost = "host";       // Text: whose set it is; for people.
inline constexpr std::string_view kMode = "mode";       // Text: kProportional, also when absent, or kOrdered.
inline constexpr std::string_view kHoldMs = "hold_ms";  // Least time out after being judged down.
inline constexpr std::string_view kSlowReturnMs = "slow_return_ms";  // Time until the whole share is back.
inline constexpr std::string_view kDigest = "digest";                // Flag: ask its gateways for the health digest.
// Of a route.
inline constexpr std::string_view kIdempotent = "idempotent";  // Flag: may be repeated whatever its method.
// Of a virtual host on the mesh port.
inline constexpr std::string_view kCallers = "callers";  // Texts: SPIFFE ids that may call it.
// Of a filter chain.
inline constexpr std::string_view kByHost = "by_host";  // Flag: kCallers of the called host decide, not the chain.
}  // namespace key
inline constexpr std::string_view kProportional = "PROPORTIONAL";
inline constexpr std::string_view kOrdered = "ORDERED";

}  // namespace weir::dialect
