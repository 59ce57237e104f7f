#include "libs/traffic/quota_schedule.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace weir::traffic {
namespace {
__extension__ typedef unsigned __int128 Wide;
__extension__ typedef __int128 SignedWide;
}  // namespace

void QuotaSchedule::Update(std::span<const uint64_t> weights) {
  weights = weights.first(std::min(weights.size(), kMaxEntries));
  if (std::equal(weights.begin(), weights.end(), weights_.begin(), weights_.end())) return;
  std::vector<double> owed(weights.size(), 0);  // In requests.
  for (const Entry& entry : entries_) {
    if (entry.index < owed.size()) owed[entry.index] = static_cast<double>(entry.credit) / static_cast<double>(total_);
  }
  weights_.assign(weights.begin(), weights.end());
  Wide sum = 0;
  uint64_t divisor = 0;
  for (const uint64_t weight : weights_) {
    sum += weight;
    divisor = std::gcd(divisor, weight);
  }
  entries_.clear();
  total_ = 0;
  dealt_ = 0;
  if (sum == 0) return;
  // By the common divisor first, so that scaling is the exception. 4096 entries are left room to be rounded up to 1.
  sum /= divisor;
  const Wide scale = sum <= kMaxTotal ? 1 : sum / (kMaxTotal - kMaxEntries) + 1;
  for (uint32_t i = 0; i < weights_.size(); ++i) {
    if (weights_[i] == 0) continue;
    const uint64_t weight = std::max<uint64_t>(1, static_cast<uint64_t>(weights_[i] / divisor / scale));
    entries_.push_back({i, weight, 0});
    total_ += weight;
  }
  CarryOver(owed);
}

// All credits together are 0, and each stays within (-total, total).
void QuotaSchedule::CarryOver(std::span<const double> owed) {
  const auto limit = static_cast<int64_t>(total_) - 1;
  double left = 0;
  for (const Entry& entry : entries_) left -= owed[entry.index];
  int64_t rest = 0;
  for (Entry& entry : entries_) {
    const double share = static_cast<double>(entry.weight) / static_cast<double>(total_);
    entry.credit = std::clamp(std::llround((owed[entry.index] + left * share) * static_cast<double>(total_)),
                              static_cast<long long>(-limit), static_cast<long long>(limit));
    rest -= entry.credit;
  }
  for (Entry& entry : entries_) {  // What rounding and the bounds have left.
    const int64_t before = entry.credit;
    entry.credit = std::clamp(before + rest, -limit, limit);
    rest -= entry.credit - before;
  }
}

// With n entries and slack s = 1 / (2n - 2): due are those with weight * t / total - count >= s, and the deadline of
// an entry is the t at which that difference reaches 1 - s. All in integers, multiplied by (2n - 2) * total.
size_t QuotaSchedule::Next() {
  if (entries_.size() < 2) return entries_.empty() ? kNone : entries_[0].index;
  const SignedWide factor = static_cast<SignedWide>(2 * entries_.size() - 2);
  const SignedWide limit = (factor - 1) * static_cast<SignedWide>(total_);
  Entry* best = nullptr;
  SignedWide best_slack = 0;
  for (Entry& entry : entries_) {
    entry.credit += static_cast<int64_t>(entry.weight);
    const SignedWide scaled = factor * entry.credit;
    if (scaled < static_cast<SignedWide>(total_)) continue;
    const SignedWide slack = limit - scaled;  // Until the deadline, in units of weight.
    if (best == nullptr ||
        slack * static_cast<SignedWide>(best->weight) < best_slack * static_cast<SignedWide>(entry.weight)) {
      best = &entry;
      best_slack = slack;
    }
  }
  // The theorem says that one is always due; a peer's numbers must never reach an assertion, so take any.
  if (best == nullptr) {
    best = &*std::max_element(entries_.begin(), entries_.end(),
                              [](const Entry& a, const Entry& b) { return a.credit < b.credit; });
  }
  best->credit -= static_cast<int64_t>(total_);
  if (++dealt_ == total_) dealt_ = 0;
  return best->index;
}

}  // namespace weir::traffic
