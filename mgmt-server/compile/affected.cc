#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "libs/resource/kinds.h"
#include "mgmt-server/compile/compile.h"
#include "mgmt-server/compile/gateway_shape.h"
#include "mgmt-server/compile/keys.h"
#include "mgmt-server/compile/traces.h"

// What depends on what, read in both worlds: a resource differs only if something it is made of in one of them does.
namespace weir::compile {
namespace {

class Dependents {
 public:
  Dependents(const World& world, KeysByCluster& out) : world_(world), out_(out) {}

  void Resource(std::string_view fqn) {
    switch (EffectOf(fqn)) {
      case resource::Effect::kNone:
        return;
      case resource::Effect::kGateway:
        return Gateway(fqn);
      case resource::Effect::kBelow:
        return GatewaysBelow(fqn);
      case resource::Effect::kOrganization:
        return Organization(fqn);
      case resource::Effect::kDefaults:
        return Setting(fqn);
      case resource::Effect::kCluster:
        return Cluster(fqn);
    }
  }

  // All that is made of these servers of an object.
  void Touched(const GatewayShape& shape, const Servers& servers) {
    if (servers.empty()) return;
    const std::vector<std::string> clusters = ClustersOf(world_, shape);
    for (const std::string& cluster : clusters) {
      std::set<Key>& keys = out_[cluster];
      for (const ServerShape* server : servers) {
        AddServerKeys(shape, *server, keys);
        Rivals(shape, *server, keys);
      }
      if (!shape.tier1) Importers(shape, servers, cluster);
    }
    if (shape.tier1 && !clusters.empty()) Callees(shape, servers);
  }

  // A cluster that stays stands elsewhere (`moved`) or takes requests or no longer does: how others spread over it, and
  // how its own tier-1 gateways order others.
  void Place(std::string_view cluster, bool moved) {
    const std::string_view name = resource::LastName(cluster);
    EachTargeting(cluster, [&](const GatewayShape& shape) { AddSpreads(shape, name); });
    if (!moved) return;
    for (const GatewayShape* shape : ShapesIn(world_, cluster)) {
      for (const ServerShape& server : shape->servers) AddSpreadKeys(*shape, server, "", out_[std::string(cluster)]);
    }
  }

  void Workload(std::string_view cluster, const std::string& name) {
    const Facts* facts = world_.facts(cluster);
    if (facts == nullptr) return;
    const auto workload = facts->workloads.find(name);
    if (workload == facts->workloads.end()) return;
    const auto shapes = world_.state().by_namespace.find(workload->second->namespace_());
    if (shapes == world_.state().by_namespace.end()) return;
    for (const std::string& fqn : shapes->second) {
      if (SelectsIn(world_, *world_.gateway(fqn), cluster, *workload->second)) Gateway(fqn);
    }
  }

  // Its endpoints carry whether it is connected.
  void Connectivity(std::string_view cluster) {
    const std::string_view name = resource::LastName(cluster);
    EachTargeting(cluster, [&](const GatewayShape& shape) {
      for (const std::string& importer : ClustersOf(world_, shape)) {
        for (const ServerShape& server : shape.servers) {
          if (!GoesTo(server, name)) continue;
          out_[importer].insert({std::string(kServiceEndpoints), EndpointsName(name, server)});
        }
      }
    });
  }

  void Roots() {
    world_.state().Each<v2::Organization>("", [&](const std::string& fqn, const v2::Organization&) { Trust(fqn); });
  }
  // What an organization's clusters believe.
  void Trust(std::string_view organization_fqn) {
    const v2::Organization* organization = world_.organization(organization_fqn);
    if (organization == nullptr) return;
    EachClusterOf(world_, organization_fqn, [&](const std::string& cluster, const v2::Cluster&) {
      out_[cluster].insert({std::string(kTrustBundle), organization->spec().domain()});
    });
  }
  // A cluster may now hold tier-1 gateways for others, or no longer: who admits them.
  void Tier1Admission(std::string_view cluster) {
    for (const GatewayShape* shape : ShapesIn(world_, cluster)) {
      if (shape->tier1) Gateway(shape->fqn);
    }
  }

 private:
  template <typename Fn>
  void EachTargeting(std::string_view cluster, Fn fn) {
    const auto shapes = world_.state().by_target_cluster.find(resource::LastName(cluster));
    if (shapes == world_.state().by_target_cluster.end()) return;
    for (const std::string& fqn : shapes->second) {
      if (resource::OrganizationFqn(fqn) == resource::OrganizationFqn(cluster)) fn(*world_.gateway(fqn));
    }
  }

