#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/weir/agent/v1/traffic.pb.h"
#include "api/weir/v2/traffic.pb.h"
#include "libs/base/clock.h"
#include "mgmt-server/fleet/applied.h"
#include "mgmt-server/status/reach.h"

namespace weir::compile {
class Compilation;
}

namespace weir::fleet {

// What one gateway last said of one destination set.
struct SetReport {
  // Requests of one report.
  struct Sample {
    MonoTime end{};
    double seconds = 0;
    std::map<std::string, std::pair<uint64_t, uint64_t>> clusters;  // Name -> requests, of them errors.
  };
  std::deque<Sample> samples;                              // Of about the last 10 s.
  std::map<std::string, std::optional<double>> intended;   // By cluster; of the newest report.
  std::map<std::string, agent::v1::ClusterHealth> health;  // By cluster.
};
struct GatewayReport {
  WallTime time{};   // Of the last report.
  MonoTime heard{};  // The same.
  MonoTime first{};  // Of the first one.
  bool health_known = false;
  std::map<std::string, SetReport, std::less<>> sets;  // By destination set.
};

// What the gateways do with requests, as their agents report it: the last of each, in memory only. Bounded; what does
// not fit is not kept. Not thread-safe; Fleet guards it.
class TrafficTable {
 public:
  static constexpr size_t kMaxGateways = 10'000;  // Of one cluster, pod proxies too.
  static constexpr size_t kMaxSets = 20'000;      // Of one gateway.
  static constexpr Duration kWindow = std::chrono::seconds(10);
  static constexpr Duration kKept = std::chrono::seconds(30);  // After the agent's stream ended.

  // One report of a cluster's (FQN) agent. Counts add up, shares replace what was known of that set; complete health
  // replaces everything, and what it does not name is no longer served; changed health replaces what it names.
  void Report(const std::string& cluster, const agent::v1::GatewayTraffic& report, WallTime wall, MonoTime now);
  void AgentCame(const std::string& cluster);
  void AgentLeft(const std::string& cluster, MonoTime now);
  void Forget(const std::string& cluster);
  // Drops clusters whose agent is away for longer than kKept, and gateways and sets that no intent names any more.
  void Sweep(const compile::Compilation& compilation, MonoTime now);

  // What a gateway says of the cluster `target` behind it; nullptr = nothing, or it has been silent for longer than
  // kKept.
  const agent::v1::ClusterHealth* HealthOf(const std::string& cluster, const std::string& workload,
                                           const std::string& set, const std::string& target, MonoTime now) const;
  // The same of all gateways of the cluster, for a set that leads to a service there: who can serve before who cannot.
  const agent::v1::ClusterHealth* ServiceHealthOf(const std::string& cluster, const std::string& set,
                                                  const std::string& target, MonoTime now) const;
  // It says who can serve, and did within kKept.
  bool IsHeard(const std::string& cluster, const std::string& workload, MonoTime now) const;

  // "<namespace>/<name>" -> report, of each cluster FQN.
  using Gateways = std::map<std::string, GatewayReport, std::less<>>;
  void ForEach(const std::function<void(const std::string& cluster, const Gateways& gateways)>& visit) const;

 private:
  struct ClusterReports {
    Gateways gateways;
    std::optional<MonoTime> left;  // Unset = the agent is there.
  };
  // Of a gateway that says who can serve; nullptr = it does not, or has been silent for longer than kKept.
  const GatewayReport* Speaking(const std::string& cluster, const std::string& workload, MonoTime now) const;
  std::map<std::string, ClusterReports> clusters_;
};

// What the gateways in the tables say, as `status` asks for it. `plight`: what keeps the agent of a cluster (FQN) from
// following this server; reason "" = nothing.
class HealthInTables final : public status::ReportedHealth {
 public:
  HealthInTables(const TrafficTable& traffic, const AppliedTable& applied, PlightOf plight, MonoTime now)
      : traffic_(traffic), applied_(applied), plight_(std::move(plight)), now_(now) {}
  const agent::v1::ClusterHealth* Find(const std::string& cluster, const std::string& workload, const std::string& set,
                                       const std::string& target) const override {
    return traffic_.HealthOf(cluster, workload, set, target, now_);
  }
  status::Voice VoiceOf(const std::string& cluster, const std::string& workload) const override;
  status::Shortfall Plight(const std::string& cluster) const override { return plight_(cluster); }

 private:
  const TrafficTable& traffic_;
  const AppliedTable& applied_;
  const PlightOf plight_;
  const MonoTime now_;
};

// Whose traffic: FQN of an organization, a cluster (its tier-1 gateways), or anything at or above gateway objects; host
// "" = all.
struct TrafficQuery {
  std::string parent;
  std::string host;
};
// Table and intent -> what the API answers, in order of host, cluster, gateway and route; only sets that go to
// clusters. `source` says whose it is: the caller decides who may see it.
std::vector<v2::HostTraffic> TrafficOf(const TrafficTable& table, const compile::Compilation& compilation,
                                       const TrafficQuery& query, MonoTime now);
// The same for health; a gateway that does not report it stands there without clusters.
std::vector<v2::HostHealth> HealthOf(const TrafficTable& table, const compile::Compilation& compilation,
                                     const TrafficQuery& query);
// FQNs of the tier-1 objects that serve a host, whether anything was reported or not.
std::vector<std::string> SourcesOf(const compile::Compilation& compilation, const TrafficQuery& query);

// Prometheus text: gateways that report, and per target cluster what reaches it.
void RenderTraffic(const TrafficTable& table, MonoTime now, std::string& out);

}  // namespace weir::fleet
