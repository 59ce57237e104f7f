#include "mgmt-server/fleet/traffic.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "api/weir/mesh/v1/intent.pb.h"
#include "libs/base/text.h"
#include "libs/dialect/dialect.h"
#include "libs/obs/metrics.h"
#include "libs/resource/conflicts.h"
#include "libs/resource/kinds.h"
#include "libs/rpc/time.h"
#include "mgmt-server/compile/compile.h"
#include "mgmt-server/compile/gateway_shape.h"
#include "mgmt-server/compile/keys.h"
#include "mgmt-server/status/health_message.h"

namespace weir::fleet {
namespace {

constexpr int kMaxClusters = 1000;  // Of one set.
constexpr int kMaxEvidence = 16;    // Of one cluster of a set.
constexpr size_t kMaxText = 256;

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

// A report of 10 s is whole until the next one is due.
bool IsPast(const SetReport::Sample& sample, MonoTime now) {
  const double kept = std::max(Seconds(TrafficTable::kWindow), 1.5 * sample.seconds);
  return Seconds(now - sample.end) >= kept;
}

agent::v1::ClusterHealth Bounded(const agent::v1::ClusterHealth& health) {
  agent::v1::ClusterHealth bounded = health;
  bounded.set_reason(CleanText(health.reason(), kMaxText));
  if (bounded.evidence_size() > kMaxEvidence) {
    bounded.mutable_evidence()->DeleteSubrange(kMaxEvidence, bounded.evidence_size() - kMaxEvidence);
  }
  for (auto& evidence : *bounded.mutable_evidence()) {
    evidence.set_text(CleanText(evidence.text(), kMaxText));
    evidence.set_endpoint(CleanText(evidence.endpoint(), kMaxText));
    evidence.set_source(CleanText(evidence.source(), kMaxText));
  }
  return bounded;
}

// What the last 10 s were, over all reports of them.
struct Rates {
  struct Of {
    double requests = 0;
    double errors = 0;
  };
  std::map<std::string, Of> clusters;
  double requests = 0;
  double seconds = 0;
};
Rates RatesOf(const SetReport& set, const GatewayReport& gateway, MonoTime now) {
  Rates rates;
  for (const auto& sample : set.samples) {
    if (IsPast(sample, now)) continue;
    rates.seconds += sample.seconds;
    for (const auto& [cluster, counts] : sample.clusters) {
      rates.clusters[cluster].requests += static_cast<double>(counts.first);
      rates.clusters[cluster].errors += static_cast<double>(counts.second);
      rates.requests += static_cast<double>(counts.first);
    }
  }
  // Quiet seconds are not reported, but they count; a gateway that just began has not had 10 s yet.
  const double known = std::min(Seconds(TrafficTable::kWindow), Seconds(now - gateway.first));
  rates.seconds = std::max({rates.seconds, known, 1.0});
  return rates;
}

// What intent says of a destination set.
struct SetIntent {
  std::string host;
  std::string route;
  std::string source;
  const compile::Resource* resource = nullptr;
};
std::optional<SetIntent> IntentOf(const compile::World& world, const compile::ClusterIntent& intent,
                                  const std::string& set) {
  const auto found = intent.find({std::string(compile::kDestinationSet), set});
  const auto name = compile::ParseDestinationSetName(set);
  if (found == intent.end() || !name) return std::nullopt;
  const compile::GatewayShape* shape = nullptr;
  for (const std::string& fqn : found->second.provenance) {
    if (shape == nullptr) shape = world.gateway(fqn);
  }
  if (shape == nullptr || !shape->tier1) return std::nullopt;
  return SetIntent{name->host.hostname, fmt::format("{}/{}", name->server, name->rule), shape->fqn, &found->second};
}

struct Item {
  const std::string& cluster;  // FQN.
  const std::string& workload;
  const GatewayReport& gateway;
  const SetReport& set;
  const SetIntent& intent;
};

bool Concerns(const TrafficQuery& query, const std::string& cluster, const SetIntent& intent) {
  if (!query.host.empty() && !resource::Covers(intent.host, query.host)) return false;
  return resource::IsAtOrBelow(intent.source, query.parent) || resource::IsAtOrBelow(cluster, query.parent);
}

template <typename Visit>
void EachItem(const TrafficTable& table, const compile::Compilation& compilation, const TrafficQuery& query,
              Visit visit) {
  table.ForEach([&](const std::string& cluster, const TrafficTable::Gateways& gateways) {
    const compile::ClusterIntent& intents = compilation.Of(cluster);
    for (const auto& [workload, gateway] : gateways) {
      for (const auto& [name, set] : gateway.sets) {
        const auto intent = IntentOf(compilation.WorldOf(cluster), intents, name);
        if (intent && Concerns(query, cluster, *intent)) visit(Item{cluster, workload, gateway, set, *intent});
      }
    }
  });
}

template <typename Answer>
void Describe(const Item& item, Answer& answer) {
  answer.set_host(item.intent.host);
  answer.set_gateway_cluster(std::string(resource::LastName(item.cluster)));
  answer.set_gateway(item.workload);
  answer.set_source(item.intent.source);
  answer.set_route(item.intent.route);
  *answer.mutable_time() = rpc::ToTimestamp(item.gateway.time);
}

// Of hosts that cover the one asked for, gateways serve it by the most specific; then in the order of the answer.
template <typename Answer>
void Arrange(std::vector<Answer>& items, const TrafficQuery& query) {
  if (!query.host.empty()) {
    size_t longest = 0;
    for (const Answer& item : items) longest = std::max(longest, item.host() == query.host ? 1000 : item.host().size());
    std::erase_if(
        items, [&](const Answer& item) { return (item.host() == query.host ? 1000 : item.host().size()) < longest; });
  }
  const auto key = [](const Answer& item) {
    return std::tie(item.host(), item.gateway_cluster(), item.gateway(), item.route());
  };
  std::sort(items.begin(), items.end(), [&](const Answer& a, const Answer& b) { return key(a) < key(b); });
}

v2::HostTraffic TrafficOf(const Item& item, MonoTime now) {
  v2::HostTraffic answer;
  Describe(item, answer);
  mesh::v1::DestinationSet intent;
  intent.ParseFromString(item.intent.resource->bytes);
  const Rates rates = RatesOf(item.set, item.gateway, now);
  double weights = 0;
  for (const auto& share : intent.clusters()) weights += share.has_weight() ? share.weight() : 1;
  for (const auto& share : intent.clusters()) {
    auto* cluster = answer.add_clusters();
    cluster->set_cluster(share.cluster());
    // A gateway that does not say means what it was told.
    cluster->set_intended(weights == 0 ? 0 : (share.has_weight() ? share.weight() : 1) / weights);
    const auto said = item.set.intended.find(share.cluster());
    if (said != item.set.intended.end() && said->second) cluster->set_intended(*said->second);
    const auto health = item.set.health.find(share.cluster());
    cluster->set_can_serve(health == item.set.health.end() ? !share.drained() : health->second.can_serve());
    const auto counts = rates.clusters.find(share.cluster());
    const bool any = counts != rates.clusters.end() && rates.requests > 0;
    cluster->set_delivered(any ? counts->second.requests / rates.requests : 0);
    cluster->set_requests_per_second(any ? counts->second.requests / rates.seconds : 0);
    cluster->set_errors_per_second(any ? counts->second.errors / rates.seconds : 0);
  }
  return answer;
}

v2::HostHealth HealthOf(const Item& item) {
  v2::HostHealth answer;
  Describe(item, answer);
  if (!item.gateway.health_known) return answer;
  mesh::v1::DestinationSet intent;
  intent.ParseFromString(item.intent.resource->bytes);
  for (const auto& share : intent.clusters()) {  // In the order of the document.
    const auto found = item.set.health.find(share.cluster());
    if (found == item.set.health.end()) continue;
    *answer.add_clusters() = status::MessageOf(found->second);
  }
  return answer;
}

}  // namespace

void TrafficTable::Report(const std::string& cluster, const agent::v1::GatewayTraffic& report, WallTime wall,
                          MonoTime now) {
  Gateways& gateways = clusters_[cluster].gateways;
  auto at = gateways.find(report.workload());
  if (at == gateways.end()) {
    if (gateways.size() >= kMaxGateways || report.workload().empty()) return;
    at = gateways.emplace(report.workload(), GatewayReport{}).first;
    at->second.first = now - std::chrono::duration_cast<Duration>(
                                 std::chrono::duration<double>(std::clamp(report.seconds(), 0.0, Seconds(kWindow))));
  }
  GatewayReport& gateway = at->second;
  gateway.time = wall;
  gateway.heard = now;
  const auto set_of = [&](const std::string& name) -> SetReport* {
    const auto found = gateway.sets.find(name);
    if (found != gateway.sets.end()) return &found->second;
    return gateway.sets.size() >= kMaxSets ? nullptr : &gateway.sets[name];
  };
  for (const auto& traffic : report.traffic()) {
    SetReport* set = set_of(traffic.destination_set());
    if (set == nullptr || traffic.clusters_size() > kMaxClusters) continue;
    while (!set->samples.empty() && IsPast(set->samples.front(), now)) set->samples.pop_front();
    SetReport::Sample& sample = set->samples.emplace_back();
    sample.end = now;
    sample.seconds = std::clamp(report.seconds(), 0.0, 60.0);
    set->intended.clear();
    for (const auto& of : traffic.clusters()) {
      sample.clusters[of.cluster()] = {of.requests(), of.errors()};
      set->intended[of.cluster()] = of.has_intended() ? std::optional(of.intended()) : std::nullopt;
    }
  }
  if (report.health_known()) {
    gateway.health_known = true;
    std::set<std::string_view> served;
    for (const auto& health : report.health()) served.insert(health.destination_set());
    std::erase_if(gateway.sets, [&](const auto& set) { return !served.contains(set.first); });
  } else if (!report.health_changes() || !gateway.health_known) {
    return;  // As before.
  }
  for (const std::string& name : report.removed_sets()) gateway.sets.erase(name);
  for (const auto& health : report.health()) {
    SetReport* set = set_of(health.destination_set());
    if (set == nullptr || health.clusters_size() > kMaxClusters) continue;
    set->health.clear();
    for (const auto& of : health.clusters()) set->health[of.cluster()] = Bounded(of);
  }
}

void TrafficTable::AgentCame(const std::string& cluster) {
  const auto found = clusters_.find(cluster);
  if (found != clusters_.end()) found->second.left.reset();
}

void TrafficTable::AgentLeft(const std::string& cluster, MonoTime now) {
  const auto found = clusters_.find(cluster);
  if (found != clusters_.end()) found->second.left = now;
}

void TrafficTable::Forget(const std::string& cluster) { clusters_.erase(cluster); }

void TrafficTable::Sweep(const compile::Compilation& compilation, MonoTime now) {
  std::erase_if(clusters_, [&](const auto& entry) { return entry.second.left && now - *entry.second.left >= kKept; });
  for (auto& [cluster, reports] : clusters_) {
    const compile::ClusterIntent& intents = compilation.Of(cluster);
    const compile::Facts* facts = compilation.world().facts(cluster);
    std::erase_if(reports.gateways,
                  [&](const auto& entry) { return facts == nullptr || !facts->workloads.contains(entry.first); });
    for (auto& [workload, gateway] : reports.gateways) {
      std::erase_if(gateway.sets, [&](const auto& set) {
        return !dialect::IsServiceSet(set.first) &&
               !intents.contains({std::string(compile::kDestinationSet), set.first});
      });
    }
  }
}

const agent::v1::ClusterHealth* TrafficTable::HealthOf(const std::string& cluster, const std::string& workload,
                                                       const std::string& set, const std::string& target,
                                                       MonoTime now) const {
  const GatewayReport* gateway = Speaking(cluster, workload, now);
  if (gateway == nullptr) return nullptr;
  const auto report = gateway->sets.find(set);
  if (report == gateway->sets.end()) return nullptr;
  const auto health = report->second.health.find(target);
  return health == report->second.health.end() ? nullptr : &health->second;
}

bool TrafficTable::IsHeard(const std::string& cluster, const std::string& workload, MonoTime now) const {
  return Speaking(cluster, workload, now) != nullptr;
}

const GatewayReport* TrafficTable::Speaking(const std::string& cluster, const std::string& workload,
                                            MonoTime now) const {
  const auto reports = clusters_.find(cluster);
  if (reports == clusters_.end() || reports->second.left) return nullptr;
  const auto gateway = reports->second.gateways.find(workload);
  if (gateway == reports->second.gateways.end() || !gateway->second.health_known) return nullptr;
  return now - gateway->second.heard >= kKept ? nullptr : &gateway->second;
}

status::Voice HealthInTables::VoiceOf(const std::string& cluster, const std::string& workload) const {
  if (!plight_(cluster).reason.empty()) return status::Voice::kAstray;
  if (!applied_.Connected(cluster)) return status::Voice::kAgentAway;
  if (!applied_.Told(cluster)) return status::Voice::kNotYet;
  const GatewayState* gateway = applied_.Find(cluster, workload);
  if (gateway == nullptr || !gateway->connected) return status::Voice::kAway;
  if (traffic_.IsHeard(cluster, workload, now_)) return status::Voice::kHeard;
  return gateway->reports_health ? status::Voice::kNotYet : status::Voice::kMute;
}

void TrafficTable::ForEach(
    const std::function<void(const std::string& cluster, const Gateways& gateways)>& visit) const {
  for (const auto& [cluster, reports] : clusters_) visit(cluster, reports.gateways);
}

std::vector<v2::HostTraffic> TrafficOf(const TrafficTable& table, const compile::Compilation& compilation,
                                       const TrafficQuery& query, MonoTime now) {
  std::vector<v2::HostTraffic> items;
  EachItem(table, compilation, query, [&](const Item& item) { items.push_back(TrafficOf(item, now)); });
  Arrange(items, query);
  return items;
}

std::vector<v2::HostHealth> HealthOf(const TrafficTable& table, const compile::Compilation& compilation,
                                     const TrafficQuery& query) {
  std::vector<v2::HostHealth> items;
  EachItem(table, compilation, query, [&](const Item& item) { items.push_back(HealthOf(item)); });
  Arrange(items, query);
  return items;
}

std::vector<std::string> SourcesOf(const compile::Compilation& compilation, const TrafficQuery& query) {
  std::vector<std::string> sources;
  const auto& index = compilation.world().state().tier1_by_host;
  // A cluster holds no gateway objects: it is asked for those of its organization.
  const std::string organization(resource::OrganizationFqn(query.parent));
  const bool cluster = resource::IsAtOrBelow(query.parent, organization + "/clusters");
  const std::string& parent = cluster ? organization : query.parent;
  for (const std::string& pattern : resource::PatternsFor(query.host)) {
    const auto found = index.find(compile::Reversed(pattern));
    if (found == index.end()) continue;
    for (const std::string& fqn : found->second) {
      if (resource::IsAtOrBelow(fqn, parent)) sources.push_back(fqn);
    }
  }
  return sources;
}

void RenderTraffic(const TrafficTable& table, MonoTime now, std::string& out) {
  size_t reporting = 0;
  size_t silent = 0;
  struct Target {
    double requests = 0, errors = 0, refused = 0;
  };
  std::map<std::pair<std::string, std::string>, Target> targets;  // Organization, cluster.
  table.ForEach([&](const std::string& cluster, const TrafficTable::Gateways& gateways) {
    const std::string organization(resource::LastName(resource::OrganizationFqn(cluster)));
    for (const auto& [workload, gateway] : gateways) {
      (now - gateway.heard < TrafficTable::kKept ? reporting : silent) += 1;
      for (const auto& [name, set] : gateway.sets) {
        if (dialect::IsServiceSet(name)) continue;  // Of a tier 2: not where tier 1 sends.
        const Rates rates = RatesOf(set, gateway, now);
        for (const auto& [to, counts] : rates.clusters) {
          Target& target = targets[{organization, to}];
          target.requests += counts.requests / rates.seconds;
          target.errors += counts.errors / rates.seconds;
        }
        for (const auto& [to, health] : set.health) targets[{organization, to}].refused += health.can_serve() ? 0 : 1;
      }
    }
  });
  obs::AppendFamily(out, "weir_server_traffic_gateways", "gauge", "Gateways that report what they do with requests.");
  obs::AppendSample(out, "weir_server_traffic_gateways", {{"state", "reporting"}}, static_cast<double>(reporting));
  obs::AppendSample(out, "weir_server_traffic_gateways", {{"state", "silent"}}, static_cast<double>(silent));
  const auto family = [&](const char* name, const char* help, double Target::* value) {
    obs::AppendFamily(out, name, "gauge", help);
    for (const auto& [key, target] : targets) {
      obs::AppendSample(out, name, {{"organization", key.first}, {"cluster", key.second}}, target.*value);
    }
  };
  family("weir_server_cluster_requests_per_second", "Requests that tier-1 gateways send to a cluster.",
         &Target::requests);
  family("weir_server_cluster_errors_per_second", "Of them, those that failed.", &Target::errors);
  family("weir_server_cluster_sets_unservable", "Routes, counted per gateway, that this cluster cannot serve now.",
         &Target::refused);
}

}  // namespace weir::fleet
