#include <chrono>
#include <random>

#include "libs/resource/kinds.h"
#include "mgmt-server/compile/gateway_shape.h"
#include "mgmt-server/compile/test_world.h"

namespace weir::compile {
namespace {

// "" = the same, but for versions of bytes that returned.
std::string Difference(const ClusterIntent& incremental, const ClusterIntent& full) {
  std::string out;
  const auto say = [&](const char* which, const ClusterIntent& mine, const ClusterIntent& other) {
    for (const auto& [key, resource] : mine) {
      const auto found = other.find(key);
      if (found != other.end() && found->second.bytes == resource.bytes &&
          found->second.provenance == resource.provenance) {
        continue;
      }
      out += fmt::format("\n{} {} {} {} from", which, key.type, key.name, resource.version);
      for (const auto& fqn : resource.provenance) out += " " + fqn;
    }
  };
  say("incremental", incremental, full);
  say("full", full, incremental);
  return out;
}

// Random changes of everything; after each batch the incremental state must be the full one.
class Walk {
 public:
  explicit Walk(unsigned seed) : random_(seed) {}

  void Step(World& world, Change& change) {
    switch (Pick(15)) {
      case 0: {
        const std::string org = Org();
        Put(world, change, org,
            From<v2::Organization>(fmt::format("spec {{ domain: '{}' }}", Of({"o.test", "p.test"}))), 8);
        break;
      }
      case 1: {
        const std::string cluster = Cluster();
        Put(world, change, cluster,
            From<v2::Cluster>(fmt::format(
                "metadata {{ uid: '{}' {} }} spec {{ locality {{ region: '{}' zone: '{}' }} {} {} }} state {{ {} }}",
                Of({"u", "u", "v"}), Of({"", "", "labels { key: 'l' value: '1' }"}), Of({"r", "s"}), Of({"", "z"}),
                Of({"", "admin_state: DRAINING", "admin_state: STANDBY network: 'n'", "network: 'n'"}),
                Of({"", "tier1_cluster: true"}), Of({"", "generation: 1", "generation: 2"}))),
            8);
        break;
      }
      case 2:
        Put(world, change, Workspace(),
            From<v2::Workspace>(fmt::format("spec {{ namespace_selector {{ names: '{}/{}' }} {} }}",
                                            Of({"*", "*", "c1", "c2"}), Of({"*", "*", "n1"}),
                                            Of({"", "", "privileged: true"}))),
            5);
        break;
      case 3:
        Put(world, change, Group(),
            From<v2::GatewayGroup>(Of({"", "", "spec { namespace_selector { names: '*/n1' } }",
                                       "spec { namespace_selector { names: 'c1/*' } }"})),
            5);
        break;
      case 4:
      case 5:
      case 6:
        PutTier1(world, change);
        break;
      case 7:
      case 8:
        PutGateway(world, change);
        break;
      case 9:
      case 10:
      case 11: {
        const std::string cluster = Cluster();
        const auto workload =
            Workload(Of({"n1", "n2"}), Of({"a", "b", "c"}), Of({"g", "h"}), Of({"1.1.1.1", "2.2.2.2"}));
        const std::string name = workload.namespace_() + "/" + workload.name();
        change.workloads[cluster].insert(name);
        if (Pick(3) == 0)
          world.RemoveWorkload(cluster, name);
        else
          world.PutWorkload(cluster, workload);
        break;
      }
      case 12: {
        const std::string setting = Org() + "/settings/" + Of({"a", "b"});
        Put(world, change, setting, From<v2::OrganizationSetting>(fmt::format("spec {{ {} }}", Setting())), 4);
        break;
      }
      default:
        if (Pick(4) == 0) {
          change.roots = true;
          world.SetRoots(Of({"A", "B"}));
        } else {
          const std::string cluster = Cluster();
          change.clusters.insert(cluster);
          world.SetConnected(cluster, Pick(2) == 0,
                             std::chrono::system_clock::time_point(std::chrono::seconds(Pick(3))));
        }
    }
  }
  // What is ahead comes, changes, reaches clusters or leaves them, and goes.
  void StepAhead(const World& world, Ahead& ahead) {
    switch (Pick(16)) {
      case 0:
        ahead = {};
        return;
      case 1:
        ahead.clusters.clear();
        return;
      case 2:
      case 3:
      case 4:
      case 5:
        ahead.clusters.insert(Cluster());
        return;
      default:
        break;
    }
    World other = world;
    Change change;
    for (int i = 0; i < 4; ++i) Step(other, change);
    for (const std::string& fqn : change.fqns) {
      if (resource::ParentFqn(fqn).empty()) continue;
      Ahead::Entry entry{"", "", std::to_string(++revision_), nullptr};
      const auto found = other.state().resources.find(fqn);
      if (const GatewayShape* shape = other.gateway(fqn))
        entry.message = shape->source;
      else if (found != other.state().resources.end())
        entry.message = found->second;
      if (entry.message == nullptr && fqn.find("/clusters/") != std::string::npos) continue;  // Is not done ahead.
      ahead.resources.insert_or_assign(fqn, entry);
    }
  }
  int Pick(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }

