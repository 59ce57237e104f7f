#include "cluster-agent/serve/traffic.h"

#include <algorithm>

#include "cluster-agent/link/problems.h"
#include "envoy/service/load_stats/v3/lrs.pb.h"

namespace weir::agent {
namespace {

constexpr std::string_view kIntended = "dev.weir.intended";

double Seconds(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) + duration.nanos() / 1e9;
}

}  // namespace

TrafficLedger::Gateway& TrafficLedger::Heard(const std::string& workload) {
  Gateway& gateway = gateways_[workload];
  gateway.heard = clock_.Now();
  return gateway;
}

void TrafficLedger::OnOpened(const std::string& workload) {
  std::lock_guard lock(mutex_);
  Gateway& gateway = Heard(workload);
  gateway.sets.clear();
  gateway.changed.clear();
  gateway.seconds = 0;
}

void TrafficLedger::OnLoad(const std::string& workload,
                           const envoy::service::load_stats::v3::LoadStatsRequest& report) {
  std::lock_guard lock(mutex_);
  Gateway& gateway = Heard(workload);
  double seconds = 0;
  for (const auto& cluster : report.cluster_stats()) {
    seconds = std::max(seconds, Seconds(cluster.load_report_interval()));
    auto set = gateway.sets.find(cluster.cluster_name());
    if (set == gateway.sets.end()) {
      if (gateway.sets.size() >= kMostSets) continue;
      set = gateway.sets.emplace(cluster.cluster_name(), Clusters()).first;
    }
    for (const auto& locality : cluster.upstream_locality_stats()) {
      Counts& counts = set->second[locality.locality().sub_zone()];
      const uint64_t finished = locality.total_successful_requests() + locality.total_error_requests();
      counts.requests += finished;
      counts.errors += locality.total_error_requests();
      const auto before = counts.intended;
      for (const auto& metric : locality.load_metric_stats()) {
        if (metric.metric_name() == kIntended) counts.intended = metric.total_metric_value();
      }
      if (finished > 0 || counts.intended != before) gateway.changed.insert(set->first);
    }
  }
  gateway.seconds += seconds;
}

void TrafficLedger::OnHealth(const std::string& workload, v1::GatewayHealthReport report) {
  if (report.sets_size() > static_cast<int>(kMostSets)) {
    report.mutable_sets()->DeleteSubrange(kMostSets, report.sets_size() - static_cast<int>(kMostSets));
  }
  std::set<std::string> known;
  for (const v1::SetHealth& set : report.sets()) known.insert(set.destination_set());
  std::lock_guard lock(mutex_);
  Gateway& gateway = Heard(workload);
  // What it no longer serves is nothing to keep.
  std::erase_if(gateway.sets, [&](const auto& set) { return !known.contains(set.first); });
  std::erase_if(gateway.changed, [&](const auto& set) { return !known.contains(set); });
  gateway.health = std::move(report);
  gateway.health_changed = true;
}

void TrafficLedger::Forget(const std::string& workload) {
  std::lock_guard lock(mutex_);
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

void TrafficLedger::AddProblems(v1::Problems* out) const {
  std::lock_guard lock(mutex_);
  for (const auto& [workload, gateway] : gateways_) {
    if (!gateway.health) continue;
    for (const std::string& problem : gateway.health->problems()) AddProblem(workload, problem, out);
  }
}

bool TrafficLedger::Report(bool full, std::vector<v1::GatewayTraffic>* out) {
  std::lock_guard lock(mutex_);
  const MonoTime now = clock_.Now();
  std::erase_if(gateways_, [&](const auto& gateway) { return now - gateway.second.heard > kSilent; });
  const size_t before = out->size();
  for (auto& [workload, gateway] : gateways_) {
    if (full) {
      for (const auto& [set, clusters] : gateway.sets) gateway.changed.insert(set);
      gateway.health_changed = gateway.health.has_value();
    }
    const Duration since = gateway.told ? Duration(now - *gateway.told) : kMost;
    const bool news = full || !gateway.changed.empty() || gateway.health_changed;
    if (since < (news ? kLeast : kMost) && !full) continue;
    v1::GatewayTraffic message;
    message.set_workload(workload);
    TellTraffic(&gateway, &message);
    if (std::exchange(gateway.health_changed, false)) {
      message.set_health_known(true);
      *message.mutable_health() = gateway.health->sets();
    }
    gateway.told = now;
    out->push_back(std::move(message));
  }
  return out->size() > before;
}

}  // namespace weir::agent
