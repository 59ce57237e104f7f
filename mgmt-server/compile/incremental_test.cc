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

}  // namespace
}  // namespace weir::compile
