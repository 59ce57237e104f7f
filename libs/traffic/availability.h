#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libs/traffic/reason.h"
#include "libs/traffic/route_table.h"
#include "libs/traffic/share.h"

namespace weir::traffic {

// Who can serve, and why not. Pure: the gateways ask for each destination set when its evidence changes, the server
// asks for status, explain and drills, tests ask as an oracle.

// What is known about one cluster as a destination, counted over its endpoints: its tier-2 gateways, or pods.
struct ClusterEvidence {
  bool drained = false;
  bool gateways = false;   // The endpoints are gateways of the next tier, which answer for those behind them.
  uint32_t endpoints = 0;  // Known.
  uint32_t usable = 0;     // Nothing speaks against them.
  uint32_t able = 0;       // Not proven bad (usable ones among them).
  uint32_t answering = 0;  // Proven bad, but their last answer was good.
  uint32_t behind = 0;     // They answer; it is those behind them that cannot serve.
  bool held = false;       // Kept out by its judge (judge.h), though nothing speaks against it.
};

// How much speaks for a cluster; smaller is better.
enum class Standing : uint8_t {
  kServes,
  kCautious,   // Able, kept out by caution only: held, or in doubt since a request failed.
  kAnswering,  // Not proven able again, but somebody of it answered last.
  kOut,
};

struct Availability {
  Standing standing = Standing::kServes;
  Reason reason = Reason::kNone;  // Why it does not simply serve.
  bool anybody = true;            // There is somebody to send to, able or not, and it is not drained.

  bool operator==(const Availability&) const = default;
};
Availability Assess(const ClusterEvidence& evidence);

// The standing that a cluster of one destination set needs to serve now: the best there is. Hold, doubt and consecutive
// successes are for choices, so when nobody simply serves, whoever answered last takes it at once. kOut = nobody can.
// Drained ones never serve.
Standing NeededToServe(std::span<const Availability> clusters);

// One cluster of a destination set, in the order of the document.
struct Destination {
  std::string cluster;
  std::optional<uint32_t> weight = std::nullopt;  // As in Candidate.
  uint32_t priority = 0;                          // As in Candidate.
  uint32_t returning = Candidate::kFull;          // As in Candidate.
  Availability availability{};
  bool standby = false;  // As in Candidate.
};

// Where the requests of one destination set go, and where they would go.
struct Spread {
  std::vector<double> shares;  // By destination, 0 to 1; all 0 when nobody can serve, or is asked all the same.
  // Who serves now, then who would if all of those were lost, and so on; by index. Those that cannot serve are in none.
  std::vector<std::vector<size_t>> order;
  Reason nobody = Reason::kNone;  // Why there is nowhere to go; kNone = there is.
  bool panic = false;             // And all where there is anybody are asked all the same.
};
// `panic`: while nobody can serve, health is not asked, and the shares are those of all where there is anybody.
Spread SpreadOf(Mode mode, std::span<const Destination> destinations, bool panic = false);

// One rule of a host as a gateway that serves it sees it. Of a list the first rule that accepts a path decides; a path
// that none accepts has nothing to do with health.
struct RuleHealth {
  PathKind kind = PathKind::kPrefix;
  std::string path = "/";
  bool can_serve = true;
  bool held = false;                      // With can_serve false: it answers again and is kept out by caution only.
  uint32_t returning = Candidate::kFull;  // As in Candidate.

  bool SameRule(const RuleHealth& other) const { return kind == other.kind && path == other.path; }
  bool operator==(const RuleHealth&) const = default;
};
using RuleHealths = std::vector<RuleHealth>;
const RuleHealth* RuleFor(const RuleHealths& rules, std::string_view path);  // Null = none accepts. May carry a query.

}  // namespace weir::traffic
