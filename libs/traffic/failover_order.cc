#include "libs/traffic/failover_order.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

namespace weir::traffic {
namespace {

// Smaller comes first; compared from the front.
using Rank = std::array<uint32_t, 5>;

// 0 = the same zone, 1 = the same region, 2 = elsewhere.
uint32_t Farness(const ClusterPlace& own, const ClusterPlace& other) {
  if (own.cluster == other.cluster) return 0;
  if (own.region.empty() || own.region != other.region) return 2;
  return own.zone == other.zone ? 0 : 1;
}

const std::string* Find(const std::map<std::string, std::string>& labels, std::string_view key) {
  const auto found = labels.find(std::string(key));
  return found == labels.end() ? nullptr : &found->second;
}

bool Agrees(const std::string& label, const ClusterPlace& own, const ClusterPlace& other) {
  const size_t equals = label.find('=');
  const std::string* has = Find(other.labels, std::string_view(label).substr(0, equals));
  if (has == nullptr) return false;
  if (equals != std::string::npos) return std::string_view(*has) == std::string_view(label).substr(equals + 1);
  const std::string* wanted = Find(own.labels, label);
  return wanted != nullptr && *wanted == *has;
}

// Labels that do not agree, counted from the first of them on.
uint32_t Disagreement(const std::vector<std::string>& labels, const ClusterPlace& own, const ClusterPlace& other) {
  const auto at = std::find_if(labels.begin(), labels.end(), [&](const auto& l) { return !Agrees(l, own, other); });
  return static_cast<uint32_t>(labels.end() - at);
}

// Regions in the order in which they take over from `sources`, which come first themselves.
std::map<std::string, uint32_t> Succession(const std::set<std::string>& sources,
                                           const std::vector<FailoverRules::Region>& regions) {
  std::map<std::string, uint32_t> steps;
  std::vector<std::string> reached;
  for (const std::string& source : sources) {
    if (!source.empty() && steps.emplace(source, 0).second) reached.push_back(source);
  }
  uint32_t next = 1;
  for (size_t begin = 0; begin < reached.size();) {  // One round: all that the last one's regions hand over to.
    const size_t end = reached.size();
    const std::set<std::string> round(reached.begin() + static_cast<ptrdiff_t>(begin), reached.end());
    for (const auto& [from, to] : regions) {
      if (!round.contains(from) || to.empty() || !steps.emplace(to, next).second) continue;
      reached.push_back(to);
      ++next;
    }
    begin = end;
  }
  return steps;
}

}  // namespace

std::vector<uint32_t> FailoverOrder(const ClusterPlace& own, std::span<const FailoverCandidate> candidates,
                                    const FailoverRules& rules) {
  const bool ordered = rules.mode == Mode::kOrdered;
  std::set<std::string> sources{own.region};
  bool weighted = false;
  for (const FailoverCandidate& candidate : candidates) {
    weighted = weighted || candidate.weight.has_value();
    if (candidate.weight.value_or(0) > 0) sources.insert(candidate.place.region);
  }
  const auto succession = Succession(sources, rules.regions);

  std::vector<Rank> ranks;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const ClusterPlace& place = candidates[i].place;
    const auto index = static_cast<uint32_t>(i);
    const uint32_t farness = Farness(own, place);
    const uint32_t labels = Disagreement(rules.labels, own, place);
    const auto step = succession.find(place.region);
    const uint32_t region = step == succession.end() ? UINT32_MAX : step->second;
    const uint32_t behind = candidates[i].standby ? 1 : 0;
    if (!weighted)
      ranks.push_back(ordered ? Rank{behind, farness, index} : Rank{behind, farness, labels, region});
    else if (ordered)
      ranks.push_back(Rank{behind, index});
    else if (candidates[i].weight.value_or(0) > 0)
      ranks.push_back(Rank{behind, 0});
    else
      ranks.push_back(Rank{behind, 1, labels, region, farness});
  }
  std::vector<Rank> places = ranks;
  std::sort(places.begin(), places.end());
  places.erase(std::unique(places.begin(), places.end()), places.end());
  std::vector<uint32_t> order;
  order.reserve(ranks.size());
  for (const Rank& rank : ranks) {
    order.push_back(static_cast<uint32_t>(std::lower_bound(places.begin(), places.end(), rank) - places.begin()));
  }
  return order;
}

}  // namespace weir::traffic
