#pragma once

#include <cstdint>
#include <functional>

#include "libs/base/clock.h"

namespace weir::process {

// How long to wait before a peer is tried again: never in step with the others that lost it too, and ever more rarely.
// Each pause is drawn evenly from half of `first` to a ceiling, which begins at `first` and doubles with each failure
// up to `most` (full jitter above a floor that keeps a peer which refuses at once from being asked in a tight loop). It
// reads no clock. Not thread-safe.
class Backoff {
 public:
  struct Bounds {
    Duration first = std::chrono::milliseconds(100);
    Duration most = std::chrono::seconds(10);
  };
  // A number from 0 to 1, 1 excluded.
  using Random = std::function<double()>;

  explicit Backoff(Bounds bounds, Random random = RealRandom()) : bounds_(bounds), random_(std::move(random)) {}

  // The pause after one more failure.
  Duration Next() { return Next(bounds_.most); }
  // The same, its ceiling at most `limit` (for who has a deadline of his own); not below `first`.
  Duration Next(Duration limit);
  // The peer answered: the next failure is the first again.
  void Reset() { failures_ = 0; }

  static Random RealRandom();

 private:
  const Bounds bounds_;
  const Random random_;
  uint32_t failures_ = 0;
};

}  // namespace weir::process
