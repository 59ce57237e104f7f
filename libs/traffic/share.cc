#include "libs/traffic/share.h"

#include <algorithm>
#include <cmath>
#include <compare>
#include <map>

namespace weir::traffic {
namespace {

constexpr double kWhole = 1e9;  // Shares of several ranks at once: multiples of its parts.

uint32_t Returning(const Candidate& candidate) { return std::clamp(candidate.returning, 1u, Candidate::kFull); }

// Who takes traffic before whom: standbys last, then by priority.
struct Rank {
  bool standby = false;
  uint32_t priority = 0;
  auto operator<=>(const Rank&) const = default;
};

struct Level {
  uint64_t sum = 0;   // Of weight * returning.
  uint32_t best = 0;  // The furthest return among them.
};

// Those of the first rank that can serve. What leaves one of them is not handed out, so it goes to the others in
// proportion; only while all of them are still returning, the next rank keeps the rest.
bool ByRank(std::span<const Candidate> candidates, bool weighted, std::span<uint64_t> out) {
  const auto rank_of = [weighted](const Candidate& one) {
    return Rank{one.standby || (weighted && one.weight.value_or(0) == 0), one.priority};
  };
  const auto weight_of = [](const Candidate& one) { return std::max<uint64_t>(1, one.weight.value_or(1)); };
  std::map<Rank, Level> levels;
  for (const Candidate& one : candidates) {
    if (!one.can_serve) continue;
    Level& level = levels[rank_of(one)];
    level.sum += weight_of(one) * Returning(one);
    level.best = std::max(level.best, Returning(one));
  }
  if (levels.empty()) return false;
  const bool alone = levels.size() == 1 || levels.begin()->second.best == Candidate::kFull;
  double left = 1;
  for (auto at = levels.begin(); at != levels.end() && left > 0; ++at) {
    const double part = std::next(at) == levels.end() ? left : left * at->second.best / Candidate::kFull;
    left -= part;
    for (size_t i = 0; i < candidates.size(); ++i) {
      if (!candidates[i].can_serve || rank_of(candidates[i]) != at->first) continue;
      const uint64_t share = weight_of(candidates[i]) * Returning(candidates[i]);
      const double of_level = static_cast<double>(share) / static_cast<double>(at->second.sum);
      out[i] = alone ? share : std::max<uint64_t>(1, static_cast<uint64_t>(std::llround(part * of_level * kWhole)));
    }
    if (alone || at->second.best == Candidate::kFull) break;
  }
  return true;
}

// What leaves a cluster goes, whole, to the first of the list that can serve and is not itself returning.
bool InOrder(std::span<const Candidate> candidates, std::span<uint64_t> out) {
  uint64_t lost = 0;
  size_t heir = SIZE_MAX;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const uint32_t weight = candidates[i].standby ? 0 : candidates[i].weight.value_or(0);
    const uint64_t whole = uint64_t{weight} * Candidate::kFull;
    if (candidates[i].can_serve) {
      out[i] = whole / Candidate::kFull * Returning(candidates[i]);
      const bool full = Returning(candidates[i]) == Candidate::kFull;
      const bool heir_full = heir != SIZE_MAX && Returning(candidates[heir]) == Candidate::kFull;
      if (heir == SIZE_MAX || (full && !heir_full)) heir = i;
    }
    lost += whole - out[i];
  }
  if (heir == SIZE_MAX) return false;
  out[heir] += lost;
  const bool none = std::all_of(out.begin(), out.end(), [](uint64_t share) { return share == 0; });
  const bool waits = std::any_of(candidates.begin(), candidates.end(), [](const Candidate& c) { return c.standby; });
  if (none && waits) out[heir] = 1;  // All weight stands by.
  return true;
}

}  // namespace

bool Distribute(Mode mode, std::span<const Candidate> candidates, std::span<uint64_t> out) {
  std::fill(out.begin(), out.end(), 0);
  candidates = candidates.first(std::min(candidates.size(), out.size()));
  const bool weighted =
      std::any_of(candidates.begin(), candidates.end(), [](const Candidate& c) { return c.weight.has_value(); });
  if (weighted && mode == Mode::kOrdered) return InOrder(candidates, out);
  return ByRank(candidates, weighted, out);
}

void ShareSchedule::Update(Mode mode, std::span<const Candidate> candidates) {
  shares_.resize(candidates.size());
  Distribute(mode, candidates, shares_);
  schedule_.Update(shares_);
}

double ShareSchedule::Intended(size_t candidate) const {
  double sum = 0;
  for (const uint64_t share : shares_) sum += static_cast<double>(share);
  return candidate >= shares_.size() || sum == 0 ? 0 : static_cast<double>(shares_[candidate]) / sum;
}

}  // namespace weir::traffic
