#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "libs/traffic/quota_schedule.h"

namespace weir::traffic {

// Where the share of a cluster that cannot serve goes.
enum class Mode : uint8_t {
  kProportional,  // To those that can, in proportion to weight.
  kOrdered,       // To the first in the order of the list that can.
};

// One cluster in a destination set, in the order of the document.
struct Candidate {
  static constexpr uint32_t kFull = 10;
  // Unset on all = by locality: the lowest `priority` that can serve, equally. 0 = standby.
  std::optional<uint32_t> weight = std::nullopt;
  bool standby = false;  // Waits as with weight 0; among those that do, `weight` counts.
  bool can_serve = true;
  uint32_t priority = 0;       // Lower first; a higher one takes traffic only when no lower one can.
  uint32_t returning = kFull;  // Slow return: tenths of its share that it may take, 1 to kFull.
};

// Writes what each candidate gets now, relative to the sum (`out` as long as `candidates`). All that can serve at
// full return: exactly the weights. Standbys (weight 0 counts as 1) get traffic only when nobody else can serve, those
// of the lowest priority first; with kOrdered, when they come first in the list. Who returns slowly takes over from the
// next rank in the same steps. False: none can serve, all of `out` is 0.
bool Distribute(Mode mode, std::span<const Candidate> candidates, std::span<uint64_t> out);

// Distribute and QuotaSchedule together: the destination choice of one worker for one destination set.
class ShareSchedule {
 public:
  ShareSchedule() = default;
  ShareSchedule(Mode mode, std::span<const Candidate> candidates) { Update(mode, candidates); }

  // What is owed to each is carried over a change of the shares.
  void Update(Mode mode, std::span<const Candidate> candidates);
  // Index of the cluster for the next request; QuotaSchedule::kNone when none can serve.
  size_t Next() { return schedule_.Next(); }
  // Intended share now, 0..1.
  double Intended(size_t candidate) const;

 private:
  QuotaSchedule schedule_;
  std::vector<uint64_t> shares_;
};

}  // namespace weir::traffic
