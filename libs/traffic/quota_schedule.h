#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace weir::traffic {

// Deals requests out by weight so that at every prefix of t requests each one's count is less than one off
// t * weight / total, for any number of entries (R. Tijdeman, "The chairman assignment problem", 1980: among the
// entries that are due, the earliest deadline). Not thread-safe: each worker has its own.
class QuotaSchedule {
 public:
  static constexpr size_t kNone = SIZE_MAX;
  static constexpr uint64_t kMaxTotal = uint64_t{1} << 40;  // Sum of the weights.
  static constexpr size_t kMaxEntries = 4096;

  QuotaSchedule() = default;
  explicit QuotaSchedule(std::span<const uint64_t> weights) { Update(weights); }

  // The same weights as before change nothing. Over others each entry keeps what it is owed (less than one request), so
  // that shares stay exact however often they change; what is owed to one that leaves goes to the others.
  // Weights beyond the limits above are scaled down, those that were positive stay at least 1.
  void Update(std::span<const uint64_t> weights);

  // The entry that takes the next request, or kNone when all weights are 0. O(entries), allocates nothing.
  size_t Next();

  const std::vector<uint64_t>& weights() const { return weights_; }
  uint64_t total() const { return total_; }
  uint64_t dealt() const { return dealt_; }  // Since the last change, modulo the total.

 private:
  void CarryOver(std::span<const double> owed);
  struct Entry {
    uint32_t index = 0;
    uint64_t weight = 0;
    int64_t credit = 0;  // weight * t - count * total; within (-total, total).
  };
  std::vector<uint64_t> weights_;
  std::vector<Entry> entries_;  // Those with a positive weight.
  uint64_t total_ = 0;
  uint64_t dealt_ = 0;
};

}  // namespace weir::traffic
