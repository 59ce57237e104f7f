#include "libs/resource/kinds.h"
#include "mgmt-server/compile/compile.h"
#include "mgmt-server/compile/gateway_shape.h"
#include "mgmt-server/compile/keys.h"

// What depends on what, read in both worlds: a resource differs only if something it is made of in one of them does.
namespace weir::compile {
namespace {

class Dependents {
 public:
  Dependents(const World& world, KeysByCluster& out) : world_(world), out_(out) {}

  void Resource(std::string_view fqn) {
    auto parsed = resource::ParseFqn(fqn);
    if (!parsed.ok()) return;
    switch (parsed->kind) {
      case resource::Kind::kTier1Gateway:
      case resource::Kind::kGateway:
        return Gateway(fqn);
      case resource::Kind::kGatewayGroup:
      case resource::Kind::kWorkspace:
        return GatewaysBelow(fqn);
      case resource::Kind::kOrganization:
        return Organization(fqn);
      case resource::Kind::kCluster:
        return Cluster(fqn);
      default:
        return;
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
          out_[importer].insert({std::string(kServiceEndpoints), EndpointsName(name, server.hostname)});
        }
      }
    });
  }

  void Roots() {
    for (const std::string& cluster : world_.clusters()) {
      if (const auto* organization = world_.organization(OrganizationFqn(cluster))) {
        out_[cluster].insert({std::string(kTrustBundle), organization->spec().domain()});
      }
    }
  }

 private:
  template <typename Fn>
  void EachTargeting(std::string_view cluster, Fn fn) {
    const auto shapes = world_.state().by_target_cluster.find(resource::LastName(cluster));
    if (shapes == world_.state().by_target_cluster.end()) return;
    for (const std::string& fqn : shapes->second) {
      if (OrganizationFqn(fqn) == OrganizationFqn(cluster)) fn(*world_.gateway(fqn));
    }
  }

  void Gateway(std::string_view fqn) {
    const GatewayShape* shape = world_.gateway(fqn);
    if (shape == nullptr || !done_.insert(shape->fqn).second) return;
    const std::vector<std::string> clusters = ClustersOf(world_, *shape);
    for (const std::string& cluster : clusters) {
      AddObjectKeys(*shape, out_[cluster]);
      Rivals(*shape, out_[cluster]);
      if (!shape->tier1) Importers(*shape, cluster);
    }
    if (shape->tier1 && !clusters.empty()) Callees(*shape);
  }
  // Objects that claim the same host on the same workloads: when one leaves, the other's resources appear.
  void Rivals(const GatewayShape& shape, std::set<Key>& keys) {
    for (const ServerShape& server : shape.servers) {
      const auto look = [&](const std::map<std::string, FqnSet, std::less<>>& index, const std::string& host) {
        const auto fqns = index.find(host);
        if (fqns == index.end()) return;
        for (const std::string& fqn : fqns->second) {
          const GatewayShape& rival = *world_.gateway(fqn);
          if (&rival == &shape || rival.selector_key != shape.selector_key) continue;
          if (const auto* theirs = rival.Find(server.hostname, server.port)) AddServerKeys(rival, *theirs, keys);
        }
      };
      look(world_.state().tier1_by_host, Reversed(server.hostname));
      look(world_.state().tier2_by_host, server.hostname);
    }
  }
  // Tier-2 listeners that let the workloads of this tier-1 object in.
  void Callees(const GatewayShape& tier1) {
    for (const ServerShape& server : tier1.servers) {
      const FqnSet callees = Tier2For(world_, tier1.organization, server.hostname);
      for (const auto* destination : GatewayShape::Destinations(server)) {
        const std::string cluster = ClusterFqn(tier1.organization, destination->name());
        for (const std::string& fqn : callees) {
          const GatewayShape& tier2 = *world_.gateway(fqn);
          if (!CountsIn(world_, tier2, cluster)) continue;
          EachCovering(tier2, server.hostname, [&](const ServerShape& theirs) {
            out_[cluster].insert({std::string(kListener), ListenerName(tier2.selector_key, theirs.port)});
          });
        }
      }
    }
  }
  // Clusters whose tier-1 gateways learn the endpoints that this tier-2 object makes.
  void Importers(const GatewayShape& tier2, const std::string& cluster) {
    const std::string_view name = resource::LastName(cluster);
    for (const ServerShape& server : tier2.servers) {
      for (const std::string& fqn : Tier1For(world_, tier2.organization, server.hostname)) {
        const GatewayShape& tier1 = *world_.gateway(fqn);
        if (!RoutesTo(tier1, server.hostname, name)) continue;
        for (const std::string& importer : ClustersOf(world_, tier1)) {
          EachCovered(tier1, server.hostname, [&](const ServerShape& theirs) {
            out_[importer].insert({std::string(kServiceEndpoints), EndpointsName(name, theirs.hostname)});
          });
        }
      }
    }
  }
  void GatewaysBelow(std::string_view parent) {
    const auto& gateways = world_.state().gateways;
    const std::string prefix = std::string(parent) + "/";
    for (auto at = gateways.lower_bound(prefix); at != gateways.end() && at->first.starts_with(prefix); ++at) {
      Gateway(at->first);
    }
  }
  void Organization(std::string_view organization) {
    for (const std::string& cluster : world_.clusters()) {
      if (OrganizationFqn(cluster) == organization) out_[cluster].merge(KeysOf(world_, cluster));
    }
  }
  // Its locality and trust domain stand in what others are told of it.
  void Cluster(std::string_view cluster) {
    out_[std::string(cluster)].merge(KeysOf(world_, cluster));
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

KeysByCluster Affected(const World& before, const World& after, const Change& change) {
  KeysByCluster keys;
  for (const World* world : {&before, &after}) {
    Dependents dependents(*world, keys);
    for (const std::string& fqn : change.fqns) dependents.Resource(fqn);
    for (const auto& [cluster, workloads] : change.workloads) {
      for (const std::string& name : workloads) dependents.Workload(cluster, name);
    }
    for (const std::string& cluster : change.clusters) dependents.Connectivity(cluster);
    if (change.roots) dependents.Roots();
  }
  return keys;
}

Compilation::Compilation(World world) : world_(std::move(world)) {
  for (const std::string& cluster : world_.clusters()) intents_[cluster] = Compile(world_, cluster);
}

std::map<std::string, Delta> Compilation::Update(World after, const Change& change) {
  std::map<std::string, Delta> deltas;
  for (const auto& [cluster, keys] : Affected(world_, after, change)) {
    ClusterIntent& intent = intents_[cluster];
    Delta delta;
    for (const Key& key : keys) {
      auto resource = CompileKey(after, cluster, key);
      const auto had = intent.find(key);
      if (!resource) {
        if (had == intent.end()) continue;
        intent.erase(had);
        delta.removed.push_back(key);
      } else if (had == intent.end() || had->second.version != resource->version) {
        delta.changed.push_back(*resource);
        intent.insert_or_assign(key, std::move(*resource));
      } else {
        had->second.provenance = std::move(resource->provenance);
      }
    }
    if (!delta.empty()) deltas.emplace(cluster, std::move(delta));
  }
  std::erase_if(intents_, [&](const auto& entry) { return after.cluster(entry.first) == nullptr; });
  world_ = std::move(after);
  return deltas;
}

const ClusterIntent& Compilation::Of(std::string_view cluster) const {
  static const ClusterIntent kNone;
  const auto found = intents_.find(cluster);
  return found == intents_.end() ? kNone : found->second;
}

bool ReachesGateways(std::string_view fqn) {
  auto parsed = resource::ParseFqn(fqn);
  return parsed.ok() && (parsed->kind == resource::Kind::kTier1Gateway || parsed->kind == resource::Kind::kGateway);
}

namespace {

void AddConcern(const Compilation& compilation, const GatewayShape& shape, const std::string& cluster,
                const std::set<Key>& keys, std::vector<Concern>& out) {
  Concern concern;
  concern.cluster = cluster;
  for (const SelectedWorkload& selected : SelectedIn(compilation.world(), shape, cluster)) {
    concern.workloads.push_back(selected.name);
  }
  const ClusterIntent& intent = compilation.Of(cluster);
  for (const Key& key : keys) {
    // Endpoints come and go by themselves; the object is applied when what it says is.
    if (key.type == kServiceEndpoints) continue;
    const auto found = intent.find(key);
    if (found != intent.end()) concern.keys.push_back({key, found->second.version});
  }
  if (!concern.workloads.empty() && !concern.keys.empty()) out.push_back(std::move(concern));
}

}  // namespace

std::vector<Concern> Concerns(const Compilation& compilation, std::string_view fqn) {
  std::vector<Concern> concerns;
  const World& world = compilation.world();
  const GatewayShape* shape = world.gateway(fqn);
  if (shape == nullptr) return concerns;
  std::set<Key> own;
  AddObjectKeys(*shape, own);
  for (const std::string& cluster : ClustersOf(world, *shape)) AddConcern(compilation, *shape, cluster, own, concerns);
  if (!shape->tier1 || concerns.empty()) return concerns;

  std::map<std::pair<std::string, std::string>, std::set<Key>> callees;  // (cluster, tier-2 object) -> listeners
  for (const ServerShape& server : shape->servers) {
    const FqnSet tier2 = Tier2For(world, shape->organization, server.hostname);
    for (const auto* destination : GatewayShape::Destinations(server)) {
      for (const std::string& callee : tier2) {
        const GatewayShape& other = *world.gateway(callee);
        EachCovering(other, server.hostname, [&](const ServerShape& theirs) {
          callees[{ClusterFqn(shape->organization, destination->name()), callee}].insert(
              {std::string(kListener), ListenerName(other.selector_key, theirs.port)});
        });
      }
    }
  }
  for (const auto& [where, keys] : callees) {
    AddConcern(compilation, *world.gateway(where.second), where.first, keys, concerns);
  }
  return concerns;
}

}  // namespace weir::compile
