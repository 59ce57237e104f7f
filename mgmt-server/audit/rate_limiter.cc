#include "mgmt-server/audit/rate_limiter.h"

#include <algorithm>
#include <utility>

#include "libs/base/mutex.h"

namespace weir::audit {

void RateLimiter::Refill(Bucket& bucket, MonoTime now) const {
  bucket.left = std::min(burst_, bucket.left + std::chrono::duration<double>(now - bucket.as_of) / each_);
  bucket.as_of = now;
}

// A full one that owes no count is as good as none.
void RateLimiter::ForgetTheStill(MonoTime now) {
  std::erase_if(buckets_, [&](const auto& one) {
    Bucket bucket = one.second;
    Refill(bucket, now);
    return bucket.left >= burst_ && bucket.left_out == 0;
  });
}

std::optional<uint64_t> RateLimiter::Take(const std::string& name, const std::string& beyond) {
  MutexLock lock(mutex_);
  const MonoTime now = clock_.Now();
  if (buckets_.size() >= names_ && !buckets_.contains(name)) ForgetTheStill(now);
  const bool room = buckets_.size() < names_ || buckets_.contains(name);
  const auto [found, first] = buckets_.try_emplace(room ? name : beyond, Bucket{burst_, now, 0});
  Bucket& bucket = found->second;
  if (!first) Refill(bucket, now);
  if (bucket.left < 1) {
    ++bucket.left_out;
    return std::nullopt;
  }
  bucket.left -= 1;
  return std::exchange(bucket.left_out, 0);
}

}  // namespace weir::audit
