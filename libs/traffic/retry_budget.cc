#include "libs/traffic/retry_budget.h"

#include <algorithm>

namespace weir::traffic {

void RetryBudget::Advance(uint64_t bucket) {
  if (bucket < now_) return;  // A clock that jumps back changes nothing.
  for (uint64_t passed = std::min(bucket - now_, kBuckets); passed > 0; --passed) {
    const uint64_t at = (bucket - passed + 1) % kBuckets;
    requests_sum_ -= requests_[at];
    retries_sum_ -= retries_[at];
    requests_[at] = retries_[at] = 0;
  }
  now_ = bucket;
}

bool RetryBudget::TakeRetry(uint64_t now_ms) {
  if (now_ms / kBucketMs != now_) Advance(now_ms / kBucketMs);
  if (retries_sum_ >= std::max(kAtLeast, requests_sum_ * kPercent / 100)) return false;
  ++retries_[now_ % kBuckets];
  ++retries_sum_;
  return true;
}

}  // namespace weir::traffic
