#include "cluster-agent/serve/traffic.h"

#include <algorithm>

#include "cluster-agent/link/problems.h"
#include "envoy/service/load_stats/v3/lrs.pb.h"
#include "libs/base/mutex.h"
#include "libs/dialect/dialect.h"

namespace weir::agent {
namespace {

double Seconds(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) + duration.nanos() / 1e9;
}

bool HasUnchecked(const v1::SetHealth& set) {
  return std::any_of(set.clusters().begin(), set.clusters().end(), [](const auto& one) { return one.unchecked(); });
}

}  // namespace

TrafficLedger::Gateway& TrafficLedger::Heard(const std::string& workload) {
  Gateway& gateway = gateways_[workload];
  gateway.heard = clock_.Now();
  return gateway;
}

void TrafficLedger::OnOpened(const std::string& workload) {
  MutexLock lock(mutex_);
  Gateway& gateway = Heard(workload);
  gateway.sets.clear();
  gateway.changed.clear();
  gateway.seconds = 0;
}

void TrafficLedger::OnLoad(const std::string& workload,
                           const envoy::service::load_stats::v3::LoadStatsRequest& report) {
  MutexLock lock(mutex_);
  Gateway& gateway = Heard(workload);
  double seconds = 0;
  for (const auto& cluster : report.cluster_stats()) {
    seconds = std::max(seconds, Seconds(cluster.load_report_interval()));
    auto set = gateway.sets.find(cluster.cluster_name());
    if (set == gateway.sets.end()) {
      if (gateway.sets.size() >= kMostSets || cluster.cluster_name().size() > kMostNameBytes) continue;
      set = gateway.sets.emplace(cluster.cluster_name(), Clusters()).first;
    }
    for (const auto& locality : cluster.upstream_locality_stats()) {
      const std::string& name = locality.locality().sub_zone();
      if (!set->second.contains(name) && (set->second.size() >= kMostClusters || name.size() > kMostNameBytes))
        continue;
      Counts& counts = set->second[name];
      const uint64_t finished = locality.total_successful_requests() + locality.total_error_requests();
      counts.requests += finished;
      counts.errors += locality.total_error_requests();
      const auto before = counts.intended;
      for (const auto& metric : locality.load_metric_stats()) {
        if (metric.metric_name() == dialect::kIntendedShare) counts.intended = metric.total_metric_value();
      }
      if (finished > 0 || counts.intended != before) gateway.changed.insert(set->first);
    }
  }
  gateway.seconds += seconds;
}

bool TrafficLedger::OnHealth(const std::string& workload, v1::GatewayHealthReport report) {
  MutexLock lock(mutex_);
  Gateway& gateway = Heard(workload);
  if (!report.full() && (!gateway.health_known || gateway.health_state != report.follows())) return false;
  gateway.health_state = report.state();
  gateway.problems.assign(report.problems().begin(), report.problems().end());
  if (report.full()) {
    gateway.health_known = gateway.health_anew = true;
    gateway.health.clear();
    gateway.health_changed.clear();
    gateway.health_removed.clear();
    // What it no longer serves is nothing to keep.
    std::set<std::string> served;
    for (const v1::SetHealth& set : report.sets()) served.insert(set.destination_set());
    if (static_cast<size_t>(report.sets_size()) < kMostSetsPerMessage) {  // Else more are to come.
      std::erase_if(gateway.sets, [&](const auto& set) { return !served.contains(set.first); });
      std::erase_if(gateway.changed, [&](const auto& set) { return !served.contains(set); });
    }
  }
  for (v1::SetHealth& set : *report.mutable_sets()) {
    const std::string name = set.destination_set();
    if (name.size() > kMostNameBytes || static_cast<size_t>(set.clusters_size()) > kMostClusters) continue;
    if (gateway.health.size() >= kMostSets && !gateway.health.contains(name)) continue;
    const auto [known, first] = gateway.health.try_emplace(name);
    gateway.urgent = gateway.urgent || first || HasUnchecked(known->second);
    known->second = std::move(set);
    gateway.health_changed.insert(name);
    gateway.health_removed.erase(name);
  }
  for (const std::string& name : report.removed_sets()) {
    gateway.sets.erase(name);
    gateway.changed.erase(name);
    gateway.health_changed.erase(name);
    if (gateway.health.erase(name) > 0) gateway.health_removed.insert(name);
  }
  return true;
}

