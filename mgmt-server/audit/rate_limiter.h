#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "libs/base/clock.h"
#include "libs/base/mutex.h"

namespace weir::audit {

// How many records somebody may cause who need not be let in for it: refusals must not fill the disk. A token bucket
// for each of at most 4,096 names; those beyond share one. Thread-safe.
class RateLimiter {
 public:
  RateLimiter(const Clock& clock, double burst, Duration each) : clock_(clock), burst_(burst), each_(each) {}

  // Nullopt: leave this one out. Else how many were left out since the last that was not.
  std::optional<uint64_t> Take(const std::string& name);

 private:
  static constexpr size_t kMostNames = 4096;
  struct Bucket {
    double left = 0;
    MonoTime as_of{};
    uint64_t left_out = 0;
  };
  const Clock& clock_;
  const double burst_;
  const Duration each_;  // One more may come after this time.
  Mutex mutex_;
  std::map<std::string, Bucket> buckets_ WEIR_GUARDED_BY(mutex_);
};

}  // namespace weir::audit
