// What intent says is held against what gateways are told: a plain reading of all that is compiled.
#include <random>

#include "libs/resource/conflicts.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/compile/keys.h"
#include "mgmt-server/compile/random_walk.h"
#include "mgmt-server/invariants/intent.h"
#include "mgmt-server/invariants/test_invariants.h"

namespace weir::invariants {
namespace {

using compile::ClusterIntent;
using compile::ClusterName;
using compile::World;

// Everything that the clusters of organization o are told.
class Told {
 public:
  explicit Told(const World& world) : world_(world) {
    for (const std::string& cluster : world.clusters()) {
      if (resource::OrganizationFqn(cluster) == compile::kOrg) intents_[cluster] = compile::Compile(world, cluster);
    }
  }

  // Calls fn(cluster, set, owner's FQN) for each destination set.
  template <typename Fn>
  void EachSet(Fn fn) const {
    for (const auto& [cluster, intent] : intents_) {
      for (const auto& [key, resource] : intent) {
        mesh::v1::DestinationSet set;
        if (key.type != "DestinationSet" || !set.ParseFromString(resource.bytes)) continue;
        fn(cluster, set, set.provenance().fqn());
      }
    }
  }
  // Whether a gateway of this cluster takes a request for the host by this set, and by none that is nearer.
  bool Takes(const std::string& cluster, const mesh::v1::DestinationSet& set, const std::string& host) const {
    if (!resource::Covers(set.hostname(), host)) return false;
    const auto listener = compile::ParseDestinationSetName(set.name())->host.listener;
    for (const auto& [key, resource] : intents_.at(cluster)) {
      if (key.type != "Host") continue;
      const auto name = compile::ParseHostName(key.name);
      if (name->listener.selector_key == listener.selector_key && name->listener.port == listener.port &&
          resource::Covers(name->hostname, host) && set.hostname() != host &&
          (name->hostname == host || name->hostname.size() > set.hostname().size())) {
        return false;
      }
    }
    return true;
  }

  // "<FQN of the object where it enters> -> <cluster>/<namespace>", each with the namespace where that gateway stands.
  struct Path {
    std::string from, from_namespace, cluster, name_space;
  };
  std::vector<Path> Paths() const {
    std::vector<Path> paths;
    EachSet([&](const std::string& cluster, const mesh::v1::DestinationSet& set, const std::string& owner) {
      const std::string stands = world_.gateway(owner)->selector->namespace_();
      if (set.has_service()) {
        if (!set.service().namespace_().empty()) paths.push_back({owner, stands, cluster, set.service().namespace_()});
        return;
      }
      for (const auto& share : set.clusters()) {
        for (const auto& [there, name_space] : Behind(cluster, owner, set.hostname(), share)) {
          paths.push_back({owner, stands, there, name_space});
        }
      }
    });
    return paths;
  }

 private:
  std::set<std::string> Callers(const std::string& cluster, const std::string& owner) const {
    std::set<std::string> ids;
    for (const auto& selected : compile::SelectedIn(world_, *world_.gateway(owner), cluster)) {
      ids.insert(compile::SpiffeId(world_.TrustDomain(cluster), *selected.workload));
    }
    return ids;
  }
  // Where the gateways of that cluster lead which let this caller in.
  std::set<std::pair<std::string, std::string>> Behind(const std::string& cluster, const std::string& owner,
                                                       const std::string& hostname,
                                                       const mesh::v1::ClusterShare& share) const {
    std::set<std::pair<std::string, std::string>> found;
    const std::string there = ClusterName(share.cluster());
    const auto imported = intents_.at(cluster).find({"ServiceEndpoints", share.endpoints()});
    mesh::v1::ServiceEndpoints endpoints;
    if (!intents_.contains(there) || imported == intents_.at(cluster).end()) return found;
    if (!endpoints.ParseFromString(imported->second.bytes) || endpoints.endpoints_size() == 0) return found;
    const std::set<std::string> callers = Callers(cluster, owner);
    for (const auto& [key, resource] : intents_.at(there)) {
      mesh::v1::Host host;
      if (key.type != "Host" || !host.ParseFromString(resource.bytes) || !host.on_mesh()) continue;
      if (!resource::Covers(host.hostname(), hostname)) continue;
      if (std::none_of(host.allowed_callers().begin(), host.allowed_callers().end(),
                       [&](const std::string& id) { return callers.contains(id); })) {
        continue;
      }
      // Of the same gateways that the caller turns to.
      if (world_.gateway(host.provenance().fqn())->tenant != "organizations/o/tenants/" + TenantOf(share)) continue;
      for (const auto& route : host.routes()) {
        const auto set_there = intents_.at(there).find({"DestinationSet", route.destination_set()});
        mesh::v1::DestinationSet set;
        if (set_there == intents_.at(there).end() || !set.ParseFromString(set_there->second.bytes)) continue;
        if (!set.service().namespace_().empty()) found.emplace(there, set.service().namespace_());
      }
    }
    return found;
  }
  static std::string TenantOf(const mesh::v1::ClusterShare& share) {
    return compile::ParseEndpointsName(share.endpoints())->tenant;
  }

