#include "mgmt-server/invariants/paths.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "libs/resource/kinds.h"
#include "mgmt-server/compile/keys.h"

namespace weir::invariants {
namespace {

using compile::GatewayShape;
using compile::ServerShape;
using compile::World;
using resource::NamespacePattern;
using Places = std::vector<NamespacePattern>;

std::string Text(const NamespacePattern& place) { return place.cluster + "/" + place.name; }

Places Intersections(const Places& places, const NamespacePattern& with) {
  Places common;
  for (const NamespacePattern& place : places) {
    if (auto both = place.Intersection(with)) common.push_back(std::move(*both));
  }
  return common;
}

// Namespaces that lie in a tenant, or the one.
Places PlacesOf(const World& world, const Invariant& invariant, const v2::InvariantPlace& place) {
  Places places;
  if (place.has_namespace_()) {
    if (auto pattern = resource::ParseNamespacePattern(place.namespace_()); pattern.ok()) places.push_back(*pattern);
    return places;
  }
  const std::string tenant = resource::ChildFqn(invariant.organization, resource::Kind::kTenant, place.tenant());
  world.state().Each<v2::Workspace>(tenant, [&](const std::string&, const v2::Workspace& workspace) {
    for (auto& pattern : resource::PatternsOf(workspace.spec().namespace_selector())) places.push_back(pattern);
  });
  return places;
}

class Search {
 public:
  Search(const World& world, const Invariant& invariant)
      : world_(world),
        invariant_(invariant),
        from_(invariant.spec.no_path().from()),
        to_(PlacesOf(world, invariant, invariant.spec.no_path().to())) {}

  void From(const GatewayShape& shape) {
    const Places places = StandsIn(shape);
    if (places.empty()) return;
    for (const ServerShape& server : shape.servers) {
      Services(shape, server, places, shape, server, {});
      if (shape.tier1) Clusters(shape, server);
    }
  }
  std::vector<Breach> Found() && {
    std::vector<Breach> breaches;
    for (auto& [key, breach] : found_) breaches.push_back(std::move(breach));
    return breaches;
  }

 private:
  // Where this object's gateways may stand that `from` speaks of.
  Places StandsIn(const GatewayShape& shape) const {
    const std::string_view tenant = resource::LastName(shape.tenant);
    if (from_.has_tenant() && from_.tenant() != tenant) return {};
    if (from_.has_outside_tenant() && from_.outside_tenant() == tenant) return {};
    const Places all = invariants::PlacesOf(world_, shape);
    if (!from_.has_namespace_()) return all;
    const auto pattern = resource::ParseNamespacePattern(from_.namespace_());
    return pattern.ok() ? Intersections(all, *pattern) : Places();
  }

  // The tier-2 gateways behind a tier-1 server, in the clusters where it sends.
  void Clusters(const GatewayShape& tier1, const ServerShape& server) {
    const compile::FqnSet receivers = compile::Tier2For(world_, server.tenant, server.hostname);
    for (const std::string& fqn : receivers) {
      const GatewayShape& tier2 = *world_.gateway(fqn);
      if (!invariant_.tenant.empty() && tier2.tenant != invariant_.tenant) continue;
      const Places stands = invariants::PlacesOf(world_, tier2);
      const auto& rules = server.http->routing().rules();
      for (int i = 0; i < rules.size(); ++i) {
        for (const auto& destination : rules[i].route().cluster_destination().clusters()) {
          const Places there = Intersections(stands, {destination.name(), "*"});
          if (there.empty()) continue;
          const Line line{tier1.fqn, tier1.form.ClustersOf(tier1.IndexOf(server), i)};
          compile::EachCovering(tier2, server.hostname, [&](const ServerShape& answering) {
            Services(tier2, answering, there, tier1, server, {line});
          });
        }
      }
    }
  }

  // What a server goes to from these places; `first`: where a request comes in.
  void Services(const GatewayShape& shape, const ServerShape& server, const Places& places, const GatewayShape& first,
                const ServerShape& first_server, std::vector<Line> lines) {
    const auto& rules = server.http->routing().rules();
    for (int i = 0; i < rules.size(); ++i) {
      if (!rules[i].route().has_service_destination()) continue;
      const std::string& host = rules[i].route().service_destination().host();
      const std::string name_space = host.substr(0, host.find('/'));
      for (const NamespacePattern& target : Reached(shape, places, name_space)) {
        if (std::none_of(to_.begin(), to_.end(), [&](const auto& to) { return to.Overlaps(target); })) continue;
        Breach breach;
        breach.key = first.fqn + "\n" + shape.fqn + "\n" + Text(target);
        breach.message = fmt::format("{} of {} leads to services in {}{}", first_server.hostname, first.fqn,
                                     Text(target), &first == &shape ? "" : fmt::format(" by {}", shape.fqn));
        breach.lines = lines;
        breach.lines.push_back({shape.fqn, shape.form.ServiceOf(shape.IndexOf(server), i)});
        found_.emplace(breach.key, std::move(breach));
      }
    }
  }

  // A namespace in the clusters where this object's gateways are let go to it.
  Places Reached(const GatewayShape& shape, const Places& places, const std::string& name_space) const {
    const v2::Workspace* workspace = world_.workspace(shape.workspace);
    if (workspace == nullptr) return {};
    const Places owned = workspace->spec().privileged() ? Places{{"*", "*"}}
                                                        : resource::PatternsOf(workspace->spec().namespace_selector());
    Places reached;
    for (const NamespacePattern& place : places) {
      for (NamespacePattern& target : Intersections(owned, {place.cluster, name_space})) reached.push_back(target);
    }
    return reached;
  }

  const World& world_;
  const Invariant& invariant_;
  const v2::InvariantPlace& from_;
  const Places to_;
  std::map<std::string, Breach> found_;
};

}  // namespace

Places PlacesOf(const World& world, const GatewayShape& shape) {
  const v2::Workspace* workspace = world.workspace(shape.workspace);
  const v2::GatewayGroup* group = world.group(shape.group);
  if (workspace == nullptr || group == nullptr) return {};
  return resource::Territory(workspace, group, shape.selector->namespace_());
}

std::vector<Breach> JudgeNoPath(const World& world, const Invariant& invariant, const Touched* only) {
  Search search(world, invariant);
  EachGateway(world, invariant, only, [&](const GatewayShape& shape) { search.From(shape); });
  return std::move(search).Found();
}

}  // namespace weir::invariants
