#include "mgmt-server/compile/random_walk.h"

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