  const World& world_;
  std::map<std::string, ClusterIntent> intents_;
};

bool Owns(const World& world, const std::string& tenant, const std::string& cluster, const std::string& name_space) {
  bool owns = false;
  world.state().Each<v2::Workspace>(tenant, [&](const std::string&, const v2::Workspace& workspace) {
    owns |= resource::Matches(workspace.spec().namespace_selector(), resource::LastName(cluster), name_space);
  });
  return owns;
}

// How often each condition held and was broken.
struct Count {
  size_t held = 0, broken = 0, seen = 0;  // `seen`: gateways that stand break it.
};

class Soundness : public ::testing::Test {
 protected:
  // What is seen at gateways is never missed by intent.
  void Hold(const World& world, const Invariant& invariant, bool seen, Count& count) {
    const auto breaches = JudgeIntent(world, invariant);
    (breaches.empty() ? count.held : count.broken) += 1;
    count.seen += seen ? 1 : 0;
    EXPECT_FALSE(seen && breaches.empty()) << invariant.condition;
  }

  void Paths(const World& world, const Told& told) {
    const std::string kTenant = "organizations/o/tenants/t";
    const auto paths = told.Paths();
    const auto any = [&](auto good) { return std::any_of(paths.begin(), paths.end(), good); };
    Hold(world, Make("no_path { from { tenant: 't' } to { namespace: 'c2/n1' } }"), any([&](const Told::Path& path) {
           return world.gateway(path.from)->tenant == kTenant && path.cluster == ClusterName("c2") &&
                  path.name_space == "n1";
         }),
         counts_["tenant to namespace"]);
    Hold(world, Make("no_path { from { outside_tenant: 't' } to { tenant: 't' } }"), any([&](const Told::Path& path) {
           return world.gateway(path.from)->tenant != kTenant && Owns(world, kTenant, path.cluster, path.name_space);
         }),
         counts_["outside"]);
    Hold(world, Make("no_path { from { namespace: '*/n2' } to { namespace: '*/n1' } }"),
         any([](const Told::Path& path) { return path.from_namespace == "n2" && path.name_space == "n1"; }),
         counts_["namespaces"]);
  }
  void Hosts(const World& world, const Told& told) {
    bool few = false, abroad = false;
    told.EachSet([&](const std::string& cluster, const mesh::v1::DestinationSet& set, const std::string&) {
      if (set.has_service() || !told.Takes(cluster, set, "a.x.test")) return;
      const bool tier1 = world.gateway(set.provenance().fqn())->tier1;
      std::set<std::string> able;
      for (const auto& share : set.clusters()) {
        if (world.cluster(ClusterName(share.cluster())) != nullptr && !share.drained() && !share.standby())
          able.insert(share.cluster());
        abroad |= share.region() != "r";
      }
      few |= tier1 && set.clusters_size() > 0 && able.empty();
    });
    Hold(world, Make("min_clusters { host: 'a.x.test' count: 1 }"), few, counts_["minClusters"]);
    Hold(world, Make("only_regions { host: 'a.x.test' regions: 'r' }"), abroad, counts_["onlyRegions"]);
  }

  std::map<std::string, Count> counts_;
};

TEST_F(Soundness, WhatGatewaysWouldDoIsNeverMissedByIntent) {
  for (unsigned seed = 1; seed <= 15 && !HasFailure(); ++seed) {
    compile::Walk walk(seed);
    World world;
    compile::Change change;
    for (int i = 0; i < 60; ++i) walk.Step(world, change);
    for (int batch = 0; batch < 40; ++batch) {
      for (int i = 0; i < 3; ++i) walk.Step(world, change);
      const Told told(world);
      Paths(world, told);
      Hosts(world, told);
      ASSERT_FALSE(HasFailure()) << "seed " << seed << " batch " << batch;
    }
  }
  for (const auto& [what, count] : counts_) {  // Else the walk says nothing.
    EXPECT_GT(count.held, 10u) << what;
    EXPECT_GT(count.broken, 10u) << what;
    EXPECT_GT(count.seen, 10u) << what;
  }
}

}  // namespace
}  // namespace weir::invariants
