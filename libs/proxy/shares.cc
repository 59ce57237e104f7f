#include "libs/proxy/shares.h"

#include <algorithm>
#include <cmath>

#include "libs/obs/log.h"
#include "libs/obs/metrics.h"

namespace weir::proxy {
namespace {

std::vector<double> Intended(const DestinationSet& destination, const SetHealth* health) {
  const std::vector<traffic::Candidate> candidates = CandidatesOf(destination, health);
  std::vector<uint64_t> shares(candidates.size());
  traffic::Distribute(destination.mode, candidates, shares);
  double sum = 0;
  for (const uint64_t share : shares) sum += static_cast<double>(share);
  std::vector<double> intended;
  for (const uint64_t share : shares) intended.push_back(sum == 0 ? 0 : static_cast<double>(share) / sum);
  return intended;
}

bool HasShares(const DestinationSet& destination) {
  return destination.localities.size() > 1 ||
         (destination.localities.size() == 1 && destination.localities.front().weight);
}

void AddSet(const DestinationSet& destination, const std::string& host, const ShareCounts& counts,
            const SetHealth* health, std::vector<ShareReport>& out) {
  const std::vector<double> intended = Intended(destination, health);
  uint64_t all = 0;
  const size_t from = out.size();
  for (size_t i = 0; i < destination.localities.size(); ++i) {
    ShareReport report;
    report.set = destination.name;
    report.host = host;
    report.cluster = destination.localities[i].cluster;
    report.intended = intended[i];
    report.by_rule = health != nullptr && std::any_of(health->localities.begin(), health->localities.end(),
                                                      [](const LocalityHealth& one) { return one.rules != nullptr; });
    if (const auto found = counts.find({report.set, host, report.cluster}); found != counts.end()) {
      report.requests = found->second.requests;
      report.errors = found->second.errors;
      report.recent = found->second.recent;
    }
    all += report.recent;
    out.push_back(std::move(report));
  }
  for (size_t i = from; i < out.size() && all > 0; ++i) {
    out[i].delivered = static_cast<double>(out[i].recent) / static_cast<double>(all);
  }
}

}  // namespace

std::vector<ShareReport> SharesOf(const Snapshot& snapshot, const ShareCounts& counts, const HealthBySet& health) {
  std::map<std::string_view, std::vector<std::string_view>> hosts;  // By set, those asked for.
  for (const auto& [key, count] : counts) {
    auto& known = hosts[std::get<0>(key)];
    if (known.empty() || known.back() != std::get<1>(key)) known.emplace_back(std::get<1>(key));
  }
  std::vector<ShareReport> out;
  for (const auto& [name, destination] : snapshot.destination_sets) {
    if (destination == nullptr || !HasShares(*destination)) continue;
    const auto known = health.find(name);
    const SetHealth* state = known == health.end() ? nullptr : known->second.get();
    const auto asked = hosts.find(name);
    if (asked == hosts.end()) {
      AddSet(*destination, "", counts, state, out);
      continue;
    }
    for (const std::string_view host : asked->second) AddSet(*destination, std::string(host), counts, state, out);
  }
  std::sort(out.begin(), out.end(), [](const ShareReport& a, const ShareReport& b) {
    return std::tie(a.set, a.host, a.cluster) < std::tie(b.set, b.host, b.cluster);
  });
  return out;
}

void RenderShares(std::string& out, const std::vector<ShareReport>& shares) {
  struct Cell {
    double intended = 0;  // Sum over the sets, each by the requests it had.
    uint64_t recent = 0;
    bool deviates = false;
  };
  std::map<std::string, std::map<std::string, Cell>> hosts;
  std::map<std::pair<std::string, std::string>, uint64_t> of_set;  // Host, set: requests.
  for (const ShareReport& share : shares) of_set[{share.host, share.set}] += share.recent;
  std::map<std::string, double> weight;  // By host.
  // A set without recent requests weighs little, but a host that had none at all still says what is intended.
  const auto weigh = [](uint64_t requests) { return requests == 0 ? 1e-9 : static_cast<double>(requests); };
  for (const auto& [key, requests] : of_set) weight[key.first] += weigh(requests);
  for (const ShareReport& share : shares) {
    if (share.host.empty()) continue;
    Cell& cell = hosts[share.host][share.cluster];
    cell.intended += share.intended * weigh(of_set[{share.host, share.set}]) / weight[share.host];
    cell.recent += share.recent;
    cell.deviates |= share.deviates;
  }
  const auto family = [&](const char* name, const char* help, auto value) {
    obs::AppendFamily(out, name, "gauge", help);
    for (const auto& [host, clusters] : hosts) {
      uint64_t all = 0;
      for (const auto& [cluster, cell] : clusters) all += cell.recent;
      for (const auto& [cluster, cell] : clusters) {
        obs::AppendSample(out, name, {{"host", host}, {"cluster", cluster}}, value(cell, all));
      }
    }
  };
  family("weir_traffic_share_intended", "Share of the host's requests that weights and health intend, 0 to 1.",
         [](const Cell& cell, uint64_t) { return cell.intended; });
  family("weir_traffic_share_delivered", "Share of the host's requests of the last 10 s, 0 to 1.",
         [](const Cell& cell, uint64_t all) {
           return all == 0 ? 0.0 : static_cast<double>(cell.recent) / static_cast<double>(all);
         });
  family("weir_traffic_share_deviation", "1 while delivery strays from what is intended by more than 0.05.",
         [](const Cell& cell, uint64_t) { return cell.deviates ? 1.0 : 0.0; });
}

void ShareWatch::FindDeviations(std::vector<ShareReport>& shares, uint64_t now_ms) {
  ++looks_;
  int lines = 0;
  std::map<std::pair<std::string_view, std::string_view>, uint64_t> requests;
  for (const ShareReport& share : shares) requests[{share.set, share.host}] += share.recent;
  for (ShareReport& share : shares) {
    const auto [at, fresh] = seen_.try_emplace({share.set, share.host, share.cluster});
    Seen& seen = at->second;
    seen.look = looks_;
    if (fresh || seen.intended != share.intended) {
      seen.intended = share.intended;
      seen.since_ms = now_ms;
    }
    const bool settled = now_ms - seen.since_ms >= kSettledMs;
    const bool enough = requests[{share.set, share.host}] >= kEnough;
    // While rules of the host have shares of their own, the sum of all is nobody's intention.
    share.deviates = settled && enough && !share.by_rule && std::abs(share.delivered - share.intended) > kOff;
    if (share.deviates != seen.deviates && lines++ < kLinesPerLook) {
      obs::Log(share.deviates ? obs::Level::kWarn : obs::Level::kInfo,
               share.deviates ? "delivered share strays from the intended one" : "delivered share is as intended again",
               {{"host", share.host},
                {"cluster", share.cluster},
                {"intended", fmt::format("{:.3f}", share.intended)},
                {"delivered", fmt::format("{:.3f}", share.delivered)}});
    }
    seen.deviates = share.deviates;
  }
  std::erase_if(seen_, [this](const auto& entry) { return entry.second.look != looks_; });
}

}  // namespace weir::proxy
