#include "mgmt-server/status/spreads.h"

#include "libs/resource/kinds.h"
#include "libs/resource/status_reason.h"
#include "mgmt-server/status/service_reach.h"

namespace weir::status {
namespace {

using resource::StatusReason;
using traffic::Reason;
using traffic::Standing;

// What the tier-2 objects of one cluster have for a host: reason "" when a rule of them is served, or may be
// (`unchecked`). Their services are not named.
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
        bool unknown = false;
        Shortfall shortfall = ServiceAt(world, tier2, cluster, rule.route().service_destination(), health, &unknown);
        served = shortfall.reason.empty() && !unknown;
        *unchecked |= unknown;
        if (!served && worst.reason.empty()) worst = std::move(shortfall);
      }
    });
  }
  *unchecked &= !served;
  return served || !rules || *unchecked ? Shortfall{} : Unnamed(worst, resource::LastName(cluster));
}

using RulesOfServer = google::protobuf::RepeatedPtrField<v2::HttpRule>;
// A path of each kind that these rules tell apart. Below a prefix: what no other rule is written for.
void AddPaths(const RulesOfServer& rules, std::set<std::string>& paths) {
  constexpr char kBelow[] = "\x7f";
  for (const v2::HttpRule& rule : rules) {
    if (rule.match().empty()) paths.insert(std::string("/") + kBelow);
    for (const v2::HttpMatch& match : rule.match()) {
      if (match.uri().has_exact()) paths.insert(match.uri().exact());
      if (match.uri().has_prefix()) paths.insert({match.uri().prefix(), match.uri().prefix() + kBelow});
    }
  }
}

}  // namespace

Shortfall WhyOut(Reason reason, const std::string& cluster, const ReportedHealth& health) {
  Shortfall plight = health.Plight(cluster);
  if (plight.reason == Word(StatusReason::kRevoked) && reason != Reason::kDrained) return plight;
  return {ReasonName(reason), fmt::format("{}: {}", resource::LastName(cluster), traffic::Sentence(reason))};
}

std::vector<RouteReach> Spreads::ByPath(const std::string& cluster, const compile::Key& key) {
  std::vector<RouteReach> routes;
  std::optional<RouteReach> whole = Of(cluster, key);
  const auto name = compile::ParseDestinationSetName(key.name);
  if (!whole || !name) return routes;
  std::set<std::string> known;  // What was said already.
  const std::vector<std::string> paths = PathsOf(cluster, key, *name);
  for (const std::string& path : paths) {
    RouteReach route = *whole;
    if (!Narrow(path, TenantOf(*name), route)) continue;
    std::string said;
    for (size_t i = 0; i < route.details.size(); ++i)
      said += route.details[i].message + (route.unchecked[i] ? "?\n" : "\n");
    if (!known.insert(said).second) continue;
    route.path = path;
    routes.push_back(std::move(route));
  }
  if (routes.empty()) routes.push_back(*std::move(whole));
  if (routes.size() == 1) routes.front().path.clear();
  return routes;
}

std::optional<RouteReach> Spreads::Of(const std::string& cluster, const compile::Key& key) {
  const compile::Resource* found = pieces_.Find(cluster, key);
  const auto name = compile::ParseDestinationSetName(key.name);
  mesh::v1::DestinationSet set;
  if (found == nullptr || !name || !set.ParseFromString(found->bytes)) return std::nullopt;
  if (set.has_service()) return std::nullopt;
  RouteReach route;
  route.gateway_cluster = cluster;
  route.host = name->host.hostname;
  route.route = fmt::format("{}/{}", name->server, name->rule);
  route.mode = set.mode() == mesh::v1::DestinationSet::ORDERED ? traffic::Mode::kOrdered : traffic::Mode::kProportional;
  route.panic = set.panic();
  for (const auto& share : set.clusters()) {
    Known known = Assess(cluster, share, route.host, TenantOf(*name));
    traffic::Destination& destination = route.destinations.emplace_back();
    destination.cluster = share.cluster();
    if (share.has_weight()) destination.weight = share.weight();
    destination.priority = share.priority();
    destination.standby = share.standby();
    destination.availability = known.availability;
    route.details.push_back(std::move(known.detail));
    route.unchecked.push_back(known.unchecked);
  }
  return route;
}

