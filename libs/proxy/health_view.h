#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "libs/proxy/snapshot.h"
#include "libs/traffic/availability.h"
#include "libs/traffic/share.h"

namespace weir::proxy {

// What worker 0 (which alone judges) tells the others: immutable pieces, one per destination set, sent when they
// change. What is not named is healthy.

std::string EndpointKey(const Endpoint& endpoint);  // "127.0.2.10 15443 spiffe://…": the same endpoint, the same key.

// Rules of a host that differ in health; null = all alike.
struct RulesPtr : std::shared_ptr<const traffic::RuleHealths> {
  using std::shared_ptr<const traffic::RuleHealths>::shared_ptr;
  RulesPtr(std::shared_ptr<const traffic::RuleHealths> rules) : shared_ptr(std::move(rules)) {}
  bool operator==(std::nullptr_t) const { return get() == nullptr; }
  bool operator==(const RulesPtr& other) const {
    return get() == other.get() || (get() != nullptr && other.get() != nullptr && **this == *other);
  }
};

struct LocalityHealth {
  std::string cluster;  // Locality::cluster.
  bool can_serve = true;
  uint32_t returning = traffic::Candidate::kFull;
  traffic::Reason reason = traffic::Reason::kNone;  // Why it does not simply serve.
  RulesPtr rules{};                                 // Which of a host's rules it can serve, where they differ.
  bool proven = false;                              // Was seen able at some time.

  bool operator==(const LocalityHealth&) const = default;
};

// An endpoint that is not like the others.
struct EndpointHealth {
  std::string key;
  bool out = false;       // Others are tried first.
  bool dead = false;      // It does not answer at all: what waits on it waits in vain.
  bool on_trial = false;  // It was silent to requests: to be tried with single ones until it answers.
  RulesPtr rules{};

  bool operator==(const EndpointHealth&) const = default;
};

struct SetHealth {
  std::vector<LocalityHealth> localities;
  std::vector<EndpointHealth> endpoints;  // Sorted by key; those not named are well.
  bool can_serve = true;
  bool judged = false;                              // Somebody in it was seen able, or none is.
  traffic::Reason reason = traffic::Reason::kNone;  // Why it cannot serve.

  bool operator==(const SetHealth&) const = default;
};

struct HealthUpdate {
  // By name in Snapshot::destination_sets; null = nothing is known of it (any more).
  std::vector<std::pair<std::string, std::shared_ptr<const SetHealth>>> sets;
  // For the callers that keep the digest open; null = no change.
  std::shared_ptr<const std::string> digest;  // All its lines, for one that begins.
  std::string digest_changes;                 // Lines for those that have read the one before.
  uint64_t digest_version = 0;
};

// What the judge knows of a locality; null = nothing. `index` is where it most likely stands.
const LocalityHealth* HealthOf(const SetHealth* health, size_t index, const std::string& cluster);
// The localities of a set as libs/traffic takes them: what is configured, less what the judge leaves out.
std::vector<traffic::Candidate> CandidatesOf(const DestinationSet& destination, const SetHealth* health);

// What requests to one endpoint have taught a worker, for worker 0. kNone: it answered again.
struct RequestOutcome {
  std::string set;
  std::string endpoint;  // EndpointKey.
  traffic::Failure failure = traffic::Failure::kNone;
};

}  // namespace weir::proxy
