#include "mgmt-server/audit/rate_limiter.h"

#include <algorithm>
#include <utility>

#include "libs/base/mutex.h"

namespace weir::audit {

std::optional<uint64_t> RateLimiter::Take(const std::string& name) {
  MutexLock lock(mutex_);
  const bool room = buckets_.size() < kMostNames || buckets_.contains(name);
  const auto [found, first] = buckets_.try_emplace(room ? name : std::string());
  Bucket& bucket = found->second;
  const MonoTime now = clock_.Now();
  if (first) bucket.left = burst_;
  const double earned = first ? 0 : std::chrono::duration<double>(now - bucket.as_of) / each_;
  bucket.left = std::min(burst_, bucket.left + earned);
  bucket.as_of = now;
  if (bucket.left < 1) {
    ++bucket.left_out;
    return std::nullopt;
  }
  bucket.left -= 1;
  return std::exchange(bucket.left_out, 0);
}

}  // namespace weir::audit