  void Gateway(std::string_view fqn) {
    const GatewayShape* shape = world_.gateway(fqn);
    if (shape != nullptr && done_.insert(shape->fqn).second) Touched(*shape, AllOf(*shape));
  }
  // Destination sets of this object that spread over a cluster (name; "" = over any).
  void AddSpreads(const GatewayShape& shape, std::string_view cluster) {
    std::set<Key> keys;
    for (const ServerShape& server : shape.servers) AddSpreadKeys(shape, server, cluster, keys);
    if (keys.empty()) return;
    for (const std::string& importer : ClustersOf(world_, shape)) out_[importer].insert(keys.begin(), keys.end());
  }
  // Objects with the same host on the same workloads: when one leaves, the other's resources appear, or its port
  // answers on the mesh port.
  void Rivals(const GatewayShape& shape, const ServerShape& server, std::set<Key>& keys) {
    const auto look = [&](const std::map<std::string, FqnSet, std::less<>>& index, const std::string& host) {
      const auto fqns = index.find(host);
      if (fqns == index.end()) return;
      for (const std::string& fqn : fqns->second) {
        const GatewayShape& rival = *world_.gateway(fqn);
        if (&rival == &shape || rival.selector_key != shape.selector_key) continue;
        const auto [begin, end] = rival.servers_by_host.equal_range(server.hostname);
        for (auto at = begin; at != end; ++at) AddServerKeys(rival, rival.servers[at->second], keys);
      }
    };
    look(world_.state().tier1_by_host, Reversed(server.hostname));
    look(world_.state().tier2_by_host, server.hostname);
  }
  // Tier-2 hosts that let the workloads of this tier-1 object in.
  void Callees(const GatewayShape& tier1, const Servers& servers) {
    EachCallee(world_, tier1, servers, [&](const std::string& cluster, const GatewayShape& tier2, const auto& server) {
      out_[cluster].insert(
          {std::string(kHost), HostName(ListenerName(tier2.selector_key, server.port), server.hostname)});
    });
  }
  // Clusters whose tier-1 gateways learn the endpoints that this tier-2 object makes.
  void Importers(const GatewayShape& tier2, const Servers& servers, const std::string& cluster) {
    const std::string_view name = resource::LastName(cluster);
    EachImport(world_, tier2, servers, cluster,
               [&](const std::string& importer, const GatewayShape&, const ServerShape& server) {
                 out_[importer].insert({std::string(kServiceEndpoints), EndpointsName(name, server)});
               });
  }
  // What spreads by a default, in all that lies where the setting does.
  void Setting(std::string_view fqn) {
    if (!world_.state().resources.contains(fqn)) return;
    world_.state().EachGatewayBelow(resource::ParentFqn(fqn), [&](const GatewayShape& shape) {
      if (!shape.tier1) return;
      std::set<Key> keys;
      for (const ServerShape& server : shape.servers) {
        if (OwnFailover(server) == nullptr) AddSpreadKeys(shape, server, "", keys);
      }
      if (keys.empty()) return;
      for (const std::string& cluster : ClustersOf(world_, shape)) out_[cluster].insert(keys.begin(), keys.end());
    });
  }
  void GatewaysBelow(std::string_view parent) {
    world_.state().EachGatewayBelow(parent, [&](const GatewayShape& shape) { Gateway(shape.fqn); });
  }
  void Organization(std::string_view organization) {
    for (const std::string& cluster : world_.clusters()) {
      if (resource::OrganizationFqn(cluster) == organization) out_[cluster].merge(KeysOf(world_, cluster));
    }
  }
  // Its locality and trust domain stand in what others are told of it.
  void Cluster(std::string_view cluster) {
    out_[std::string(cluster)].merge(KeysOf(world_, cluster));
    Trust(resource::OrganizationFqn(cluster));
    EachTargeting(cluster, [&](const GatewayShape& shape) { Gateway(shape.fqn); });
    const Facts* facts = world_.facts(cluster);
    if (facts == nullptr) return;
    for (const auto& [name, workload] : facts->workloads) Workload(cluster, name);
  }

