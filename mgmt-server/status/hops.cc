#include "mgmt-server/status/hops.h"

#include "api/weir/mesh/v1/intent.pb.h"
#include "libs/resource/conflicts.h"
#include "libs/resource/kinds.h"
#include "libs/resource/status_reason.h"
#include "mgmt-server/compile/keys.h"
#include "mgmt-server/status/service_reach.h"

namespace weir::status {

std::vector<std::string> PatternsOf(const std::string& host) {
  std::vector<std::string> patterns = resource::PatternsFor(host);
  patterns.push_back("*");
  return patterns;
}

Place PlaceOf(const compile::World& world, const std::string& cluster, const mesh::v1::Host& host) {
  const auto parts = compile::ParseHostName(host.name());
  if (!parts) return {};
  const compile::Owner owner = compile::FindOwner(world, cluster, *parts);
  if (owner.shape == nullptr) return {};
  return {owner.shape, owner.server, owner.shape->IndexOf(*owner.server)};
}

Target TargetOf(Pieces& pieces, const std::string& cluster, const Place& place, const std::string& set) {
  const compile::Resource* piece = pieces.Find(cluster, {std::string(compile::kDestinationSet), set});
  const auto name = compile::ParseDestinationSetName(set);
  mesh::v1::DestinationSet message;
  Target target;
  const auto& rules = place.server->http->routing().rules();
  if (piece == nullptr || !name || name->rule >= rules.size() || !message.ParseFromString(piece->bytes)) return target;
  const v2::ServiceDestination& service = rules[name->rule].route().service_destination();
  if (message.has_service()) {
    target.service = &service;
  } else {
    target.outside = {
        Word(resource::StatusReason::kServiceOutsideWorkspace),
        fmt::format("{}: the workspace does not own the namespace of {}", resource::LastName(cluster), service.host())};
  }
  return target;
}

bool Hops::OnMesh(const std::string& cluster, const std::string& name) {
  const compile::Resource* piece = pieces_.Find(cluster, {std::string(compile::kHost), name});
  mesh::v1::Host host;
  return piece != nullptr && host.ParseFromString(piece->bytes) && host.on_mesh();
}

const HostTable& Hops::TableOf(const std::string& cluster, const compile::GatewayShape& tier2,
                               const std::string& host) {
  const std::pair<At, std::string> key{{cluster, tier2.fqn}, host};
  const auto known = tables_.find(key);
  if (known != tables_.end()) return known->second;
  std::set<std::string> names;
  for (const std::string& pattern : PatternsOf(host)) {
    const auto [begin, end] = tier2.servers_by_host.equal_range(pattern);
    for (auto at = begin; at != end; ++at) {
      const compile::ServerShape& server = tier2.servers[at->second];
      const std::string name =
          compile::HostName(compile::ListenerName(tier2.selector_key, server.port), server.hostname);
      if (OnMesh(cluster, name)) names.insert(name);
    }
  }
  return tables_.try_emplace(key, pieces_, cluster, names).first->second;
}

Hop Hops::Take(const std::string& cluster, const compile::GatewayShape& tier2, const std::string& host,
               const std::string& authority, const std::string& target) {
  Hop hop;
  const HostTable::Taken taken = TableOf(cluster, tier2, host).Match(authority, target);
  if (taken.host == nullptr) return hop;
  hop.place = PlaceOf(pieces_.WorldOf(cluster), cluster, *taken.host);
  if (hop.place.shape == nullptr || taken.route == nullptr) return hop;
  hop.host = taken.host;
  hop.route = taken.route;
  hop.number = taken.number;
  hop.match = taken.match;
  if (!taken.route->has_destination_set()) return hop;
  const auto [known, first] = served_.try_emplace({{cluster, tier2.fqn}, taken.route->destination_set()});
  Served& served = known->second;
  if (first) {
    served.target = TargetOf(pieces_, cluster, hop.place, taken.route->destination_set());
    served.shortfall = served.target.service == nullptr ? served.target.outside
                                                        : ServiceAt(pieces_.WorldOf(cluster), tier2, cluster,
                                                                    *served.target.service, health_, &served.unchecked);
  }
  hop.service = served.target.service;
  hop.shortfall = served.shortfall;
  hop.unchecked = served.unchecked;
  return hop;
}

}  // namespace weir::status
