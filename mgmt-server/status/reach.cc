#include "mgmt-server/status/reach.h"

#include <algorithm>
#include <iterator>

#include "api/weir/agent/v1/traffic.pb.h"
#include "libs/resource/admin_state.h"
#include "libs/resource/kinds.h"
#include "libs/resource/status_reason.h"
#include "mgmt-server/compile/keys.h"
#include "mgmt-server/status/service_reach.h"
#include "mgmt-server/status/spreads.h"

namespace weir::status {
namespace {

using resource::StatusReason;
using traffic::Availability;
using traffic::Reason;
using traffic::Standing;

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
               resource::ClusterFqn(resource::ParentFqn(route->gateway_cluster), destination.cluster), health);
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

// "route s/0", "route s/0, path /a".
std::string RouteText(const RouteReach& route) {
  const std::string path =
      route.path.ends_with('\x7f') ? route.path.substr(0, route.path.size() - 1) + "..." : route.path;
  return fmt::format("route {}{}{}", route.route, path.empty() ? "" : ", path ", path);
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
      unchecked.push_back(fmt::format("{} ({})", route.host, RouteText(route)));
    if (served) continue;
    const bool any = !route.destinations.empty();
    Note({any ? WhyNobody(route.details, spread.nobody) : Word(StatusReason::kNoReceiver),
          fmt::format("nobody serves {} ({}): {}", route.host, RouteText(route),
                      any ? Joined(route.details) : "no cluster that its list selects has a tier-2 gateway for it")},
         reach);
  }
  NoteUnchecked(unchecked, reach);
  return reach;
}

// Tier-1 gateways send requests for this host there.
bool IsSentTo(const compile::World& world, const compile::GatewayShape& tier2, const compile::ServerShape& server,
              const std::string& cluster) {
  const v2::Cluster* found = world.cluster(cluster);
  if (found == nullptr || resource::TakesNoRequests(found->spec().admin_state())) return false;
  const compile::FqnSet senders = compile::Tier1For(world, tier2.organization, server.hostname);
  return std::any_of(senders.begin(), senders.end(), [&](const std::string& fqn) {
    return compile::RoutesTo(*world.gateway(fqn), server.hostname, resource::LastName(cluster), tier2.tenant);
  });
}

// Where a server of a tier-2 object has to be served: where requests come from tier-1 gateways, if they do anywhere.
std::vector<std::string> WhereItCounts(const compile::World& world, const compile::GatewayShape& tier2,
                                       const compile::ServerShape& server, const std::vector<std::string>& clusters) {
  std::vector<std::string> sent;
  std::copy_if(clusters.begin(), clusters.end(), std::back_inserter(sent),
               [&](const std::string& cluster) { return IsSentTo(world, tier2, server, cluster); });
  return sent.empty() ? clusters : sent;
}

Reach OfTier2(const compile::World& world, const compile::GatewayShape& tier2, const ReportedHealth& health) {
  Reach reach;
  std::vector<std::string> unchecked;
  const std::vector<std::string> everywhere = compile::ClustersOf(world, tier2);
  for (const compile::ServerShape& server : tier2.servers) {
    const std::vector<std::string> clusters = WhereItCounts(world, tier2, server, everywhere);
    const auto& rules = server.http->routing().rules();
    for (int i = 0; i < rules.size(); ++i) {
      ++reach.routes;
      if (!rules[i].has_route() || !rules[i].route().has_service_destination()) continue;
      const auto& destination = rules[i].route().service_destination();
      std::vector<Shortfall> details;
      bool unknown = false;
      const bool served = std::any_of(clusters.begin(), clusters.end(), [&](const std::string& cluster) {
        details.push_back(
            OfService(StateOf(world, tier2, cluster, destination), destination, resource::LastName(cluster)));
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
  PushedPieces pieces(compilation);
  Spreads spreads(pieces, tier1, health);
  for (const std::string& cluster : compile::ClustersOf(world, tier1)) {
    const auto gateways = compile::SelectedIn(world, tier1, cluster);
    for (const compile::Key& key : keys) {
      if (key.type != compile::kDestinationSet) continue;
      const std::vector<RouteReach> pushed = spreads.ByPath(cluster, key);
      for (const compile::SelectedWorkload& gateway : gateways) {
        for (const RouteReach& each : pushed) {
          RouteReach& route = routes.emplace_back(each);
          route.workload = gateway.name;
          AddReported(health, key.name, &route);
        }
      }
    }
  }
  return routes;
}

std::optional<RouteReach> RouteAt(Pieces& pieces, const compile::GatewayShape& tier1, const std::string& cluster,
                                  const compile::Key& set, const std::string& workload, const ReportedHealth& health) {
  std::optional<RouteReach> route = Spreads(pieces, tier1, health).Of(cluster, set);
  if (!route) return route;
  route->workload = workload;
  AddReported(health, set.name, &*route);
  return route;
}

std::string DoubtOf(Voice voice, std::string_view cluster) {
  switch (voice) {
    case Voice::kAgentAway:
      return fmt::format("the agent of {} is not connected: nobody knows what its gateways do", cluster);
    case Voice::kAstray:
      return fmt::format(
          "the agent of {0} does not follow this server's state (`weir status` says why of {0}): its "
          "gateways do what it last told them",
          cluster);
    case Voice::kAway:
      return "not connected to their agent: nobody knows what they do";
    case Voice::kNotYet:
      return "they have not reported yet who can serve";
    case Voice::kHeard:
    case Voice::kMute:
      break;
  }
  return "";
}

Reach ReachOf(const compile::Compilation& compilation, std::string_view fqn, const ReportedHealth& health) {
  const compile::GatewayShape* shape = compilation.world().gateway(fqn);
  if (shape == nullptr) return {};
  return shape->tier1 ? OfTier1(compilation, *shape, health) : OfTier2(compilation.world(), *shape, health);
}

}  // namespace weir::status