void TrafficLedger::Forget(const std::string& workload) {
  MutexLock lock(mutex_);
  gateways_.erase(workload);
}

void TrafficLedger::TellTraffic(Gateway* gateway, v1::GatewayTraffic* out) {
  out->set_seconds(gateway->seconds);
  gateway->seconds = 0;
  size_t told = 0;
  for (auto at = gateway->changed.begin(); at != gateway->changed.end() && told < kMostSetsPerMessage; ++told) {
    v1::SetTraffic* set = out->add_traffic();
    set->set_destination_set(*at);
    for (auto& [name, counts] : gateway->sets.at(*at)) {
      v1::ClusterTraffic* cluster = set->add_clusters();
      cluster->set_cluster(name);
      if (counts.intended) cluster->set_intended(*counts.intended);
      cluster->set_requests(std::exchange(counts.requests, 0));
      cluster->set_errors(std::exchange(counts.errors, 0));
    }
    at = gateway->changed.erase(at);
  }
}

void TrafficLedger::TellHealth(Gateway* gateway, v1::GatewayTraffic* out) {
  if (!gateway->health_known) return;
  const bool whole = std::exchange(gateway->health_anew, false);
  if (whole) {
    gateway->health_removed.clear();
    for (const auto& [name, set] : gateway->health) gateway->health_changed.insert(gateway->health_changed.end(), name);
  }
  out->set_health_known(whole);
  out->set_health_changes(!whole && !(gateway->health_changed.empty() && gateway->health_removed.empty()));
  for (const std::string& name : gateway->health_removed) out->add_removed_sets(name);
  gateway->health_removed.clear();
  size_t told = 0;
  for (auto at = gateway->health_changed.begin(); at != gateway->health_changed.end() && told < kMostSetsPerMessage;
       ++told) {
    *out->add_health() = gateway->health.at(*at);
    at = gateway->health_changed.erase(at);
  }
}

void TrafficLedger::AddProblems(v1::Problems* out) const {
  MutexLock lock(mutex_);
  for (const auto& [workload, gateway] : gateways_) {
    for (const std::string& problem : gateway.problems) AddProblem(workload, problem, out);
  }
}

bool TrafficLedger::Report(bool full, std::vector<v1::GatewayTraffic>* out) {
  MutexLock lock(mutex_);
  const MonoTime now = clock_.Now();
  std::erase_if(gateways_, [&](const auto& gateway) { return now - gateway.second.heard > kSilent; });
  const size_t before = out->size();
  for (auto& [workload, gateway] : gateways_) {
    if (full) {
      for (const auto& [set, clusters] : gateway.sets) gateway.changed.insert(set);
      gateway.health_anew = gateway.health_known;
    }
    const Duration since = gateway.told ? Duration(now - *gateway.told) : kMost;
    const bool news = full || !gateway.changed.empty() || gateway.health_anew || !gateway.health_changed.empty() ||
                      !gateway.health_removed.empty();
    if (since < (gateway.urgent ? kSoon : news ? kLeast : kMost) && !full) continue;
    v1::GatewayTraffic message;
    message.set_workload(workload);
    TellTraffic(&gateway, &message);
    TellHealth(&gateway, &message);
    gateway.urgent &= !gateway.health_changed.empty();  // The rest of it too.
    gateway.told = now;
    out->push_back(std::move(message));
  }
  return out->size() > before;
}

}  // namespace weir::agent
