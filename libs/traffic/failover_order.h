#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libs/traffic/share.h"

namespace weir::traffic {

// Where a cluster stands. Empty = not known; an unknown region or zone is never the same as another.
struct ClusterPlace {
  std::string cluster;
  std::string region;
  std::string zone;
  std::map<std::string, std::string> labels{};
};

struct FailoverCandidate {
  ClusterPlace place;
  std::optional<uint32_t> weight = std::nullopt;  // All of a list or none. 0 = standby.
  bool standby = false;                           // Comes behind all that are not, whatever its weight.
};

struct FailoverRules {
  struct Region {
    std::string from;
    std::string to;  // Takes over from `from`. The first of several comes first.
  };
  Mode mode = Mode::kProportional;
  std::vector<Region> regions{};
  // Label keys, or "key=value", most important first.
  std::vector<std::string> labels{};
};

// The place of each candidate (by index, as the list is) in the failover order of a tier-1 gateway that stands at
// `own`: 0 first, without gaps; equal numbers share. It is `Candidate::priority` (share.h).
//
// Without weights: the gateway's own locality first (its zone, its own cluster included; then its region), then by
// the rules: how many of `labels` agree, from the first on; then how few steps of `regions` lead there from the own
// region; then all others. kOrdered: clusters that are equally near come in the order of the list, one by one.
// With weights, kOrdered: the place in the list. Else 0 for all that carry weight; behind them the standbys, by the
// rules and then by nearness. For them `regions` lead from where weight stands, and from the own region. Those that are
// on standby come behind all others, in the same order among themselves.
std::vector<uint32_t> FailoverOrder(const ClusterPlace& own, std::span<const FailoverCandidate> candidates,
                                    const FailoverRules& rules);

}  // namespace weir::traffic
