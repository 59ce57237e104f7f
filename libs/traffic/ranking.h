#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "libs/traffic/share.h"

namespace weir::traffic {

// Who takes requests before whom, in steps.
struct Ranking {
  // Envoy, and our gateways with it, take priorities 0 to 128. What comes behind shares the last step.
  static constexpr uint32_t kMost = 129;
  // By candidate, contiguous from 0. kProportional: those of a step share by weight, standbys (weight 0, too) come
  // behind the others. kOrdered: what carries weight is the first step; all others have a step each.
  std::vector<uint32_t> steps;
  std::vector<size_t> order;  // Candidates as they stand in the list: kOrdered by priority, else as they were given.
  size_t wanted = 0;          // How many steps there would be without kMost.
};
Ranking RankingOf(Mode mode, std::span<const Candidate> candidates);

}  // namespace weir::traffic
