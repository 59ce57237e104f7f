#include "mgmt-server/compile/compile.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <random>

#include "api/weir/mesh/v1/intent.pb.h"
#include "libs/resource/kinds.h"

namespace weir::compile {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::string kOrg = "organizations/o";
const std::string kWs = "organizations/o/tenants/t/workspaces/w";
const std::string kGroup = kWs + "/gatewaygroups/g";
std::string ClusterName(std::string_view name) { return kOrg + "/clusters/" + std::string(name); }

template <typename T>
std::shared_ptr<T> From(const std::string& text) {
  auto message = std::make_shared<T>();
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, message.get())) << text;
  return message;
}
agent::v1::Workload Workload(const std::string& name_space, const std::string& name, const std::string& app,
                             const std::string& address) {
  return *From<agent::v1::Workload>(fmt::format(
      "name: '{}' namespace: '{}' service_account: 'sa-{}' labels {{ key: 'app' value: '{}' }} addresses: '{}'", name,
      name_space, name, app, address));
}
std::string Selector(const std::string& name_space, const std::string& app) {
  return fmt::format("workload_selector {{ namespace: '{}' labels {{ key: 'app' value: '{}' }} }}", name_space, app);
}
std::shared_ptr<v2::Tier1Gateway> Tier1(const std::string& host, const std::string& clusters, int64_t revision = 1) {
  return From<v2::Tier1Gateway>(fmt::format(
      "metadata {{ name: 'a' revision: {} }} spec {{ {} external_servers {{ name: 's' hostname: '{}' port: 80 {} }} }}",
      revision, Selector("t1", "gw1"), host, clusters));
}
std::shared_ptr<v2::Gateway> Tier2(const std::string& host, int64_t revision = 1) {
  return From<v2::Gateway>(fmt::format(
      "metadata {{ name: 'b' revision: {} }} spec {{ {} http {{ name: 's' hostname: '{}' port: 80 routing {{ rules {{ "
      "route {{ service_destination {{ host: 'app/web.app.svc.cluster.local' port: 8080 }} }} }} }} }} }}",
      revision, Selector("t2", "gw2"), host));
}
constexpr char k7525[] = "clusters { name: 'c1' weight: 75 } clusters { name: 'c2' weight: 25 }";

World Demo() {
  World world;
  world.SetRoots("ROOT");
  world.Put(kOrg, From<v2::Organization>("metadata { name: 'o' } spec { domain: 'o.test' }"));
  world.Put(kWs, From<v2::Workspace>("metadata { name: 'w' } spec { namespace_selector { names: '*/*' } }"));
  world.Put(kGroup, From<v2::GatewayGroup>("metadata { name: 'g' } spec {}"));
  for (const char* name : {"edge", "c1", "c2"}) {
    world.Put(ClusterName(name),
              From<v2::Cluster>(
                  fmt::format("metadata {{ name: '{}' }} spec {{ locality {{ region: 'r-{}' }} }}", name, name)));
    world.SetConnected(ClusterName(name), true, {});
  }
  world.PutWorkload(ClusterName("edge"), Workload("t1", "gw-a", "gw1", "127.0.1.10"));
  world.PutWorkload(ClusterName("edge"), Workload("t1", "gw-b", "gw1", "127.0.1.11"));
  world.PutWorkload(ClusterName("c1"), Workload("t2", "gw", "gw2", "127.0.2.10"));
  world.PutWorkload(ClusterName("c2"), Workload("t2", "gw", "gw2", "127.0.3.10"));
  world.Put(kGroup + "/tier1gateways/a", Tier1("x.test", k7525));
  world.Put(kGroup + "/gateways/b", Tier2("x.test"));
  return world;
}

template <typename T>
T Read(const ClusterIntent& intent, const std::string& type, const std::string& name) {
  T message;
  const auto found = intent.find({type, name});
  EXPECT_NE(found, intent.end()) << type << " " << name;
  if (found == intent.end()) return message;
  EXPECT_TRUE(message.ParseFromString(found->second.bytes));
  return message;
}
std::vector<std::string> Names(const ClusterIntent& intent) {
  std::vector<std::string> names;
  for (const auto& [key, resource] : intent) names.push_back(key.type + " " + key.name);
  return names;
}

