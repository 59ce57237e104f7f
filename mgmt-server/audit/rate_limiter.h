#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "libs/base/clock.h"
#include "libs/base/mutex.h"

namespace weir::audit {

// How many records somebody may cause who need not be let in for it: refusals must not fill the disk. A token bucket
// for each of at most `names` names, which are forgotten when they have been still for long enough; those beyond share
// one. Thread-safe.
class RateLimiter {
 public:
  RateLimiter(const Clock& clock, double burst, Duration each, size_t names = 4096)
      : clock_(clock), burst_(burst), each_(each), names_(names) {}

  // Nullopt: leave this one out. Else how many were left out since the last that was not. `beyond`, one of a few, is
  // whose bucket is taken while there is no room for another name.
  std::optional<uint64_t> Take(const std::string& name, const std::string& beyond = "");

 private:
  struct Bucket {
    double left = 0;
    MonoTime as_of{};
    uint64_t left_out = 0;
  };
  const Clock& clock_;
  const double burst_;
  const Duration each_;  // One more may come after this time.
  const size_t names_;
  Mutex mutex_;
  void Refill(Bucket& bucket, MonoTime now) const;
  void ForgetTheStill(MonoTime now) WEIR_REQUIRES(mutex_);
  std::map<std::string, Bucket> buckets_ WEIR_GUARDED_BY(mutex_);
};

}  // namespace weir::audit
