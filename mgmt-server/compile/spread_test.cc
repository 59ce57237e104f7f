#include <algorithm>

#include "mgmt-server/compile/test_world.h"

namespace weir::compile {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

const std::string kSet = "t1:app=gw1/80/x.test/s/0";
const std::string kTier1 = kGroup + "/tier1gateways/a";

std::shared_ptr<v2::Cluster> At(const std::string& region, const std::string& zone, const std::string& more = "") {
  return From<v2::Cluster>(fmt::format(
      "metadata {{ {} }} spec {{ tier1_cluster: true locality {{ region: '{}' zone: '{}' }} }}", more, region, zone));
}
// "c1 75 0, c2 25 0": cluster, weight ("-" = none), place.
std::string Spread(const World& world, const std::string& name = kSet) {
  const auto set = Read<mesh::v1::DestinationSet>(Compile(world, ClusterName("edge")), "DestinationSet", name);
  std::string out = set.mode() == mesh::v1::DestinationSet::ORDERED ? "ordered" : "";
  for (const auto& share : set.clusters()) {
    out += fmt::format("{}{} {} {}{}", out.empty() ? "" : ", ", share.cluster(),
                       share.has_weight() ? std::to_string(share.weight()) : "-", share.priority(),
                       share.drained()   ? " drained"
                       : share.standby() ? " standby"
                                         : "");
  }
  return out;
}
World Unweighted(const std::string& settings = "") {
  World world = Demo();
  world.Put(ClusterName("edge"), At("eu", "a", "labels { key: 'tier' value: 'gold' }"));
  world.Put(ClusterName("c1"), At("us", "a"));
  world.Put(ClusterName("c2"), At("eu", "b"));
  world.Put(ClusterName("c3"), At("asia", "a", "labels { key: 'tier' value: 'gold' }"));
  world.Put(kTier1,
            Tier1("x.test", "clusters { name: 'c1' } clusters { name: 'c2' } clusters { name: 'c3' }" + settings));
  return world;
}

TEST(Spread, BeginsAtTheLocalityOfTheGatewayItself) {
  // The edge need not stand in the list.
  EXPECT_EQ(Spread(Unweighted()), "c1 - 1, c2 - 0, c3 - 1");
  World moved = Unweighted();
  moved.Put(ClusterName("edge"), At("us", "a"));
  EXPECT_EQ(Spread(moved), "c1 - 0, c2 - 1, c3 - 1");
}

TEST(Spread, GoesOnInTheOrderOfTheSettings) {
  EXPECT_EQ(Spread(Unweighted("failover_settings { failover_priority: 'tier' }")), "c1 - 2, c2 - 0, c3 - 1");
  EXPECT_EQ(Spread(Unweighted("failover_settings { regional_failover { from: 'eu' to: 'us' } }")),
            "c1 - 1, c2 - 0, c3 - 2");
  EXPECT_EQ(Spread(Unweighted("failover_settings { mode: ORDERED }")), "ordered, c1 - 1, c2 - 0, c3 - 2");
}

TEST(Spread, SaysWhetherAllAreAskedWhileNobodyCanServe) {
  const auto panic = [](const World& world) {
    return Read<mesh::v1::DestinationSet>(Compile(world, ClusterName("edge")), "DestinationSet", kSet).panic();
  };
  EXPECT_FALSE(panic(Unweighted()));
  EXPECT_TRUE(panic(Unweighted("failover_settings { panic: true }")));
  World world = Unweighted();
  world.Put(kOrg + "/settings/main", From<v2::OrganizationSetting>("spec { failover_settings { panic: true } }"));
  EXPECT_TRUE(panic(world));
}

TEST(Spread, TakesTheNearestSettingWhole) {
  World world = Unweighted();
  world.Put(kOrg + "/settings/main",
            From<v2::OrganizationSetting>("spec { failover_settings { mode: ORDERED failover_priority: 'tier' } }"));
  EXPECT_EQ(Spread(world), "ordered, c1 - 1, c2 - 0, c3 - 2");
  // Not mixed: the server's own says nothing of the mode, and that is the mode.
  world.Put(kTier1, Tier1("x.test",
                          "clusters { name: 'c1' } clusters { name: 'c2' } clusters { name: 'c3' } failover_settings { "
                          "regional_failover { from: 'eu' to: 'us' } }"));
  EXPECT_EQ(Spread(world), "c1 - 1, c2 - 0, c3 - 2");
}

TEST(Spread, KeepsWeightsAndPutsStandbysBehind) {
  EXPECT_EQ(Spread(Demo()), "c1 75 0, c2 25 0");
  World world = Unweighted();
  const char* list =
      "clusters { name: 'c1' weight: 0 } clusters { name: 'c2' weight: 0 } clusters { name: 'c3' weight: 7 }";
  world.Put(kTier1, Tier1("x.test", list));
  EXPECT_EQ(Spread(world), "c1 0 2, c2 0 1, c3 7 0");
  world.Put(kTier1, Tier1("x.test", std::string(list) + "failover_settings { mode: ORDERED }"));
  EXPECT_EQ(Spread(world), "ordered, c1 0 0, c2 0 1, c3 7 2");
}

TEST(Spread, MarksADrainedClusterAndKeepsItsShare) {
  World world = Demo();
  world.Put(ClusterName("c1"), From<v2::Cluster>("spec { admin_state: DRAINING }"));
  EXPECT_EQ(Spread(world), "c1 75 0 drained, c2 25 0");
}

TEST(Spread, PutsAClusterOnStandbyBehindAndTakesOneInMaintenanceOut) {
  World world = Demo();
  world.Put(ClusterName("c1"), From<v2::Cluster>("spec { admin_state: STANDBY }"));
  EXPECT_EQ(Spread(world), "c1 75 1 standby, c2 25 0");
  world.Put(ClusterName("c1"), From<v2::Cluster>("spec { admin_state: MAINTENANCE }"));
  EXPECT_EQ(Spread(world), "c1 75 0 drained, c2 25 0");
  world = Unweighted();
  world.Put(ClusterName("c2"), From<v2::Cluster>("spec { admin_state: STANDBY locality { region: 'eu' zone: 'b' } }"));
  EXPECT_EQ(Spread(world), "c1 - 0, c2 - 1 standby, c3 - 0");
  world.Put(kTier1, Tier1("x.test",
                          "clusters { name: 'c2' weight: 6 } clusters { name: 'c1' weight: 3 } "
                          "failover_settings { mode: ORDERED }"));
  EXPECT_EQ(Spread(world), "ordered, c1 3 0, c2 6 1 standby");
}

TEST(Spread, GivesEveryPathRuleItsOwn) {
  World world = Demo();
  world.Remove(kTier1);
  world.Put(kGroup + "/gateways/a", From<v2::Gateway>("spec { " + Selector("t1", "gw1") + R"(
    http { name: 's' hostname: 'x.test' port: 80
      failover_settings { mode: ORDERED }
      routing {
        rules { match { uri { prefix: '/api' } } idempotent: true
                route { cluster_destination { clusters { name: 'c1' weight: 9 } clusters { name: 'c2' weight: 1 } } } }
        rules { match { uri { exact: '/old' } } redirect { uri: '/new' } }
        rules { route { cluster_destination { clusters { name: 'c2' } } } } } } })"));
  EXPECT_EQ(Spread(world, "t1:app=gw1/80/x.test/s/0"), "ordered, c1 9 0, c2 1 1");
  EXPECT_EQ(Spread(world, "t1:app=gw1/80/x.test/s/2"), "ordered, c2 - 0");
  const auto host = Read<mesh::v1::Host>(Compile(world, ClusterName("edge")), "Host", "t1:app=gw1/80/x.test");
  ASSERT_EQ(host.routes_size(), 3);
  EXPECT_EQ(host.routes(0).destination_set(), "t1:app=gw1/80/x.test/s/0");
  EXPECT_TRUE(host.routes(0).idempotent());
  EXPECT_FALSE(host.routes(2).idempotent());
  EXPECT_EQ(host.routes(2).destination_set(), "t1:app=gw1/80/x.test/s/2");
}

// --- What a change recompiles ---

std::vector<std::string> AffectedBy(const World& before, const std::string& fqn,
                                    std::shared_ptr<google::protobuf::Message> message) {
  World after = before;
  if (message == nullptr)
    after.Remove(fqn);
  else
    after.Put(fqn, std::move(message));
  Change change;
  change.fqns.insert(fqn);
  std::vector<std::string> out;
  for (const auto& [cluster, keys] : Affected(before, after, change)) {
    for (const Key& key : keys) out.push_back(cluster.substr(cluster.rfind('/') + 1) + " " + key.type + " " + key.name);
  }
  return out;
}
// Demo, and a second host that goes to c2 alone by settings of its own.
World TwoHosts() {
  World world = Demo();
  world.Put(kGroup + "/tier1gateways/z",
            Tier1("y.test", "clusters { name: 'c2' } failover_settings { mode: ORDERED }"));
  return world;
}
const std::string kY = "t1:app=gw1/80/y.test/s/0";

TEST(Affected, OfADrainAreTheSpreadsThatNameTheCluster) {
  EXPECT_THAT(AffectedBy(TwoHosts(), ClusterName("c1"),
                         From<v2::Cluster>("spec { locality { region: 'r-c1' } admin_state: DRAINING }")),
              ElementsAre("edge DestinationSet " + kSet));
  EXPECT_THAT(AffectedBy(TwoHosts(), ClusterName("c2"),
                         From<v2::Cluster>("spec { locality { region: 'r-c2' } admin_state: DRAINING }")),
              UnorderedElementsAre("edge DestinationSet " + kSet, "edge DestinationSet " + kY));
  EXPECT_THAT(
      AffectedBy(TwoHosts(), ClusterName("edge"),
                 From<v2::Cluster>("spec { tier1_cluster: true locality { region: 'r-edge' } admin_state: DRAINING }")),
      ElementsAre());
}

TEST(Affected, OfAMoveAreAlsoTheSpreadsOfItsOwnGateways) {
  EXPECT_THAT(AffectedBy(TwoHosts(), ClusterName("c1"), At("mars", "")), ElementsAre("edge DestinationSet " + kSet));
  EXPECT_THAT(AffectedBy(TwoHosts(), ClusterName("edge"), At("mars", "")),
              UnorderedElementsAre("edge DestinationSet " + kSet, "edge DestinationSet " + kY));
  EXPECT_THAT(AffectedBy(TwoHosts(), ClusterName("c1"), At("r-c1", "", "labels { key: 'a' value: 'b' }")),
              ElementsAre("edge DestinationSet " + kSet));
  EXPECT_THAT(AffectedBy(TwoHosts(), ClusterName("c1"), At("r-c1", "", "description: 'new'")), ElementsAre());
}

TEST(Affected, OfOneServerOfAnObjectAreNotTheOthers) {
  const std::string clusters = "clusters { name: 'c2' }";
  const auto object = [&](int port) {
    auto tier1 = Tier1("x.test", k7525);
    for (const char* host : {"y.test", "z.test"}) {
      auto* server = tier1->mutable_spec()->add_external_servers();
      *server = Tier1(host, clusters)->spec().external_servers(0);
      server->set_name(std::string(1, *host));
    }
    tier1->mutable_spec()->mutable_external_servers(1)->set_port(static_cast<uint32_t>(port));
    return tier1;
  };
  World world = Demo();
  world.Put(kTier1, object(80));
  EXPECT_THAT(AffectedBy(world, kTier1, object(80)), ElementsAre());
  EXPECT_THAT(AffectedBy(world, kTier1, object(81)),
              UnorderedElementsAre("edge DestinationSet t1:app=gw1/80/y.test/y/0", "edge Host t1:app=gw1/80/y.test",
                                   "edge Listener t1:app=gw1/80", "edge DestinationSet t1:app=gw1/81/y.test/y/0",
                                   "edge Host t1:app=gw1/81/y.test", "edge Listener t1:app=gw1/81",
                                   "edge ServiceEndpoints c2/t/y.test"));
}

TEST(Affected, OfASettingAreTheSpreadsThatHaveNoneOfTheirOwn) {
  const std::string setting = kOrg + "/settings/main";
  const auto message = From<v2::OrganizationSetting>("spec { failover_settings { mode: ORDERED } }");
  EXPECT_THAT(AffectedBy(TwoHosts(), setting, message), ElementsAre("edge DestinationSet " + kSet));
  World with = TwoHosts();
  with.Put(setting, message);
  EXPECT_THAT(AffectedBy(with, setting, nullptr), ElementsAre("edge DestinationSet " + kSet));
  EXPECT_THAT(AffectedBy(TwoHosts(), "organizations/p/settings/main", message), ElementsAre());
  const auto with_grace = From<v2::OrganizationSetting>("spec { expired_identity_grace { seconds: 60 } }");
  EXPECT_THAT(AffectedBy(TwoHosts(), setting, with_grace),
              UnorderedElementsAre("c1 TrustBundle o.test", "c2 TrustBundle o.test", "edge TrustBundle o.test",
                                   "edge DestinationSet " + kSet));
}

}  // namespace
}  // namespace weir::compile
