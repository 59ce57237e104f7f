#include "mgmt-server/status/reach.h"

#include <algorithm>

#include "api/weir/agent/v1/traffic.pb.h"
#include "api/weir/mesh/v1/intent.pb.h"
#include "libs/dialect/dialect.h"
#include "libs/facts/check.h"
#include "libs/resource/kinds.h"
#include "libs/resource/status_reason.h"
#include "mgmt-server/compile/keys.h"

namespace weir::status {
namespace {

using resource::StatusReason;
using traffic::Availability;
using traffic::Reason;
using traffic::Standing;

bool HasLabels(const agent::v1::Workload& workload, const agent::v1::Service& service) {
  return std::all_of(service.selector().begin(), service.selector().end(), [&](const auto& label) {
    const auto has = workload.labels().find(label.first);
    return has != workload.labels().end() && has->second == label.second;
  });
}

bool HasEndpoint(const compile::Facts& facts, const agent::v1::Service& service) {
  const std::string prefix = service.namespace_() + "/";
  for (auto at = facts.workloads.lower_bound(prefix); at != facts.workloads.end() && at->first.starts_with(prefix);
       ++at) {
    if (!at->second->addresses().empty() && HasLabels(*at->second, service)) return true;
  }
  return false;
}

// What the agent of a cluster says of the service that a route goes to.
enum class ServiceState { kServes, kServiceMissing, kPortMissing, kNoEndpoint };
ServiceState StateOf(const compile::World& world, const std::string& cluster,
                     const v2::ServiceDestination& destination) {
  const compile::Facts* facts = world.facts(cluster);
  if (facts == nullptr) return ServiceState::kServiceMissing;
  const agent::v1::Service* service = facts->FindService(destination.host());
  if (service == nullptr) return ServiceState::kServiceMissing;
  const auto& ports = service->ports();
  if (std::find(ports.begin(), ports.end(), destination.port()) == ports.end()) return ServiceState::kPortMissing;
  return HasEndpoint(*facts, *service) ? ServiceState::kServes : ServiceState::kNoEndpoint;
}

Shortfall OfService(ServiceState state, const v2::ServiceDestination& destination, std::string_view cluster) {
  switch (state) {
    case ServiceState::kServes:
      return {};
    case ServiceState::kServiceMissing:
      return {Word(StatusReason::kServiceMissing),
              fmt::format("{}: there is no service {}", cluster, destination.host())};
    case ServiceState::kPortMissing:
      return {Word(StatusReason::kPortMissing),
              fmt::format("{}: service {} has no port {}", cluster, destination.host(), destination.port())};
    case ServiceState::kNoEndpoint:
      return {Word(StatusReason::kNoEndpoint),
              fmt::format("{}: service {} has no workload", cluster, destination.host())};
  }
  return {};
}

// What the gateways of a tier-2 object in one cluster say of a service that exists there.
struct GatewaysWord {
  bool served = false;   // By one of them, checked.
  bool unknown = false;  // One will say, and has not yet.
  bool silent = false;   // One says nothing of it, or nobody hears it.
  bool away = false;     // One is not connected to its agent.
};
GatewaysWord OfGateways(const compile::World& world, const compile::GatewayShape& tier2, const std::string& cluster,
                        const v2::ServiceDestination& destination, const ReportedHealth& health) {
  GatewaysWord word;
  const std::string set = dialect::ServiceSet(destination.host(), destination.port());
  for (const compile::SelectedWorkload& gateway : compile::SelectedIn(world, tier2, cluster)) {
    const Voice voice = health.VoiceOf(cluster, gateway.name);
    const auto* said = health.Find(cluster, gateway.name, set, std::string(resource::LastName(cluster)));
    if (voice == Voice::kAway) {
      word.away = true;
    } else if (voice != Voice::kHeard && voice != Voice::kNotYet) {
      word.silent = true;
    } else if (said == nullptr || (said->can_serve() && said->unchecked())) {
      word.unknown = true;
    } else {
      word.served |= said->can_serve();
    }
  }
  return word;
}

Shortfall NobodyThere(const std::string& cluster) {
  return {Word(StatusReason::kDisconnected),
          fmt::format("{}: its tier-2 gateways are not connected to their agent", resource::LastName(cluster))};
}

Shortfall NobodyHealthy(const std::string& cluster, const v2::ServiceDestination& destination) {
  return {Word(StatusReason::kNoEndpoint), fmt::format("{}: nobody behind its tier-2 gateways can serve {}",
                                                       resource::LastName(cluster), destination.host())};
}

// What the tier-2 objects of one cluster have for a host: reason "" when a rule of them is served, or may be
// (`unchecked`).
Shortfall Behind(const compile::World& world, const std::string& cluster, const std::string& tenant,
                 const std::string& hostname, const ReportedHealth& health, bool* unchecked) {
  Shortfall worst;
  bool served = false;
  bool rules = false;
  *unchecked = false;
  for (const std::string& fqn : compile::Tier2For(world, tenant, hostname)) {
    const compile::GatewayShape& tier2 = *world.gateway(fqn);
    if (!compile::CountsIn(world, tier2, cluster)) continue;
    compile::EachCovering(tier2, hostname, [&](const compile::ServerShape& server) {
      for (const auto& rule : server.http->routing().rules()) {
        rules = true;
        if (served || !rule.has_route() || !rule.route().has_service_destination()) {
          served = true;
          continue;
        }
        const auto& destination = rule.route().service_destination();
        const auto state = StateOf(world, cluster, destination);
        Shortfall shortfall = OfService(state, destination, resource::LastName(cluster));
        if (shortfall.reason.empty()) {
          const GatewaysWord word = OfGateways(world, tier2, cluster, destination, health);
          // Of those that nobody hears the tier-1 gateways know.
          served = word.served || word.silent || word.away;
          *unchecked |= word.unknown;
          if (!served && !word.unknown) shortfall = NobodyHealthy(cluster, destination);
        }
        if (!served && worst.reason.empty()) worst = std::move(shortfall);
      }
    });
  }
  *unchecked &= !served;
  return served || !rules || *unchecked ? Shortfall{} : worst;
}

// Of a cluster (FQN). Behind gateways that nobody reaches there may be more to say: whoever was revoked is refused.
Shortfall WhyOut(Reason reason, const std::string& cluster, const ReportedHealth& health) {
  Shortfall plight = health.Plight(cluster);
  if (plight.reason == Word(StatusReason::kRevoked) && reason != Reason::kDrained) return plight;
  return {ReasonName(reason), fmt::format("{}: {}", resource::LastName(cluster), traffic::Sentence(reason))};
}

// What is known of one cluster of a set without asking a tier-1 gateway.
struct Known {
  Availability availability;
  Shortfall detail;
  bool unchecked = false;
};

class Spreads {
 public:
  Spreads(const compile::Compilation& compilation, const compile::GatewayShape& tier1, const ReportedHealth& health)
      : compilation_(compilation), tier1_(tier1), health_(health) {}