std::vector<std::string> Spreads::PathsOf(const std::string& cluster, const compile::Key& key,
                                          const compile::DestinationSetParts& name) {
  const compile::World& world = pieces_.world();
  const compile::ServerShape* server = tier1_.Find(name.host.hostname, name.host.listener.port);
  std::set<std::string> paths;
  int behind = 0;
  for (const std::string& fqn : compile::Tier2For(world, TenantOf(name), name.host.hostname)) {
    compile::EachCovering(*world.gateway(fqn), name.host.hostname, [&](const compile::ServerShape& theirs) {
      AddPaths(theirs.http->routing().rules(), paths);
      behind += theirs.http->routing().rules_size();
    });
  }
  if (behind < 2 || server == nullptr) return {};
  AddPaths(server->http->routing().rules(), paths);
  const std::string host = compile::HostName(
      compile::ListenerName(name.host.listener.selector_key, name.host.listener.port), name.host.hostname);
  const auto [table, first] = tables_.try_emplace({cluster, host}, pieces_, cluster, std::set<std::string>{host});
  std::vector<std::string> taken;
  for (const std::string& path : paths) {
    const HostTable::Taken rule = table->second.Match(name.host.hostname, path);
    if (rule.route != nullptr && rule.route->destination_set() == key.name) taken.push_back(path);
  }
  return taken;
}

// What the tier-2 objects of a cluster do with one path.
struct Spreads::AtPath {
  bool here = false;   // There are some.
  bool taken = false;  // By a rule of one of them.
  bool served = false;
  bool unchecked = false;
  Shortfall shortfall;
};
Spreads::AtPath Spreads::At(const std::string& path, const std::string& tenant, const std::string& host,
                            const std::string& cluster) {
  AtPath at;
  const compile::World& world = pieces_.WorldOf(cluster);
  for (const std::string& fqn : compile::Tier2For(world, tenant, host)) {
    const compile::GatewayShape& tier2 = *world.gateway(fqn);
    if (!compile::CountsIn(world, tier2, cluster)) continue;
    const Hop hop = hops_.Take(cluster, tier2, host, host, path);
    at.here = true;
    at.taken |= hop.route != nullptr;
    at.unchecked |= hop.unchecked;
    at.served |= hop.shortfall.reason.empty() && !hop.unchecked;
    if (at.shortfall.reason.empty()) at.shortfall = Unnamed(hop.shortfall, resource::LastName(cluster));
  }
  return at;
}

bool Spreads::Narrow(const std::string& path, const std::string& tenant, RouteReach& route) {
  bool any = false;
  for (size_t i = 0; i < route.destinations.size(); ++i) {
    traffic::Availability& availability = route.destinations[i].availability;
    if (availability.standing == Standing::kOut) continue;
    AtPath at = At(path, tenant, route.host, resource::ClusterFqn(tier1_.organization, route.destinations[i].cluster));
    any |= at.taken;
    if (!at.here) continue;
    route.unchecked[i] = at.unchecked && !at.served;
    if (at.served || at.unchecked) continue;
    availability = {Standing::kOut, Reason::kNoEndpoint, availability.anybody};
    route.details[i] = std::move(at.shortfall);
  }
  return any;
}

const std::string& Spreads::TenantOf(const compile::DestinationSetParts& name) const {
  const compile::ServerShape* server = tier1_.Find(name.host.hostname, name.host.listener.port);
  return server == nullptr ? tier1_.tenant : server->tenant;
}

Spreads::Known Spreads::Assess(const std::string& importer, const mesh::v1::ClusterShare& share,
                               const std::string& hostname, const std::string& tenant) {
  traffic::ClusterEvidence evidence;
  evidence.drained = share.drained();
  evidence.gateways = true;
  const auto* imported = pieces_.Find(importer, {std::string(compile::kServiceEndpoints), share.endpoints()});
  mesh::v1::ServiceEndpoints endpoints;
  if (imported != nullptr && endpoints.ParseFromString(imported->bytes)) {
    evidence.endpoints = static_cast<uint32_t>(endpoints.endpoints_size());
  }
  Known known;
  if (evidence.endpoints > 0) {
    const std::string cluster = resource::ClusterFqn(tier1_.organization, share.cluster());
    known.detail = Behind(pieces_.WorldOf(cluster), cluster, tenant, hostname, health_, &known.unchecked);
  }
  if (known.detail.reason.empty())
    evidence.able = evidence.usable = evidence.endpoints;
  else
    evidence.behind = evidence.endpoints;
  known.availability = traffic::Assess(evidence);
  if (known.availability.reason != Reason::kNone && known.detail.reason.empty()) {
    known.detail =
        WhyOut(known.availability.reason, resource::ClusterFqn(tier1_.organization, share.cluster()), health_);
  }
  return known;
}

}  // namespace weir::status
