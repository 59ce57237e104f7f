#include "mgmt-server/fleet/waves.h"

#include <algorithm>
#include <tuple>

#include "libs/base/mutex.h"
#include "libs/resource/conflicts.h"
#include "libs/resource/kinds.h"
#include "libs/rpc/time.h"
#include "mgmt-server/compile/gateway_shape.h"
#include "mgmt-server/compile/keys.h"
#include "mgmt-server/fleet/core.h"
#include "mgmt-server/fleet/effect.h"
#include "mgmt-server/push/pusher.h"

// What the gateways make of a rollout: who runs it, and how the requests fare that it concerns.
namespace weir::fleet {
namespace {

constexpr size_t kMostEvidence = 20;

bool AmongHosts(const std::set<std::string>& hosts, const std::string& host) {
  const std::vector<std::string> patterns = resource::PatternsFor(host);
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& one) { return hosts.contains(one); });
}

std::string SourceOf(const compile::ClusterIntent& intent, const std::string& set) {
  const auto found = intent.find({std::string(compile::kDestinationSet), set});
  if (found == intent.end()) return "";
  for (const std::string& fqn : found->second.provenance) {
    if (compile::ReachesGateways(fqn)) return fqn;
  }
  return "";
}

// Sums up what tier-1 gateways did with the requests of sets.
class Counting {
 public:
  Counting(const status::WaveQuestion& question, status::WaveSeen& seen) : question_(question), seen_(seen) {
    for (const std::string& cluster : question.told) told_.insert(std::string(resource::LastName(cluster)));
  }

  bool SaysAnything(const SetReport& set) const {
    if (!set.samples.empty() && set.samples.back().end > question_.after) return true;
    return std::any_of(set.health.begin(), set.health.end(), [](const auto& one) { return !one.second.can_serve(); });
  }
  void Add(const std::string& cluster, const std::string& host, const std::string& source, const SetReport& set) {
    const bool all = question_.told.contains(cluster);
    const std::string gateways(resource::LastName(cluster));
    for (const auto& sample : set.samples) {
      const MonoTime begin =
          sample.end - std::chrono::duration_cast<Duration>(std::chrono::duration<double>(sample.seconds));
      if (sample.end <= question_.after || sample.end > seen_.now || begin < question_.from) continue;
      for (const auto& [to, counts] : sample.clusters) {
        if (!all && !told_.contains(to)) continue;
        auto& sum = sums_[{host, to, gateways, source}];
        sum.first += counts.first;
        sum.second += counts.second;
      }
    }
    for (const auto& [to, health] : set.health) {
      if (!told_.contains(to) || health.can_serve() || health.reason() == "drained") continue;
      if (rpc::FromTimestamp(health.since()) < question_.released || seen_.unservable.size() >= kMostEvidence) continue;
      v2::WaveEvidence& evidence = seen_.unservable.emplace_back();
      Name(host, to, gateways, source, evidence);
      evidence.set_text(health.reason());
    }
  }
  void Finish() {
    for (const auto& [key, counts] : sums_) {
      v2::WaveEvidence& evidence = seen_.counted.emplace_back();
      Name(std::get<0>(key), std::get<1>(key), std::get<2>(key), std::get<3>(key), evidence);
      evidence.set_requests(static_cast<int64_t>(counts.first));
      evidence.set_errors(static_cast<int64_t>(counts.second));
    }
  }

 private:
  static void Name(const std::string& host, const std::string& cluster, const std::string& gateways,
                   const std::string& source, v2::WaveEvidence& evidence) {
    evidence.set_host(host);
    evidence.set_cluster(cluster);
    evidence.set_gateway(gateways);
    evidence.set_source(source);
  }

  const status::WaveQuestion& question_;
  status::WaveSeen& seen_;
  std::set<std::string> told_;  // Names.
  std::map<std::tuple<std::string, std::string, std::string, std::string>, std::pair<uint64_t, uint64_t>> sums_;
};

}  // namespace

void CountWave(const TrafficTable& table, const compile::Compilation& compilation, const status::WaveQuestion& question,
               status::WaveSeen& seen) {
  Counting counting(question, seen);
  table.ForEach([&](const std::string& cluster, const TrafficTable::Gateways& gateways) {
    const compile::ClusterIntent& intent = compilation.Of(cluster);
    for (const auto& [workload, gateway] : gateways) {
      for (const auto& [name, set] : gateway.sets) {
        if (!counting.SaysAnything(set)) continue;  // As most: their names are not read.
        const auto parts = compile::ParseDestinationSetName(name);
        if (!parts || !AmongHosts(question.hosts, parts->host.hostname)) continue;
        const std::string source = SourceOf(intent, name);
        if (!source.empty()) counting.Add(cluster, parts->host.hostname, source, set);
      }
    }
  });
  counting.Finish();
}

void Fleet::Core::AddWaiting(const compile::Compilation& compilation, const std::string& object,
                             const status::WaveQuestion& question, status::WaveSeen& seen) const {
  std::vector<compile::Concern> concerns = compile::ConcernsIn(compilation, compilation.world_ahead(), object);
  std::erase_if(concerns, [&](const compile::Concern& concern) { return !question.wave.contains(concern.cluster); });
  ExcuseMaintained(compilation.world(), concerns);
  if (concerns.empty()) return;
  const v2::ResourceStatus status = StatusOf(object, "", 0, concerns, applied, Plights());
  for (const v2::GatewayStatus& gateway : status.gateways()) {
    if (gateway.state() == v2::ResourceStatus::READY || seen.waiting.size() >= kMostEvidence) continue;
    seen.rejected |= gateway.state() == v2::ResourceStatus::FAILED;
    v2::WaveEvidence& evidence = seen.waiting.emplace_back();
    evidence.set_cluster(std::string(resource::LastName(gateway.cluster())));
    evidence.set_gateway(gateway.workload());
    evidence.set_source(object);
    evidence.set_text(gateway.message().empty() ? gateway.reason() : gateway.message());
  }
}

status::WaveSeen Fleet::ObserveWave(const status::WaveQuestion& question) const {
  status::WaveSeen seen;
  std::set<std::string> objects;
  core_->pusher->Read([&](const compile::Compilation& compilation) {
    seen.told = std::all_of(question.told.begin(), question.told.end(),
                            [&](const std::string& cluster) { return compilation.IsAhead(cluster); });
    if (!seen.told) return;
    for (const std::string& fqn : question.gateways ? question.resources : std::vector<std::string>()) {
      for (Touched& touched : GatewaysTouched(compilation.world_ahead(), fqn, {}))
        objects.insert(std::move(touched.fqn));
    }
    if (!question.requests) return;
    MutexLock lock(core_->mutex);
    seen.now = core_->options.clock->Now();
    CountWave(core_->traffic, compilation, question, seen);
  });
  if (!question.gateways || !seen.told) return seen;
  for (const std::string& object : objects) {  // One after the other: neither a push nor an agent waits for all.
    core_->pusher->Read([&](const compile::Compilation& compilation) {
      MutexLock lock(core_->mutex);
      core_->AddWaiting(compilation, object, question, seen);
    });
    if (seen.waiting.size() >= kMostEvidence) break;
  }
  return seen;
}

}  // namespace weir::fleet