std::string Difference(const ClusterIntent& incremental, const ClusterIntent& full) {
  if (incremental == full) return "";
  std::string out;
  const auto say = [&](const char* which, const ClusterIntent& mine, const ClusterIntent& other) {
    for (const auto& [key, resource] : mine) {
      const auto found = other.find(key);
      if (found != other.end() && found->second == resource) continue;
      out += fmt::format("\n{} {} {} {} from", which, key.type, key.name, resource.version);
      for (const auto& fqn : resource.provenance) out += " " + fqn;
    }
  };
  say("incremental", incremental, full);
  say("full", full, incremental);
  return out;
}

TEST(Compile, TellsTheEdgeWhereToSpreadAHost) {
  const World world = Demo();
  const ClusterIntent intent = Compile(world, ClusterName("edge"));
  EXPECT_THAT(Names(intent), ElementsAre("DestinationSet t1:app=gw1/80/x.test/s/0", "Host t1:app=gw1/80/x.test",
                                         "Listener t1:app=gw1/80", "ServiceEndpoints c1/x.test",
                                         "ServiceEndpoints c2/x.test", "TrustBundle o.test"));
  const auto listener = Read<mesh::v1::Listener>(intent, "Listener", "t1:app=gw1/80");
  EXPECT_EQ(listener.tier(), mesh::v1::TIER1);
  EXPECT_EQ(listener.selector().labels().at("app"), "gw1");
  EXPECT_THAT(listener.hosts(), ElementsAre("t1:app=gw1/80/x.test"));
  EXPECT_THAT(listener.allowed_callers(), IsEmpty());
  const auto set = Read<mesh::v1::DestinationSet>(intent, "DestinationSet", "t1:app=gw1/80/x.test/s/0");
  ASSERT_EQ(set.clusters_size(), 2);
  EXPECT_EQ(set.clusters(0).weight(), 75u);
  EXPECT_EQ(set.clusters(1).endpoints(), "c2/x.test");
  EXPECT_EQ(set.clusters(1).region(), "r-c2");
  EXPECT_EQ(set.provenance().revision(), 1);
  const auto endpoints = Read<mesh::v1::ServiceEndpoints>(intent, "ServiceEndpoints", "c1/x.test");
  ASSERT_EQ(endpoints.endpoints_size(), 1);
  EXPECT_EQ(endpoints.endpoints(0).address(), "127.0.2.10");
  EXPECT_EQ(endpoints.endpoints(0).port(), 15443u);
  EXPECT_EQ(endpoints.endpoints(0).spiffe_id(), "spiffe://c1.o.test/ns/t2/sa/sa-gw");
  EXPECT_FALSE(endpoints.has_as_of());
  EXPECT_EQ(Read<mesh::v1::TrustBundle>(intent, "TrustBundle", "o.test").root_pem(), "ROOT");
}

TEST(Compile, TellsTier2WhoMayCall) {
  const ClusterIntent intent = Compile(Demo(), ClusterName("c1"));
  EXPECT_THAT(Names(intent), ElementsAre("DestinationSet t2:app=gw2/80/x.test/s/0", "Host t2:app=gw2/80/x.test",
                                         "Listener t2:app=gw2/80", "TrustBundle o.test"));
  const auto listener = Read<mesh::v1::Listener>(intent, "Listener", "t2:app=gw2/80");
  EXPECT_EQ(listener.tier(), mesh::v1::TIER2);
  EXPECT_THAT(listener.allowed_callers(),
              ElementsAre("spiffe://edge.o.test/ns/t1/sa/sa-gw-a", "spiffe://edge.o.test/ns/t1/sa/sa-gw-b"));
  const auto set = Read<mesh::v1::DestinationSet>(intent, "DestinationSet", "t2:app=gw2/80/x.test/s/0");
  EXPECT_EQ(set.service().namespace_(), "app");
  EXPECT_EQ(set.service().host(), "web.app.svc.cluster.local");
  EXPECT_EQ(set.service().port(), 8080u);
}

TEST(Compile, LetsAWildcardTier2HostAnswer) {
  World world = Demo();
  world.Put(kGroup + "/gateways/b", Tier2("*.test"));
  EXPECT_EQ(Read<mesh::v1::ServiceEndpoints>(Compile(world, ClusterName("edge")), "ServiceEndpoints", "c1/x.test")
                .endpoints_size(),
            1);
  EXPECT_EQ(
      Read<mesh::v1::Listener>(Compile(world, ClusterName("c1")), "Listener", "t2:app=gw2/80").allowed_callers_size(),
      2);
}