 private:
  std::string Of(std::vector<std::string> texts) {
    return texts[static_cast<size_t>(Pick(static_cast<int>(texts.size())))];
  }
  std::string Org() { return Of({"organizations/o", "organizations/o", "organizations/p"}); }
  std::string Cluster() { return Org() + "/clusters/" + Of({"c1", "c2", "c3"}); }
  std::string Workspace() { return Org() + "/tenants/" + Of({"t", "t", "u"}) + "/workspaces/" + Of({"w", "x"}); }
  std::string Failover() {
    return Of({"", "", "failover_settings { panic: true }", "failover_settings { mode: ORDERED }",
               "failover_settings { failover_priority: 'l' }",
               "failover_settings { regional_failover { from: 'r' to: 's' } }"});
  }
  std::string Setting() { return Failover() + Of({"", "", " expired_identity_grace { seconds: 60 }"}); }
  std::string Tenant() { return Of({"", "", "tenant: 't'", "tenant: 'u'"}); }
  std::string Group() { return Workspace() + "/gatewaygroups/" + Of({"g", "h"}); }
  std::string Host() { return Of({"a.x.test", "b.x.test", "*.x.test", "*.test", "x.test"}); }
  std::string Select() { return Selector(Of({"n1", "n2"}), Of({"g", "h"})); }
  std::string Destinations() {
    return Of(
        {"clusters { name: 'c1' }", "clusters { name: 'c2' weight: 2 } clusters { name: 'c1' weight: 1 }",
         "clusters { name: 'c3' }", "", "clusters { labels { key: 'l' value: '1' } }",
         "clusters { network: 'n' weight: 3 } clusters { name: 'c1' weight: 1 }",
         "clusters { labels { key: 'l' value: '1' } network: 'n' } clusters { network: 'default' }",
         "clusters { name: 'c2' network: 'n' } clusters { name: 'c1' }",
         "clusters { name: 'c1' } clusters { name: 'c3' }",
         "clusters { name: 'c1' weight: 1 } clusters { name: 'c2' weight: 0 } clusters { name: 'c3' weight: 0 }"});
  }
  void Put(World& world, Change& change, const std::string& fqn, std::shared_ptr<google::protobuf::Message> message,
           int keep) {
    change.fqns.insert(fqn);
    if (Pick(keep) == 0) return world.Remove(fqn);
    resource::MutableMetadataOf(*message).set_revision(++revision_);
    world.Put(fqn, std::move(message));
  }
  void PutTier1(World& world, Change& change) {
    std::string servers;
    for (int i = 0; i <= Pick(3); ++i) {
      servers += fmt::format("external_servers {{ name: 's{}' hostname: '{}' port: {} {} {} {} }} ", Pick(2), Host(),
                             80 + Pick(2), Destinations(), Failover(), Tenant());
    }
    Put(world, change, Group() + "/tier1gateways/" + Of({"a", "b"}),
        From<v2::Tier1Gateway>(fmt::format("spec {{ {} {} }}", Select(), servers)), 4);
  }
  void PutGateway(World& world, Change& change) {
    const bool tier1 = Pick(4) == 0;
    std::string servers;
    for (int i = 0; i <= Pick(3); ++i) {
      std::string rules = Of({"", "rules { redirect { uri: '/x' } } "});
      rules += tier1 ? fmt::format("rules {{ route {{ cluster_destination {{ {} }} }} }}", Destinations())
                     : fmt::format("rules {{ route {{ service_destination {{ host: '{}/h' port: 1 }} }} }}",
                                   Of({"n1", "n2"}));
      servers += fmt::format("http {{ name: 's{}' hostname: '{}' port: {} routing {{ {} }} {} {} }} ", Pick(2), Host(),
                             80 + Pick(2), rules, Failover(), Tenant());
    }
    Put(world, change, Group() + "/gateways/" + Of({"a", "b"}),
        From<v2::Gateway>(fmt::format("spec {{ {} {} }}", Select(), servers)), 4);
  }