  // The route of one destination set of the intent of `cluster`, without what tier-1 gateways report; nullopt = it goes
  // to no cluster.
  std::optional<RouteReach> Of(const std::string& cluster, const compile::Key& key) {
    const compile::ClusterIntent& intent = compilation_.Of(cluster);
    const auto found = intent.find(key);
    const auto name = compile::ParseDestinationSetName(key.name);
    mesh::v1::DestinationSet set;
    if (found == intent.end() || !name || !set.ParseFromString(found->second.bytes)) return std::nullopt;
    if (set.clusters().empty()) return std::nullopt;
    RouteReach route;
    route.gateway_cluster = cluster;
    route.host = name->host.hostname;
    route.route = fmt::format("{}/{}", name->server, name->rule);
    route.mode =
        set.mode() == mesh::v1::DestinationSet::ORDERED ? traffic::Mode::kOrdered : traffic::Mode::kProportional;
    route.panic = set.panic();
    for (const auto& share : set.clusters()) {
      Known known = Assess(intent, share, route.host, TenantOf(*name));
      traffic::Destination& destination = route.destinations.emplace_back();
      destination.cluster = share.cluster();
      if (share.has_weight()) destination.weight = share.weight();
      destination.priority = share.priority();
      destination.availability = known.availability;
      route.details.push_back(std::move(known.detail));
      route.unchecked.push_back(known.unchecked);
    }
    return route;
  }

 private:
  const std::string& TenantOf(const compile::DestinationSetParts& name) const {
    const compile::ServerShape* server = tier1_.Find(name.host.hostname, name.host.listener.port);
    return server == nullptr ? tier1_.tenant : server->tenant;
  }