  const World& world_;
  KeysByCluster& out_;
  std::set<std::string_view> done_;
};

}  // namespace

namespace {

bool SameServer(const ServerShape& a, const ServerShape& b) {
  return a.http->SerializeAsString() == b.http->SerializeAsString();
}
// Where two versions of an object differ, if only in some of its servers: those of `mine`, with all others of their
// hosts (one of them answers for all on the mesh port, or stands behind another of the same port). Nullopt: in more.
std::optional<Servers> Differing(const GatewayShape& mine, const GatewayShape& other) {
  if (mine.selector_key != other.selector_key || mine.tier1 != other.tier1) return std::nullopt;
  const auto& a = mine.servers;
  const auto& b = other.servers;
  size_t begin = 0;
  while (begin < a.size() && begin < b.size() && SameServer(a[begin], b[begin])) ++begin;
  size_t end = 0;  // Counted from the back.
  while (end < a.size() - begin && end < b.size() - begin && SameServer(a[a.size() - 1 - end], b[b.size() - 1 - end])) {
    ++end;
  }
  std::set<std::string> hosts;
  for (const auto* servers : {&a, &b}) {
    for (size_t i = begin; i < servers->size() - end; ++i) hosts.insert((*servers)[i].hostname);
  }
  Servers differing;
  for (const std::string& host : hosts) {
    const auto [first, last] = mine.servers_by_host.equal_range(host);
    for (auto at = first; at != last; ++at) differing.push_back(&a[at->second]);
  }
  return differing;
}

// For how long the clusters of an organization believe what has run out, and who says so.
std::pair<int64_t, std::string> ExpiredGrace(const World& world, std::string_view organization) {
  const Setting setting = SettingOf(world, organization);
  const int64_t seconds = setting.spec == nullptr ? 0 : setting.spec->expired_identity_grace().seconds();
  return {seconds, seconds > 0 ? std::string(setting.fqn) : ""};
}

// Of the objects that select clusters those that name others than before, though nobody wrote them.
std::set<std::string> NamedAnew(const World& before, const World& after) {
  std::set<std::string> fqns;
  const auto& was = before.state().selecting;
  const auto& is = after.state().selecting;
  auto old = was.begin();
  for (const auto& [fqn, shape] : is) {
    while (old != was.end() && old->first < fqn) ++old;
    if (old != was.end() && old->first == fqn && old->second != shape) fqns.insert(fqn);
  }
  return fqns;
}

}  // namespace

KeysByCluster Affected(const World& before, const World& after, const Change& change) {
  KeysByCluster keys;
  std::set<std::string> fqns = NamedAnew(before, after);
  fqns.insert(change.fqns.begin(), change.fqns.end());
  for (const World* world : {&before, &after}) {
    Dependents dependents(*world, keys);
    const World& other = world == &before ? after : before;
    for (const std::string& fqn : fqns) {
      if (const std::string_view organization = resource::OrganizationFqn(fqn);
          EffectOf(fqn) == resource::Effect::kDefaults && world->state().resources.contains(fqn) &&
          ExpiredGrace(*world, organization) != ExpiredGrace(other, organization)) {
        dependents.Trust(organization);
      }
      const v2::Cluster* was = before.cluster(fqn);
      const v2::Cluster* is = after.cluster(fqn);
      const GatewayShape* shape = world->gateway(fqn);
      const GatewayShape* their = other.gateway(fqn);
      if (was != nullptr && is != nullptr) {
        const bool moved = !SamePlace(*was, *is);
        if (moved || was->spec().admin_state() != is->spec().admin_state()) dependents.Place(fqn, moved);
        if (was->metadata().uid() != is->metadata().uid() || was->state().generation() != is->state().generation()) {
          dependents.Trust(resource::OrganizationFqn(fqn));
        }
        if (was->spec().tier1_cluster() != is->spec().tier1_cluster()) dependents.Tier1Admission(fqn);
        continue;
      }
      const auto servers = shape != nullptr && their != nullptr ? Differing(*shape, *their) : std::nullopt;
      if (servers)
        dependents.Touched(*shape, *servers);
      else
        dependents.Resource(fqn);
    }
    for (const auto& [cluster, workloads] : change.workloads) {
      for (const std::string& name : workloads) dependents.Workload(cluster, name);
    }
    for (const std::string& cluster : change.clusters) dependents.Connectivity(cluster);
    if (change.roots) dependents.Roots();
  }
  return keys;
}

}  // namespace weir::compile