TEST(Compile, LeavesOutNamespacesOfOthers) {
  World world = Demo();
  world.Put(kWs, From<v2::Workspace>("spec { namespace_selector { names: 'edge/*' names: 'c1/t2' } }"));
  EXPECT_THAT(Names(Compile(world, ClusterName("c2"))), ElementsAre("TrustBundle o.test"));
  world.Put(kGroup, From<v2::GatewayGroup>("spec { namespace_selector { names: 'edge/t1' } }"));
  EXPECT_THAT(Names(Compile(world, ClusterName("c1"))), ElementsAre("TrustBundle o.test"));
}

TEST(Compile, MergesObjectsOfOneSelector) {
  World world = Demo();
  world.Put(kGroup + "/tier1gateways/z", Tier1("y.test", k7525));
  const auto intent = Compile(world, ClusterName("edge"));
  const auto listener = Read<mesh::v1::Listener>(intent, "Listener", "t1:app=gw1/80");
  EXPECT_EQ(listener.hosts_size(), 2);
  EXPECT_EQ(listener.provenance_size(), 2);
  // A shared listener does not change when one owner's weights do.
  const std::string version = intent.at({"Listener", "t1:app=gw1/80"}).version;
  world.Put(kGroup + "/tier1gateways/z", Tier1("y.test", "clusters { name: 'c1' }", 9));
  EXPECT_EQ(Compile(world, ClusterName("edge")).at({"Listener", "t1:app=gw1/80"}).version, version);
}

TEST(Compile, KeepsTheEndpointsOfASilentCluster) {
  World world = Demo();
  world.SetConnected(ClusterName("c1"), false, std::chrono::system_clock::time_point(std::chrono::seconds(1000)));
  const auto endpoints =
      Read<mesh::v1::ServiceEndpoints>(Compile(world, ClusterName("edge")), "ServiceEndpoints", "c1/x.test");
  EXPECT_EQ(endpoints.endpoints_size(), 1);
  EXPECT_EQ(endpoints.as_of().seconds(), 1000);
}

TEST(World, CopiesDoNotSeeEachOther) {
  World a = Demo();
  World b = a;
  b.Remove(kGroup + "/gateways/b");
  b.RemoveWorkload(ClusterName("edge"), "t1/gw-a");
  EXPECT_NE(a.gateway(kGroup + "/gateways/b"), nullptr);
  EXPECT_EQ(a.facts(ClusterName("edge"))->workloads.size(), 2u);
  EXPECT_EQ(b.facts(ClusterName("edge"))->workloads.size(), 1u);
}

TEST(Compilation, SendsOnlyWhatChanged) {
  Compilation compilation(Demo());
  World after = compilation.world();
  after.Put(kGroup + "/tier1gateways/a",
            Tier1("x.test", "clusters { name: 'c1' weight: 1 } clusters { name: 'c2' weight: 1 }", 2));
  Change change;
  change.fqns.insert(kGroup + "/tier1gateways/a");
  const auto deltas = compilation.Update(after, change);
  ASSERT_EQ(deltas.size(), 1u);
  std::vector<std::string> changed;
  for (const auto& resource : deltas.at(ClusterName("edge")).changed) changed.push_back(resource.type);
  EXPECT_THAT(changed, ElementsAre("DestinationSet", "Host"));
}

TEST(Concerns, NameTheGatewaysThatMustAcknowledge) {
  Compilation compilation(Demo());
  const auto concerns = Concerns(compilation, kGroup + "/tier1gateways/a");
  ASSERT_EQ(concerns.size(), 3u);
  EXPECT_EQ(concerns[0].cluster, ClusterName("edge"));
  EXPECT_THAT(concerns[0].workloads, ElementsAre("t1/gw-a", "t1/gw-b"));
  EXPECT_EQ(concerns[0].keys.size(), 3u);
  EXPECT_EQ(concerns[1].cluster, ClusterName("c1"));
  ASSERT_EQ(concerns[1].keys.size(), 1u);
  EXPECT_EQ(concerns[1].keys[0].key.type, "Listener");
  EXPECT_EQ(Concerns(compilation, kGroup + "/gateways/b").size(), 2u);
  World after = compilation.world();
  after.RemoveWorkload(ClusterName("edge"), "t1/gw-a");
  after.RemoveWorkload(ClusterName("edge"), "t1/gw-b");
  Change change;
  change.workloads[ClusterName("edge")] = {"t1/gw-a", "t1/gw-b"};
  compilation.Update(after, change);
  EXPECT_THAT(Concerns(compilation, kGroup + "/tier1gateways/a"), IsEmpty());
  EXPECT_TRUE(ReachesGateways(kGroup + "/gateways/b"));
  EXPECT_FALSE(ReachesGateways(kGroup));
}