  Known Assess(const compile::ClusterIntent& intent, const mesh::v1::ClusterShare& share, const std::string& hostname,
               const std::string& tenant) {
    traffic::ClusterEvidence evidence;
    evidence.drained = share.drained();
    evidence.gateways = true;
    const auto imported = intent.find({std::string(compile::kServiceEndpoints), share.endpoints()});
    mesh::v1::ServiceEndpoints endpoints;
    if (imported != intent.end() && endpoints.ParseFromString(imported->second.bytes)) {
      evidence.endpoints = static_cast<uint32_t>(endpoints.endpoints_size());
    }
    Known known;
    if (evidence.endpoints > 0) {
      known.detail = Behind(compilation_.world(), compile::ClusterFqn(tier1_.organization, share.cluster()), tenant,
                            hostname, health_, &known.unchecked);
    }
    if (known.detail.reason.empty())
      evidence.able = evidence.usable = evidence.endpoints;
    else
      evidence.behind = evidence.endpoints;
    known.availability = traffic::Assess(evidence);
    if (known.availability.reason != Reason::kNone && known.detail.reason.empty()) {
      known.detail =
          WhyOut(known.availability.reason, compile::ClusterFqn(tier1_.organization, share.cluster()), health_);
    }
    return known;
  }

  const compile::Compilation& compilation_;
  const compile::GatewayShape& tier1_;
  const ReportedHealth& health_;
};

// What one gateway says, where it says more than what is pushed does.
void AddReported(const ReportedHealth& health, const std::string& set, RouteReach* route) {
  route->voice = health.VoiceOf(route->gateway_cluster, route->workload);
  const bool speaks = route->voice == Voice::kHeard || route->voice == Voice::kNotYet;
  for (size_t i = 0; i < route->destinations.size(); ++i) {
    traffic::Destination& destination = route->destinations[i];
    const auto* said = health.Find(route->gateway_cluster, route->workload, set, destination.cluster);
    if (speaks && (said == nullptr || said->unchecked())) route->unchecked[i] = true;
    if (said == nullptr) continue;
    if (said->returning() > 0) {
      destination.returning = std::min<uint32_t>(said->returning(), traffic::Candidate::kFull);
    }
    if (said->can_serve() || destination.availability.standing == Standing::kOut) continue;
    const Reason reason = traffic::ReasonOf(said->reason());
    // A gateway takes who is held when nobody else is there: it says "cannot" of it and serves.
    destination.availability = {reason == Reason::kHeld ? Standing::kCautious : Standing::kOut,
                                reason == Reason::kNone ? Reason::kNoEndpoint : reason,
                                destination.availability.anybody};
    route->details[i] =
        WhyOut(destination.availability.reason,
               compile::ClusterFqn(resource::ParentFqn(route->gateway_cluster), destination.cluster), health);
  }
}

// What is pushed says that it serves, and nobody hears what it does.
bool IsSilent(Voice voice) { return voice == Voice::kAway || voice == Voice::kAgentAway || voice == Voice::kAstray; }

void Note(Shortfall shortfall, Reach& reach) {
  ++reach.unserved;
  if (reach.shortfalls.size() < Reach::kMostKept) reach.shortfalls.push_back(std::move(shortfall));
}

std::string Joined(const std::vector<Shortfall>& details) {
  std::string text;
  for (const Shortfall& detail : details) {
    if (!detail.message.empty()) text += (text.empty() ? "" : "; ") + detail.message;
  }
  return text;
}

// Nobody is known to be missing: said after what is.
void NoteUnchecked(const std::vector<std::string>& routes, Reach& reach) {
  for (const std::string& route : routes) {
    Note({Word(StatusReason::kWaitingForHealth), fmt::format("whether anybody serves {} is not found out yet", route)},
         reach);
  }
}

Reach OfTier1(const compile::Compilation& compilation, const compile::GatewayShape& tier1,
              const ReportedHealth& health) {
  Reach reach;
  std::vector<std::string> unchecked;
  for (const RouteReach& route : RoutesOf(compilation, tier1, health)) {
    const traffic::Spread spread = traffic::SpreadOf(route.mode, route.destinations);
    const bool served = spread.nobody == Reason::kNone;
    if (served && IsSilent(route.voice)) continue;
    ++reach.routes;
    if (served && IsUnchecked(route.destinations, route.unchecked))
      unchecked.push_back(fmt::format("{} (route {})", route.host, route.route));
    if (served) continue;
    Note({WhyNobody(route.details, spread.nobody),
          fmt::format("nobody serves {} (route {}): {}", route.host, route.route, Joined(route.details))},
         reach);
  }
  NoteUnchecked(unchecked, reach);
  return reach;
}

Reach OfTier2(const compile::World& world, const compile::GatewayShape& tier2, const ReportedHealth& health) {
  Reach reach;
  std::vector<std::string> unchecked;
  const std::vector<std::string> clusters = compile::ClustersOf(world, tier2);
  for (const compile::ServerShape& server : tier2.servers) {
    const auto& rules = server.http->routing().rules();
    for (int i = 0; i < rules.size(); ++i) {
      ++reach.routes;
      if (!rules[i].has_route() || !rules[i].route().has_service_destination()) continue;
      const auto& destination = rules[i].route().service_destination();
      std::vector<Shortfall> details;
      bool unknown = false;
      const bool served = std::any_of(clusters.begin(), clusters.end(), [&](const std::string& cluster) {
        details.push_back(OfService(StateOf(world, cluster, destination), destination, resource::LastName(cluster)));
        if (!details.back().reason.empty()) return false;
        const GatewaysWord word = OfGateways(world, tier2, cluster, destination, health);
        unknown |= word.unknown;
        details.back() = word.away ? NobodyThere(cluster) : NobodyHealthy(cluster, destination);
        return word.served || word.silent;
      });
      if (served || details.empty()) continue;
      if (unknown) {
        unchecked.push_back(fmt::format("{} (route {})", server.hostname, compile::RouteName(server, i)));
        continue;
      }
      Note({details.front().reason, fmt::format("nobody serves {} (route {}): {}", server.hostname,
                                                compile::RouteName(server, i), Joined(details))},
           reach);
    }
  }
  NoteUnchecked(unchecked, reach);
  return reach;
}

}  // namespace

std::string ReasonName(Reason reason) {
  switch (reason) {
    case Reason::kDrained:
      return Word(StatusReason::kAllDrained);
    case Reason::kNoGateway:
      return Word(StatusReason::kNoReceiver);
    case Reason::kGatewaysDown:
    case Reason::kDraining:  // It is about to stop.
      return Word(StatusReason::kGatewaysDown);
    case Reason::kNoSuchHost:
      return Word(StatusReason::kNoSuchHost);
    default:
      return Word(StatusReason::kNoEndpoint);
  }
}

std::string WhyNobody(const std::vector<Shortfall>& details, Reason nobody) {
  for (const Shortfall& detail : details) {
    for (const StatusReason telling : {StatusReason::kServiceMissing, StatusReason::kPortMissing}) {
      if (detail.reason == Word(telling)) return detail.reason;
    }
  }
  return ReasonName(nobody);
}

bool IsUnchecked(const std::vector<traffic::Destination>& destinations, const std::vector<bool>& unchecked) {
  bool any = false;
  for (size_t i = 0; i < destinations.size(); ++i) {
    if (destinations[i].availability.standing == Standing::kOut) continue;
    if (!unchecked[i]) return false;
    any = true;
  }
  return any;
}

std::vector<RouteReach> RoutesOf(const compile::Compilation& compilation, const compile::GatewayShape& tier1,
                                 const ReportedHealth& health) {
  std::vector<RouteReach> routes;
  const compile::World& world = compilation.world();
  std::set<compile::Key> keys;
  compile::AddObjectKeys(tier1, keys);
  Spreads spreads(compilation, tier1, health);
  for (const std::string& cluster : compile::ClustersOf(world, tier1)) {
    const auto gateways = compile::SelectedIn(world, tier1, cluster);
    for (const compile::Key& key : keys) {
      if (key.type != compile::kDestinationSet) continue;
      const std::optional<RouteReach> pushed = spreads.Of(cluster, key);
      if (!pushed) continue;
      for (const compile::SelectedWorkload& gateway : gateways) {
        RouteReach& route = routes.emplace_back(*pushed);
        route.workload = gateway.name;
        AddReported(health, key.name, &route);
      }
    }
  }
  return routes;
}

Reach ReachOf(const compile::Compilation& compilation, std::string_view fqn, const ReportedHealth& health) {
  const compile::GatewayShape* shape = compilation.world().gateway(fqn);
  if (shape == nullptr) return {};
  return shape->tier1 ? OfTier1(compilation, *shape, health) : OfTier2(compilation.world(), *shape, health);
}

}  // namespace weir::status
