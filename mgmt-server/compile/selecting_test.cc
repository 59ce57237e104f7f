#include "mgmt-server/compile/selecting.h"

#include <random>

#include "mgmt-server/compile/test_world.h"

namespace weir::compile {
namespace {

const std::string kTier1 = kGroup + "/tier1gateways/a";
const std::string kTier2 = kGroup + "/gateways/b";

std::shared_ptr<v2::Cluster> With(const std::string& labels, const std::string& network = "") {
  std::string text;
  for (size_t at = 0; at < labels.size(); at += 4) {  // "a=1 b=2"
    text += fmt::format("labels {{ key: '{}' value: '{}' }} ", labels[at], labels[at + 2]);
  }
  return From<v2::Cluster>(
      fmt::format("metadata {{ {} }} spec {{ tier1_cluster: true network: '{}' }}", text, network));
}
// Four clusters; those of `serving` have a tier-2 gateway for x.test.
World Four(const std::vector<std::string>& serving = {"c1", "c2", "c3", "c4"}) {
  World world = Demo();
  world.Remove(kTier1);
  world.Put(ClusterName("c1"), With("a=1"));
  world.Put(ClusterName("c2"), With("a=1 b=2", "dmz"));
  world.Put(ClusterName("c3"), With("a=2", "dmz"));
  world.Put(ClusterName("c4"), With(""));
  for (const char* name : {"c1", "c2"}) world.SetFacts(ClusterName(name), {});
  for (const std::string& name : serving)
    world.PutWorkload(ClusterName(name), Workload("t2", "gw", "gw2", "127.0.2.10"));
  return world;
}
// "c1=75 c2=25": the clusters of the first server.
std::string Named(const World& world) {
  std::string text;
  const GatewayShape& shape = *world.gateway(kTier1);
  for (const auto* destination : GatewayShape::Destinations(shape.servers.front())) {
    text += (text.empty() ? "" : " ") + destination->name();
    if (destination->has_weight()) text += fmt::format("={}", destination->weight());
  }
  return text;
}
std::string Named(World world, const std::string& list) {
  world.Put(kTier1, Tier1("x.test", list));
  return Named(world);
}
const std::string kA1 = "labels { key: 'a' value: '1' } ", kB2 = "labels { key: 'b' value: '2' } ";

TEST(Selecting, NamesWhatEntriesSelect) {
  const World world = Four();
  const std::pair<std::string, std::string> rows[] = {
      {"", "c1 c2 c3 c4"},
      {"clusters { " + kA1 + " }", "c1 c2"},
      {"clusters { " + kA1 + kB2 + " }", "c2"},
      {"clusters { " + kA1 + " network: 'dmz' }", "c2"},
      {"clusters { network: 'dmz' }", "c2 c3"},
      {"clusters { network: 'default' }", "c1 c4"},
      {"clusters { labels { key: 'a' value: '9' } }", ""},
      {"clusters { name: 'c2' network: 'dmz' } clusters { name: 'c1' network: 'dmz' }", "c2"},
      // Whom a name does not count for is free for the others.
      {"clusters { name: 'c1' network: 'dmz' } clusters { " + kA1 + " }", "c1 c2"},
      {"clusters { name: 'c2' network: 'dmz' } clusters { " + kA1 + " }", "c2 c1"},
      // Who is named counts there, who is selected twice with the first.
      {"clusters { " + kA1 + " } clusters { network: 'dmz' } clusters { name: 'c3' }", "c1 c2 c3"},
      {"clusters { network: 'dmz' weight: 5 } clusters { " + kA1 + " weight: 7 }", "c2=5 c3=5 c1=14"},
      // What several get together is split equally.
      {"clusters { " + kA1 + " weight: 50 } clusters { name: 'c3' weight: 50 }", "c1=25 c2=25 c3=50"},
      {"clusters { " + kA1 + " weight: 1 } clusters { name: 'c3' weight: 1 }", "c1=1 c2=1 c3=2"},
      {"clusters { " + kA1 + " weight: 0 } clusters { name: 'c3' weight: 1 }", "c1=0 c2=0 c3=1"},
      {"clusters { " + kA1 + " weight: 4294967294 } clusters { name: 'c3' weight: 1 }",
       "c1=2147483647 c2=2147483647 c3=1"},
      {"clusters { " + kA1 + " weight: 4294967291 } clusters { name: 'c3' weight: 4 }",
       "c1=1999999998 c2=1999999998 c3=4"},
  };
  for (const auto& [list, named] : rows) EXPECT_EQ(Named(world, list), named) << list;
}

// Small weights on groups whose sizes have no common multiple that a list has room for.
TEST(Selecting, KeepsTheSharesOfEntriesWhateverTheirSizes) {
  std::mt19937 random(7);
  for (int round = 0; round < 12; ++round) {
    World world = Demo();
    world.Remove(kTier1);
    std::string list;
    std::map<char, std::pair<double, size_t>> groups;  // By label: weight, clusters.
    double sum = 0;
    for (char group = 'a'; group < 'g'; ++group) {
      const uint32_t weight = random() % 4 == 0 ? 0 : round % 2 == 0 ? random() % 100 : random() % 700'000'000;
      const size_t size = 23 + random() % 25;
      for (size_t i = 0; i < size; ++i) {
        const std::string name = fmt::format("{}{}", group, i);
        world.Put(ClusterName(name), With(fmt::format("{}=1", group)));
        world.PutWorkload(ClusterName(name), Workload("t2", "gw", "gw2", "127.0.2.10"));
      }
      list += fmt::format("clusters {{ labels {{ key: '{}' value: '1' }} weight: {} }} ", group, weight);
      groups[group] = {weight, size};
      sum += weight;
    }
    world.Put(kTier1, Tier1("x.test", list));
    double all = 0;
    std::map<char, std::pair<double, size_t>> given;
    for (const auto* one : GatewayShape::Destinations(world.gateway(kTier1)->servers.front())) {
      given[one->name()[0]].first += one->weight();
      ++given[one->name()[0]].second;
      all += one->weight();
      ASSERT_EQ(one->weight() > 0, groups[one->name()[0]].first > 0);
    }
    ASSERT_LE(all, 4294967295.0);
    for (const auto& [group, wanted] : groups) {
      ASSERT_EQ(given[group].second, wanted.second);
      ASSERT_NEAR(given[group].first / std::max(1.0, all), wanted.first / std::max(1.0, sum), 1e-6) << list;
    }
  }
}

// A cluster without a tier-2 gateway for the host is no candidate: nothing of a weight is lost on it.
TEST(Selecting, CountsOnlyWhoServesTheHost) {
  EXPECT_EQ(Named(Four({"c1", "c3"}), ""), "c1 c3");
  EXPECT_EQ(Named(Four({"c1", "c3"}), "clusters { " + kA1 + " weight: 50 } clusters { name: 'c3' weight: 50 }"),
            "c1=50 c3=50");
  EXPECT_EQ(Named(Four({}), ""), "");
  EXPECT_EQ(Named(Four({}), "clusters { name: 'c1' }"), "c1") << "a name is a name";
  World other = Four();
  other.Put(kTier1,
            From<v2::Tier1Gateway>("spec { " + Selector("t1", "gw1") +
                                   " external_servers { name: 's' hostname: 'x.test' port: 80 tenant: 'another' } }"));
  EXPECT_EQ(Named(other), "") << "tier-2 gateways of another tenant";
}

TEST(Selecting, FollowsWhateverItDependsOn) {
  World world = Four();
  world.Put(kTier1, Tier1("x.test", "clusters { " + kA1 + " }"));
  const World before = world;
  const auto after = [&](const std::function<void(World&)>& change) {
    World changed = before;
    change(changed);
    EXPECT_EQ(Named(before), "c1 c2") << "a copy is a value";
    return Named(changed);
  };
  EXPECT_EQ(after([](World& w) { w.Put(ClusterName("c4"), With("a=1")); }), "c1 c2 c4");
  EXPECT_EQ(after([](World& w) { w.Put(ClusterName("c1"), With("")); }), "c2");
  EXPECT_EQ(after([](World& w) { w.Remove(ClusterName("c1")); }), "c2");
  EXPECT_EQ(after([](World& w) { w.RemoveWorkload(ClusterName("c1"), "t2/gw"); }), "c2");
  EXPECT_EQ(after([](World& w) { w.PutWorkload(ClusterName("c1"), Workload("t2", "gw", "no", "127.0.2.10")); }), "c2");
  EXPECT_EQ(after([](World& w) { w.SetFacts(ClusterName("c2"), {}); }), "c1");
  EXPECT_EQ(after([](World& w) { w.Remove(kTier2); }), "");
  EXPECT_EQ(after([](World& w) { w.Put(kTier2, Tier2("y.test")); }), "");
  EXPECT_EQ(after([](World& w) { w.Put(kTier2, Tier2("*.test")); }), "c1 c2");
  EXPECT_EQ(after([](World& w) { w.Remove(kWs); }), "");
  EXPECT_EQ(
      after([](World& w) { w.Put(kGroup, From<v2::GatewayGroup>("spec { namespace_selector { names: 'c2/*' } }")); }),
      "c2");
}

// One more of the same tier-2 gateway, or its end, changes nothing: the object stays the same one.
TEST(Selecting, LeavesAloneWhatAChangeDoesNotConcern) {
  World world = Four();
  world.Put(kTier1, Tier1("x.test", ""));
  const GatewayShape* const shape = world.gateway(kTier1);
  world.PutWorkload(ClusterName("c1"), Workload("t2", "second", "gw2", "127.0.2.11"));
  world.PutWorkload(ClusterName("c1"), Workload("t2", "other", "no", "127.0.2.12"));
  world.RemoveWorkload(ClusterName("c1"), "t2/gw");
  world.PutWorkload(ClusterName("c1"), Workload("t2", "second", "gw2", "127.0.2.13"));
  EXPECT_EQ(world.gateway(kTier1), shape);
  world.RemoveWorkload(ClusterName("c1"), "t2/second");
  EXPECT_EQ(Named(world), "c2 c3 c4");
  world.PutWorkload(ClusterName("c1"), Workload("t2", "other", "gw2", "127.0.2.12"));
  EXPECT_EQ(Named(world), "c1 c2 c3 c4");
}

// A label of one cluster costs what goes there, not all objects.
TEST(Selecting, CompilesWhatAChangeConcerns) {
  World world = Four();
  for (int i = 0; i < 50; ++i) {
    world.Put(fmt::format("{}/gateways/t2-{}", kGroup, i), Tier2(fmt::format("h{}.test", i)));
    world.Put(fmt::format("{}/tier1gateways/t1-{}", kGroup, i),
              Tier1(fmt::format("h{}.test", i), i == 7 ? "clusters { " + kA1 + " }" : "clusters { name: 'c1' }"));
  }
  Compilation compilation(world);
  const uint64_t before = compilation.compiled();
  World after = compilation.world();
  after.Put(ClusterName("c4"), With("a=1"));
  Change change;
  change.fqns.insert(ClusterName("c4"));
  const auto deltas = compilation.Update(after, change);
  EXPECT_TRUE(deltas.contains(ClusterName("edge")));
  EXPECT_TRUE(deltas.contains(ClusterName("c4"))) << "there the caller is let in";
  EXPECT_LT(compilation.compiled() - before, 60u);
}

}  // namespace
}  // namespace weir::compile
