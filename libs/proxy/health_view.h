#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libs/proxy/snapshot.h"
#include "libs/traffic/share.h"

namespace weir::proxy {

// What worker 0 (which alone judges) tells the others: immutable pieces, one per destination set, sent when they
// change. What is not named is healthy.

std::string EndpointKey(const Endpoint& endpoint);  // "127.0.2.10 15443 spiffe://…": the same endpoint, the same key.

struct LocalityHealth {
  std::string cluster;  // Locality::cluster.
  bool can_serve = true;
  uint32_t returning = traffic::Candidate::kFull;
  std::string_view reason;  // Static: "", drained, no_gateway, gateways_down, no_endpoint, held.

  bool operator==(const LocalityHealth&) const = default;
};

// An endpoint that takes no new requests.
struct EndpointOut {
  std::string key;
  bool dead = false;  // It does not answer at all: what waits on it waits in vain.

  bool operator==(const EndpointOut&) const = default;
};

struct SetHealth {
  std::vector<LocalityHealth> localities;
  std::vector<EndpointOut> out;  // Sorted by key.
  bool can_serve = true;
  bool judged = false;      // Somebody in it was seen able, or none is.
  std::string_view reason;  // Static; "" when it can serve.

  bool operator==(const SetHealth&) const = default;
};

struct HealthUpdate {
  // By name in Snapshot::clusters; null = nothing is known of it (any more).
  std::vector<std::pair<std::string, std::shared_ptr<const SetHealth>>> sets;
  // For the callers that keep the digest open; null = no change.
  std::shared_ptr<const std::string> digest;  // All its lines, for one that begins.
  std::string digest_changes;                 // Lines for those that have read the one before.
  uint64_t digest_version = 0;
};

// What the judge knows of a locality; null = nothing. `index` is where it most likely stands.
const LocalityHealth* HealthOf(const SetHealth* health, size_t index, const std::string& cluster);
// The localities of a set as libs/traffic takes them: what is configured, less what the judge leaves out.
std::vector<traffic::Candidate> CandidatesOf(const Cluster& cluster, const SetHealth* health);

// What a request taught about an endpoint.
enum class Failure : uint8_t {
  kConnect,  // No connection, or no TLS.
  kLost,     // The connection ended before the answer.
  kNobody,   // It says that it reached nobody behind it.
  kGateway,  // It says itself that it cannot: 503 with x-weir-reason, 502, 504.
};

// One thing a worker saw, for worker 0.
struct PassiveEvidence {
  std::string set;
  std::string endpoint;  // EndpointKey.
  Failure failure = Failure::kConnect;
  uint32_t in_a_row = 1;
};

}  // namespace weir::proxy
