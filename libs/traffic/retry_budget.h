#pragma once

#include <array>
#include <cstdint>

namespace weir::traffic {

// Retries must not multiply an outage: at most 20 % of the requests of the last 10 s, but always 3.
// A request's one move off a cluster whose connection failed or that is judged dead does not ask. Times in
// milliseconds of a monotonic clock. Not thread-safe: each worker has its own per destination set.
class RetryBudget {
 public:
  static constexpr uint64_t kPercent = 20, kAtLeast = 3;
  static constexpr uint64_t kBuckets = 10, kBucketMs = 1'000;  // The bucket of now is not full yet: 9 s to 10 s.

  // A request came in (once each, not its retry).
  void CountRequest(uint64_t now_ms) {
    if (now_ms / kBucketMs != now_) Advance(now_ms / kBucketMs);
    ++requests_[now_ % kBuckets];
    ++requests_sum_;
  }
  // True: this retry may go out, and is counted.
  bool TakeRetry(uint64_t now_ms);

  uint64_t requests() const { return requests_sum_; }
  uint64_t retries() const { return retries_sum_; }

 private:
  void Advance(uint64_t bucket);

  uint64_t now_ = 0;
  std::array<uint32_t, kBuckets> requests_{};
  std::array<uint32_t, kBuckets> retries_{};
  uint64_t requests_sum_ = 0;
  uint64_t retries_sum_ = 0;
};

}  // namespace weir::traffic