  std::mt19937 random_;
  int64_t revision_ = 0;
};

TEST(Compilation, IncrementalEqualsFullAfterAnySequence) {
  size_t resources = 0;
  for (unsigned seed = 1; seed <= 12; ++seed) {
    Walk walk(seed);
    Compilation compilation;
    std::map<std::string, ClusterIntent> receivers;  // What agents hold who only got the deltas.
    for (int batch = 0; batch < 80; ++batch) {
      World after = compilation.world();
      Change change;
      const int steps = batch == 0 ? 60 : 1 + walk.Pick(4);
      for (int i = 0; i < steps; ++i) walk.Step(after, change);
      for (const auto& [cluster, delta] : compilation.Update(after, change)) {
        for (const auto& resource : delta.changed)
          receivers[cluster].insert_or_assign({resource.type, resource.name}, resource);
        for (const auto& key : delta.removed) receivers[cluster].erase(key);
      }
      for (const char* org : {"organizations/o", "organizations/p"}) {
        for (const char* name : {"c1", "c2", "c3"}) {
          const std::string cluster = std::string(org) + "/clusters/" + name;
          const ClusterIntent full = Compile(after, cluster);
          resources += full.size();
          ASSERT_EQ(Difference(compilation.Of(cluster), full), "")
              << "seed " << seed << " batch " << batch << " " << cluster;
          ASSERT_EQ(Names(receivers[cluster]), Names(full)) << "seed " << seed << " batch " << batch;
          for (const auto& [key, resource] : full) ASSERT_EQ(receivers[cluster].at(key).bytes, resource.bytes);
        }
      }
    }
  }
  EXPECT_GT(resources, 10'000u);  // Else the walk says nothing.
}

World With(World world, const Ahead& ahead) {
  for (const auto& [fqn, entry] : ahead.resources) {
    if (entry.message == nullptr)
      world.Remove(fqn);
    else
      world.Put(fqn, entry.message);
  }
  return world;
}

// A rollout: what is ahead comes, reaches more clusters, changes and goes, while others write. What each cluster is
// given is a full compile of its own world, and what nobody touched is not compiled.
TEST(Compilation, ClustersAheadAreGivenTheWorldWithWhatIsAheadAndOthersTheWorld) {
  size_t different = 0;
  for (unsigned seed = 1; seed <= 8; ++seed) {
    Walk walk(seed);
    Compilation compilation;
    Ahead ahead;
    std::map<std::string, ClusterIntent> receivers;
    for (int batch = 0; batch < 60; ++batch) {
      World after = compilation.world();
      Change change;
      const int steps = batch == 0 ? 60 : walk.Pick(3);
      for (int i = 0; i < steps; ++i) walk.Step(after, change);
      if (batch > 0) walk.StepAhead(compilation.world(), ahead);
      for (const auto& [cluster, delta] : compilation.Update(after, change, ahead)) {
        for (const auto& resource : delta.changed)
          receivers[cluster].insert_or_assign({resource.type, resource.name}, resource);
        for (const auto& key : delta.removed) receivers[cluster].erase(key);
      }
      const World with = With(after, ahead);
      for (const char* org : {"organizations/o", "organizations/p"}) {
        for (const char* name : {"c1", "c2", "c3"}) {
          const std::string cluster = std::string(org) + "/clusters/" + name;
          const bool told = ahead.clusters.contains(cluster) && after.cluster(cluster) != nullptr;
          const ClusterIntent full = Compile(told ? with : after, cluster);
          if (told) different += Difference(full, Compile(after, cluster)).empty() ? 0 : 1;
          ASSERT_EQ(Difference(compilation.Of(cluster), full), "")
              << "seed " << seed << " batch " << batch << " " << cluster;
          ASSERT_EQ(Names(receivers[cluster]), Names(full)) << "seed " << seed << " batch " << batch << " " << cluster;
          for (const auto& [key, resource] : full) ASSERT_EQ(receivers[cluster].at(key).bytes, resource.bytes);
        }
      }
    }
  }
  EXPECT_GT(different, 100u);  // Else the walk says nothing.
}

TEST(Compilation, AWaveCompilesWhatTheChangeTouchesInItsClustersAndNothingElse) {
  World world = Demo();
  for (int i = 0; i < 50; ++i) {
    world.Put(fmt::format("{}/gateways/b{}", kGroup, i), Tier2(fmt::format("h{}.test", i)));
    world.Put(fmt::format("{}/tier1gateways/a{}", kGroup, i), Tier1(fmt::format("h{}.test", i), k7525));
  }
  Compilation compilation(world);
  const auto update = [&](const Ahead& ahead) {
    const uint64_t had = compilation.compiled();
    std::set<std::string> clusters;
    for (const auto& [cluster, delta] : compilation.Update(world, {}, ahead)) clusters.insert(cluster);
    return std::pair(clusters, compilation.compiled() - had);
  };
  using Told = std::set<std::string>;
  Ahead ahead;
  auto other = Tier2("h3.test", 2);
  other->mutable_spec()
      ->mutable_http(0)
      ->mutable_routing()
      ->mutable_rules(0)
      ->mutable_route()
      ->mutable_service_destination()
      ->set_port(9090);
  ahead.resources[kGroup + "/gateways/b3"] = {"Gateway", "", "b3", other};
  EXPECT_EQ(update(ahead), std::pair(Told{}, uint64_t{0})) << "nobody is told yet";
  ahead.clusters = {ClusterName("c1")};
  const auto [first, cost] = update(ahead);
  EXPECT_EQ(first, Told{ClusterName("c1")});
  EXPECT_LE(cost, 10u);
  EXPECT_EQ(update(ahead), std::pair(Told{}, uint64_t{0}));
  ahead.clusters.insert(ClusterName("c2"));
  const auto [second, more] = update(ahead);
  EXPECT_EQ(second, Told{ClusterName("c2")});
  EXPECT_LE(more, 10u);
  const auto [dropped, back] = update({});
  EXPECT_EQ(dropped, (Told{ClusterName("c1"), ClusterName("c2")}));
  EXPECT_LE(back, 20u);
}

}  // namespace
}  // namespace weir::compile