// Random changes of everything; after each batch the incremental state must be the full one.
class Walk {
 public:
  explicit Walk(unsigned seed) : random_(seed) {}

  void Step(World& world, Change& change) {
    switch (Pick(13)) {
      case 0: {
        const std::string org = Org();
        Put(world, change, org,
            From<v2::Organization>(fmt::format("spec {{ domain: '{}' }}", Of({"o.test", "p.test"}))), 8);
        break;
      }
      case 1: {
        const std::string cluster = Cluster();
        Put(world, change, cluster,
            From<v2::Cluster>(fmt::format("spec {{ locality {{ region: '{}' }} }}", Of({"r", "s"}))), 4);
        break;
      }
      case 2:
        Put(world, change, Workspace(),
            From<v2::Workspace>(fmt::format("spec {{ namespace_selector {{ names: '{}/{}' }} }}",
                                            Of({"*", "*", "c1", "c2"}), Of({"*", "*", "n1"}))),
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
  int Pick(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }

 private:
  std::string Of(std::vector<std::string> texts) {
    return texts[static_cast<size_t>(Pick(static_cast<int>(texts.size())))];
  }
  std::string Org() { return Of({"organizations/o", "organizations/o", "organizations/p"}); }
  std::string Cluster() { return Org() + "/clusters/" + Of({"c1", "c2", "c3"}); }
  std::string Workspace() { return Org() + "/tenants/t/workspaces/" + Of({"w", "x"}); }
  std::string Group() { return Workspace() + "/gatewaygroups/" + Of({"g", "h"}); }
  std::string Host() { return Of({"a.x.test", "b.x.test", "*.x.test", "*.test", "x.test"}); }
  std::string Select() { return Selector(Of({"n1", "n2"}), Of({"g", "h"})); }
  std::string Destinations() {
    return Of({"clusters { name: 'c1' }", "clusters { name: 'c2' weight: 2 } clusters { name: 'c1' weight: 1 }",
               "clusters { name: 'c3' }"});
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
    for (int i = 0; i <= Pick(2); ++i) {
      servers += fmt::format("external_servers {{ name: 's{}' hostname: '{}' port: {} {} }} ", Pick(2), Host(),
                             80 + Pick(2), Destinations());
    }
    Put(world, change, Group() + "/tier1gateways/" + Of({"a", "b"}),
        From<v2::Tier1Gateway>(fmt::format("spec {{ {} {} }}", Select(), servers)), 4);
  }
  void PutGateway(World& world, Change& change) {
    const bool tier1 = Pick(4) == 0;
    std::string servers;
    for (int i = 0; i <= Pick(2); ++i) {
      std::string rules = Of({"", "rules { redirect { uri: '/x' } } "});
      rules += tier1 ? fmt::format("rules {{ route {{ cluster_destination {{ {} }} }} }}", Destinations())
                     : "rules { route { service_destination { host: 'n/h' port: 1 } } }";
      servers += fmt::format("http {{ name: 's{}' hostname: '{}' port: {} routing {{ {} }} }} ", Pick(2), Host(),
                             80 + Pick(2), rules);
    }
    Put(world, change, Group() + "/gateways/" + Of({"a", "b"}),
        From<v2::Gateway>(fmt::format("spec {{ {} {} }}", Select(), servers)), 4);
  }

  std::mt19937 random_;
  int64_t revision_ = 0;
};

TEST(Compilation, IncrementalEqualsFullAfterAnySequence) {
  size_t resources = 0;
  for (unsigned seed = 1; seed <= 30; ++seed) {
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
          for (const auto& [key, resource] : full) ASSERT_EQ(receivers[cluster].at(key).version, resource.version);
        }
      }
    }
  }
  EXPECT_GT(resources, 25'000u);  // Else the walk says nothing.
}

}  // namespace
}  // namespace weir::compile
