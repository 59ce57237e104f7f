#include "mgmt-server/services/wave_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "api/weir/v2/cluster.pb.h"
#include "libs/base/labels.h"
#include "libs/resource/kinds.h"

namespace weir::services {
namespace {

constexpr int kMostWaves = 20, kMostClusters = 1000, kMostLabels = 20;
constexpr size_t kMostText = 253;
constexpr double kLeastRate = 50, kUsualRate = 99;
constexpr int64_t kMostRequests = 1'000'000'000, kUsualRequests = 100;
constexpr std::chrono::seconds kUsualBake(60), kUsualReady(60), kMostBake(std::chrono::hours(24)),
    kMostReady(std::chrono::hours(1));
constexpr int kMostEvidence = 20;

void CheckTime(const std::string& field, const google::protobuf::Duration& given, std::chrono::seconds most,
               std::vector<FieldViolation>& violations) {
  if (given.nanos() == 0 && given.seconds() >= 1 && given.seconds() <= most.count()) return;
  violations.push_back(
      {.field = field, .description = fmt::format("must be 1s to {}s, in whole seconds", most.count())});
}

void CheckGate(const std::string& field, const v2::WaveGate& gate, std::vector<FieldViolation>& violations) {
  const double rate = gate.min_success_rate();
  if (rate != 0 && !(rate >= kLeastRate && rate <= 100)) {
    violations.push_back({.field = field + ".minSuccessRate",
                          .description = fmt::format("must be {} to 100: percent, as 99.5", kLeastRate)});
  }
  if (gate.min_requests() < 0 || gate.min_requests() > kMostRequests) {
    violations.push_back(
        {.field = field + ".minRequests", .description = fmt::format("must be 1 to {}", kMostRequests)});
  }
  if (gate.has_bake_time()) CheckTime(field + ".bakeTime", gate.bake_time(), kMostBake, violations);
  if (gate.has_ready_timeout()) CheckTime(field + ".readyTimeout", gate.ready_timeout(), kMostReady, violations);
}

// What it leaves out is as before.
void Inherit(const v2::WaveGate& before, v2::WaveGate& gate) {
  if (gate.min_success_rate() == 0) gate.set_min_success_rate(before.min_success_rate());
  if (gate.min_requests() == 0) gate.set_min_requests(before.min_requests());
  if (!gate.has_bake_time()) *gate.mutable_bake_time() = before.bake_time();
  if (!gate.has_ready_timeout()) *gate.mutable_ready_timeout() = before.ready_timeout();
}

v2::WaveGate UsualGate() {
  v2::WaveGate gate;
  gate.set_min_success_rate(kUsualRate);
  gate.set_min_requests(kUsualRequests);
  gate.mutable_bake_time()->set_seconds(kUsualBake.count());
  gate.mutable_ready_timeout()->set_seconds(kUsualReady.count());
  return gate;
}

bool Selects(const store::View& view, const v2::RolloutWave& wave, const std::string& fqn) {
  const store::ResourcePtr stored = view.Get(fqn);
  v2::Cluster cluster;
  if (stored == nullptr || !cluster.ParseFromString(stored->body)) return false;
  if (!wave.region().empty() && cluster.spec().locality().region() != wave.region()) return false;
  return LabelsMatch(wave.labels(), cluster.metadata().labels());
}

// FQNs of those that the wave names and may have.
std::vector<std::string> NamedBy(const std::string& organization, const v2::RolloutWave& wave, const std::string& field,
                                 const std::set<std::string>& concerned, std::set<std::string> left, Error& error) {
  std::vector<std::string> named;
  for (int i = 0; i < wave.clusters_size(); ++i) {
    std::string fqn = resource::ClusterFqn(organization, wave.clusters(i));
    if (left.erase(fqn) > 0) {
      named.push_back(std::move(fqn));
      continue;
    }
    const char* why = concerned.contains(fqn) ? "is in a wave already" : "is not concerned; leave it out";
    error.violations.push_back({.field = fmt::format("{}.clusters[{}]", field, i),
                                .description = fmt::format("{} {}", wave.clusters(i), why)});
  }
  return named;
}
std::vector<std::string> SelectedOf(const store::View& view, const v2::RolloutWave& wave,
                                    const std::set<std::string>& among) {
  std::vector<std::string> selected;
  std::copy_if(among.begin(), among.end(), std::back_inserter(selected),
               [&](const std::string& fqn) { return Selects(view, wave, fqn); });
  return selected;
}

bool IsBelow(const v2::WaveGate& gate, int64_t requests, int64_t errors) {
  return static_cast<double>(requests - errors) * 100 < gate.min_success_rate() * static_cast<double>(requests);
}

}  // namespace

void CheckWaves(const Waves& waves, std::vector<FieldViolation>& violations) {
  if (waves.size() > kMostWaves) {
    violations.push_back({.field = "waves", .description = fmt::format("at most {}", kMostWaves)});
    return;
  }
  for (int i = 0; i < waves.size(); ++i) {
    const v2::RolloutWave& wave = waves.Get(i);
    const std::string field = fmt::format("waves[{}]", i);
    const bool selects = wave.labels_size() > 0 || !wave.region().empty();
    if (selects == (wave.clusters_size() > 0)) {
      violations.push_back({.field = field, .description = "wants clusters, or else labels or region"});
    }
    if (wave.clusters_size() > kMostClusters || wave.labels_size() > kMostLabels) {
      violations.push_back(
          {.field = field,
           .description = fmt::format("at most {} clusters and {} labels", kMostClusters, kMostLabels)});
    }
    bool too_long = wave.region().size() > kMostText;
    for (const std::string& cluster : wave.clusters()) too_long |= cluster.empty() || cluster.size() > kMostText;
    for (const auto& [key, value] : wave.labels()) too_long |= key.size() > kMostText || value.size() > kMostText;
    if (too_long)
      violations.push_back({.field = field, .description = fmt::format("names have at most {} bytes", kMostText)});
    CheckGate(field + ".gate", wave.gate(), violations);
  }
}

Result<std::vector<v2::WaveProgress>> PlaceInWaves(const store::View& view, const std::string& organization,
                                                   const Waves& waves, const Concerned& concerned) {
  if (concerned.clusters.empty()) {
    return FailedPrecondition("WAVES_EMPTY", "the change concerns no cluster: leave out its waves");
  }
  Error error = FailedPrecondition("WAVES_UNKNOWN", "the waves do not fit to the clusters that the change concerns");
  std::set<std::string> left = concerned.clusters;
  std::vector<v2::WaveProgress> placed;
  v2::WaveGate gate = UsualGate();
  const auto add = [&](const v2::WaveGate& asked) {
    v2::WaveProgress& wave = placed.emplace_back();
    *wave.mutable_gate() = asked;
    Inherit(gate, *wave.mutable_gate());
    gate = wave.gate();
    wave.set_state(v2::WaveProgress::PENDING);
  };
  const auto take = [&](const std::string& fqn) {
    placed.back().add_clusters(std::string(resource::LastName(fqn)));
    left.erase(fqn);
  };
  for (int i = 0; i < waves.size(); ++i) {
    add(waves.Get(i).gate());
    const std::string field = fmt::format("waves[{}]", i);
    for (const std::string& fqn : NamedBy(organization, waves.Get(i), field, concerned.clusters, left, error))
      take(fqn);
    if (waves.Get(i).clusters_size() > 0) continue;
    for (const std::string& fqn : SelectedOf(view, waves.Get(i), left)) take(fqn);
    if (placed.back().clusters_size() > 0) continue;
    error.violations.push_back(
        {.field = field, .description = "selects no concerned cluster that no wave before it has"});
  }
  if (!error.violations.empty()) return error;
  if (!left.empty()) add(gate);
  for (const std::string& fqn : std::set<std::string>(left)) take(fqn);
  return placed;
}

Duration BakeTime(const v2::WaveGate& gate) { return std::chrono::seconds(gate.bake_time().seconds()); }
Duration ReadyTimeout(const v2::WaveGate& gate) { return std::chrono::seconds(gate.ready_timeout().seconds()); }

Duration MostTime(const std::vector<v2::WaveProgress>& waves) {
  Duration most = kMostDelay;
  for (const v2::WaveProgress& wave : waves) most += BakeTime(wave.gate()) + ReadyTimeout(wave.gate());
  return most;
}

void WaveCount::Add(const std::vector<v2::WaveEvidence>& counted) {
  for (const v2::WaveEvidence& one : counted) {
    const auto [place, first] =
        by_place_.try_emplace(fmt::format("{} {} {} {}", one.host(), one.cluster(), one.gateway(), one.source()), one);
    if (first) continue;
    place->second.set_requests(place->second.requests() + one.requests());
    place->second.set_errors(place->second.errors() + one.errors());
  }
}

void WaveCount::ShowIn(v2::WaveProgress& wave) const {
  int64_t requests = 0, errors = 0;
  std::vector<const v2::WaveEvidence*> worst;
  for (const auto& [place, one] : by_place_) {
    requests += one.requests();
    errors += one.errors();
    worst.push_back(&one);
  }
  std::stable_sort(worst.begin(), worst.end(), [](const auto* a, const auto* b) {
    return std::pair(-a->errors(), -a->requests()) < std::pair(-b->errors(), -b->requests());
  });
  wave.set_requests(requests);
  wave.set_errors(errors);
  for (const v2::WaveEvidence* one : worst) {
    if (wave.evidence_size() >= kMostEvidence) break;
    *wave.add_evidence() = *one;
  }
}

WaveCount::Verdict WaveCount::Judge(const v2::WaveGate& gate, bool over) const {
  int64_t requests = 0, errors = 0;
  std::map<std::pair<std::string, std::string>, std::pair<int64_t, int64_t>> hosts;  // And clusters.
  for (const auto& [place, one] : by_place_) {
    requests += one.requests();
    errors += one.errors();
    auto& sum = hosts[{one.host(), one.cluster()}];
    sum.first += one.requests();
    sum.second += one.errors();
  }
  const auto fails = [&](int64_t all, int64_t failed) {
    return all >= gate.min_requests() && IsBelow(gate, all, failed);
  };
  const bool any = std::any_of(hosts.begin(), hosts.end(),
                               [&](const auto& one) { return fails(one.second.first, one.second.second); });
  if (any || fails(requests, errors)) return Verdict::kSuccessRate;
  if (!over) return Verdict::kGoesOn;
  if (requests >= gate.min_requests()) return Verdict::kPassed;
  if (!gate.without_traffic()) return Verdict::kInconclusive;
  return IsBelow(gate, requests, errors) ? Verdict::kSuccessRate : Verdict::kPassed;
}

std::string SayRate(const v2::WaveProgress& wave) {
  const auto requests = static_cast<double>(wave.requests());
  // Cut rather than rounded: what is below the bound does not look like it.
  const double rate =
      requests == 0 ? 0 : std::floor(1000 * (requests - static_cast<double>(wave.errors())) / requests) / 10;
  return fmt::format("{} of {} requests failed: {}% succeeded, {}% have to", wave.errors(), wave.requests(), rate,
                     wave.gate().min_success_rate());
}

}  // namespace weir::services
