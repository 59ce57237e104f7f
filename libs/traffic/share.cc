#include "libs/traffic/share.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <numeric>
#include <tuple>

#include "libs/traffic/ranking.h"

namespace weir::traffic {
namespace {

constexpr double kWhole = 1e9;  // Shares that are no multiples of the weights: multiples of its parts.

uint32_t Returning(const Candidate& candidate) { return std::clamp(candidate.returning, 1u, Candidate::kFull); }

bool IsWeighted(std::span<const Candidate> candidates) {
  return std::any_of(candidates.begin(), candidates.end(), [](const Candidate& c) { return c.weight.has_value(); });
}
// In a list with weights (`weighted`): what it gets while all can serve. 0 = it waits.
uint64_t WeightOf(const Candidate& one, bool weighted) { return one.standby || !weighted ? 0 : one.weight.value_or(0); }

// Parts of the sum; who gets any, gets at least one.
uint64_t PartOf(double share) {
  return share <= 0 ? 0 : std::max<uint64_t>(1, static_cast<uint64_t>(std::llround(share * kWhole)));
}

std::vector<size_t> ListOrder(Mode mode, std::span<const Candidate> candidates) {
  std::vector<size_t> order(candidates.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto before = [&](size_t a, size_t b) { return candidates[a].priority < candidates[b].priority; };
  if (mode == Mode::kOrdered) std::stable_sort(order.begin(), order.end(), before);
  return order;
}

struct Level {
  uint64_t sum = 0;   // Of weight * returning.
  uint32_t best = 0;  // The furthest return among them.
};

// Those of the first step that can serve. What leaves one of them is not handed out, so it goes to the others in
// proportion; only while all of them are still returning, the next step keeps the rest.
bool ByStep(std::span<const Candidate> candidates, std::span<uint64_t> out) {
  const std::vector<uint32_t> steps = RankingOf(Mode::kProportional, candidates).steps;
  const auto weight_of = [](const Candidate& one) { return std::max<uint64_t>(1, one.weight.value_or(1)); };
  std::map<uint32_t, Level> levels;
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (!candidates[i].can_serve) continue;
    Level& level = levels[steps[i]];
    level.sum += weight_of(candidates[i]) * Returning(candidates[i]);
    level.best = std::max(level.best, Returning(candidates[i]));
  }
  if (levels.empty()) return false;
  const bool alone = levels.size() == 1 || levels.begin()->second.best == Candidate::kFull;
  if (alone) levels.erase(std::next(levels.begin()), levels.end());
  double left = 1;
  for (auto& [step, level] : levels) {
    const double part = left * level.best / Candidate::kFull;
    left -= part;
    for (size_t i = 0; i < candidates.size(); ++i) {
      if (!candidates[i].can_serve || steps[i] != step) continue;
      const uint64_t share = weight_of(candidates[i]) * Returning(candidates[i]);
      const double of_level = static_cast<double>(share) / static_cast<double>(level.sum);
      out[i] = alone ? share : PartOf(part * of_level);
    }
    if (level.best == Candidate::kFull) break;
  }
  return true;
}

// One cluster of a list, in its order.
struct Place {
  uint64_t weight = 0;
  double takes = 0;  // Of what reaches it, 0 to 1; 0 = cannot serve.
};

// While nobody is returning: exact. What leaves a cluster goes, whole, to the first of the list that can serve.
void FillWhole(std::span<const Place> list, std::span<const size_t> order, std::span<uint64_t> out) {
  uint64_t lost = 0, sum = 0;
  size_t heir = SIZE_MAX;
  for (size_t at = 0; at < list.size(); ++at) {
    sum += list[at].weight;
    if (list[at].takes > 0) {
      out[order[at]] = list[at].weight * Candidate::kFull;
      heir = std::min(heir, at);
    } else {
      lost += list[at].weight * Candidate::kFull;
    }
  }
  out[order[heir]] += sum == 0 ? 1 : lost;
}

// A request goes to its cluster, by weight, then down the list without it. Of one that reaches nobody's weight,
// place k gets `reach[k]` = takes[k] * the product of what those before it leave; of one of cluster j that could serve,
// (1 - takes[j]) * reach[k] before j and reach[k] behind it, and j itself takes[j] first. Each is scaled to be whole.
void FillReturning(std::span<const Place> list, std::span<const size_t> order, std::span<uint64_t> out) {
  const size_t size = list.size();
  std::vector<double> reach(size), ahead(size + 1, 0), own(size, 0), to_earlier(size, 0), to_later(size, 0);
  double left = 1, sum = 0;
  for (size_t k = 0; k < size; ++k) {
    reach[k] = left * list[k].takes;
    left *= 1 - list[k].takes;
    ahead[k + 1] = ahead[k] + reach[k];
    sum += static_cast<double>(list[k].weight);
  }
  double lost = sum == 0 ? 1 : 0, earlier = 0, later = 0;
  for (size_t j = 0; j < size; ++j) {
    const double weight = sum == 0 ? 0 : static_cast<double>(list[j].weight) / sum, takes = list[j].takes;
    if (takes == 0) {
      lost += weight;
      continue;
    }
    const double taken = takes + (1 - takes) * ahead[j] + (ahead[size] - ahead[j + 1]);
    own[j] = weight * takes / taken;
    to_earlier[j] = weight * (1 - takes) / taken;
    to_later[j] = weight / taken;
    earlier += to_earlier[j];
  }
  for (size_t k = 0; k < size; ++k) {
    earlier -= to_earlier[k];  // Now: of those behind k.
    out[order[k]] = PartOf(own[k] + reach[k] * (std::max(0.0, earlier) + later + lost / ahead[size]));
    later += to_later[k];
  }
}

// What a cluster cannot take, or not yet, goes down the list, and each takes of it the tenths to which it has returned.
// What nobody takes then, because all are returning, is shared like what was taken.
bool InOrder(std::span<const Candidate> candidates, std::span<uint64_t> out) {
  const bool weighted = IsWeighted(candidates);
  const std::vector<size_t> order = ListOrder(Mode::kOrdered, candidates);
  std::vector<Place> list;
  bool any = false, returning = false;
  for (const size_t i : order) {
    const Candidate& one = candidates[i];
    Place& place = list.emplace_back(Place{WeightOf(one, weighted), 0});
    if (!one.can_serve) continue;
    place.takes = static_cast<double>(Returning(one)) / Candidate::kFull;
    any = true;
    returning = returning || Returning(one) < Candidate::kFull;
  }
  if (!any) return false;
  if (returning)
    FillReturning(list, order, out);
  else
    FillWhole(list, order, out);
  return true;
}

}  // namespace

Ranking RankingOf(Mode mode, std::span<const Candidate> candidates) {
  const bool weighted = IsWeighted(candidates);
  Ranking ranking{std::vector<uint32_t>(candidates.size()), ListOrder(mode, candidates)};
  using Rank = std::tuple<bool, uint32_t, size_t>;  // Waits, priority, place in the list.
  std::map<Rank, std::vector<size_t>> ranks;
  for (size_t place = 0; place < ranking.order.size(); ++place) {
    const size_t i = ranking.order[place];
    const Candidate& one = candidates[i];
    const bool waits = one.standby || (weighted && WeightOf(one, weighted) == 0);
    if (mode == Mode::kProportional)
      ranks[{waits, one.priority, 0}].push_back(i);
    else
      ranks[{weighted && waits, 0, weighted && !waits ? 0 : place}].push_back(i);
  }
  for (const auto& [rank, members] : ranks) {
    const size_t step = std::min<size_t>(ranking.wanted++, Ranking::kMost - 1);
    for (const size_t i : members) ranking.steps[i] = static_cast<uint32_t>(step);
  }
  return ranking;
}

bool Distribute(Mode mode, std::span<const Candidate> candidates, std::span<uint64_t> out) {
  std::fill(out.begin(), out.end(), 0);
  candidates = candidates.first(std::min(candidates.size(), out.size()));
  return mode == Mode::kOrdered ? InOrder(candidates, out) : ByStep(candidates, out);
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
