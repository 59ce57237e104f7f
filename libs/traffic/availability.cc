#include "libs/traffic/availability.h"

#include <algorithm>

namespace weir::traffic {
namespace {

std::vector<Candidate> CandidatesOf(std::span<const Destination> destinations) {
  std::vector<Availability> known;
  for (const Destination& one : destinations) known.push_back(one.availability);
  const Standing needed = NeededToServe(known);
  std::vector<Candidate> candidates;
  for (const Destination& one : destinations) {
    candidates.push_back({.weight = one.weight,
                          .standby = one.standby,
                          .can_serve = needed != Standing::kOut && one.availability.standing == needed,
                          .priority = one.priority,
                          .returning = one.returning});
  }
  return candidates;
}

std::vector<Candidate> Anybody(std::span<const Destination> destinations) {
  std::vector<Candidate> candidates;
  for (const Destination& one : destinations) {
    candidates.push_back({.weight = one.weight,
                          .standby = one.standby,
                          .can_serve = one.availability.anybody,
                          .priority = one.priority});
  }
  return candidates;
}

// Those that would serve, least standing first, as one group after the other is lost.
std::vector<std::vector<size_t>> Succession(Mode mode, std::vector<Destination> left) {
  std::vector<std::vector<size_t>> order;
  std::vector<uint64_t> shares(left.size());
  while (Distribute(mode, CandidatesOf(left), shares)) {
    std::vector<size_t>& group = order.emplace_back();
    for (size_t i = 0; i < left.size(); ++i) {
      if (shares[i] > 0) group.push_back(i);
    }
    std::stable_sort(group.begin(), group.end(), [&](size_t a, size_t b) { return shares[a] > shares[b]; });
    for (const size_t i : group) left[i].availability.standing = Standing::kOut;
    if (group.empty()) break;
  }
  return order;
}

}  // namespace

Availability Assess(const ClusterEvidence& evidence) {
  const auto standing = [&] {
    return evidence.able > 0 ? Standing::kCautious : evidence.answering > 0 ? Standing::kAnswering : Standing::kOut;
  };
  if (evidence.drained) return {Standing::kOut, Reason::kDrained, false};
  if (evidence.endpoints == 0) {
    return {Standing::kOut, evidence.gateways ? Reason::kNoGateway : Reason::kNoEndpoint, false};
  }
  if (evidence.able == 0) {
    return {standing(), evidence.gateways && evidence.behind == 0 ? Reason::kGatewaysDown : Reason::kNoEndpoint};
  }
  if (evidence.held) return {standing(), Reason::kHeld};
  if (evidence.usable == 0) {
    return {standing(), evidence.gateways ? Reason::kGatewaysDown : Reason::kNoEndpoint};
  }
  return {};
}

Standing NeededToServe(std::span<const Availability> clusters) {
  Standing best = Standing::kOut;
  for (const Availability& one : clusters) best = std::min(best, one.standing);
  return best;
}

Spread SpreadOf(Mode mode, std::span<const Destination> destinations, bool panic) {
  Spread spread;
  std::vector<uint64_t> shares(destinations.size());
  const bool any = Distribute(mode, CandidatesOf(destinations), shares);
  spread.panic = !any && panic && Distribute(mode, Anybody(destinations), shares);
  double sum = 0;
  for (const uint64_t share : shares) sum += static_cast<double>(share);
  for (const uint64_t share : shares) spread.shares.push_back(sum == 0 ? 0 : static_cast<double>(share) / sum);
  spread.order = Succession(mode, {destinations.begin(), destinations.end()});
  if (any) return spread;
  for (const Destination& one : destinations) spread.nobody = std::max(spread.nobody, one.availability.reason);
  if (spread.nobody == Reason::kNone) spread.nobody = Reason::kNoEndpoint;
  return spread;
}

const RuleHealth* RuleFor(const RuleHealths& rules, std::string_view path) {
  path = path.substr(0, path.find_first_of("?#"));
  for (const RuleHealth& rule : rules) {
    if (Accepts(rule.kind, rule.path, path)) return &rule;
  }
  return nullptr;
}

}  // namespace weir::traffic
