#include "libs/traffic/share.h"

#include <algorithm>

namespace weir::traffic {
namespace {

uint32_t Returning(const Candidate& candidate) { return std::clamp(candidate.returning, 1u, Candidate::kFull); }

uint32_t LowestPriority(std::span<const Candidate> candidates, bool weighted_only) {
  uint32_t lowest = UINT32_MAX;
  for (const Candidate& candidate : candidates) {
    if (!candidate.can_serve || (weighted_only && candidate.weight.value_or(0) == 0)) continue;
    lowest = std::min(lowest, candidate.priority);
  }
  return lowest;
}

// Those of the lowest priority that can serve, equally: locality order, and standbys.
bool Equally(std::span<const Candidate> candidates, std::span<uint64_t> out) {
  const uint32_t priority = LowestPriority(candidates, false);
  bool any = false;
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (!candidates[i].can_serve || candidates[i].priority != priority) continue;
    out[i] = Returning(candidates[i]);
    any = true;
  }
  return any;
}

// What leaves a cluster is not handed out: dropping it from the sum is the proportional rule.
bool Proportionally(std::span<const Candidate> candidates, std::span<uint64_t> out) {
  const uint32_t priority = LowestPriority(candidates, true);
  bool any = false;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const uint64_t weight = candidates[i].weight.value_or(0);
    if (!candidates[i].can_serve || candidates[i].priority != priority || weight == 0) continue;
    out[i] = weight * Returning(candidates[i]);
    any = true;
  }
  return any;
}

// What leaves a cluster goes, whole, to the first of the list that can serve and is not itself returning.
bool InOrder(std::span<const Candidate> candidates, std::span<uint64_t> out) {
  uint64_t lost = 0;
  size_t heir = SIZE_MAX;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const uint64_t whole = uint64_t{candidates[i].weight.value_or(0)} * Candidate::kFull;
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
  return true;
}

}  // namespace

CannotServe WhyNot(const ClusterHealth& health) {
  if (health.drained) return CannotServe::kDrained;
  if (health.gateways == 0) return CannotServe::kNoGateway;
  if (health.gateways_answering == 0) return CannotServe::kGatewaysDown;
  return health.has_healthy_endpoint ? CannotServe::kCan : CannotServe::kNoEndpoint;
}

std::string_view ReasonText(CannotServe why) {
  switch (why) {
    case CannotServe::kCan:
      return "";
    case CannotServe::kDrained:
      return "drained";
    case CannotServe::kNoGateway:
      return "no_gateway";
    case CannotServe::kGatewaysDown:
      return "gateways_down";
    case CannotServe::kNoEndpoint:
      return "no_endpoint";
  }
  return "";
}

bool Distribute(Mode mode, std::span<const Candidate> candidates, std::span<uint64_t> out) {
  std::fill(out.begin(), out.end(), 0);
  candidates = candidates.first(std::min(candidates.size(), out.size()));
  const bool weighted =
      std::any_of(candidates.begin(), candidates.end(), [](const Candidate& c) { return c.weight.has_value(); });
  if (!weighted) return Equally(candidates, out);
  if (mode == Mode::kOrdered) return InOrder(candidates, out);
  return Proportionally(candidates, out) || Equally(candidates, out);
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
