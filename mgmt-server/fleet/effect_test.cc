#include "mgmt-server/fleet/effect.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <set>

#include "mgmt-server/compile/test_world.h"

namespace weir::fleet {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

template <typename T>
void Put(compile::World& world, const std::string& fqn, const std::string& text) {
  auto message = std::make_shared<T>();
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, message.get())) << text;
  world.Put(fqn, message);
}

std::vector<std::string> Fqns(const compile::World& world, const std::string& fqn) {
  std::vector<std::string> fqns;
  for (const Touched& touched : GatewaysTouched(world, fqn, {})) fqns.push_back(touched.fqn);
  return fqns;
}

TEST(GatewaysTouched, AreThoseWhoseIntentTheWriteMayChange) {
  const std::string workspace = "organizations/o/tenants/t/workspaces/w";
  const std::string group = workspace + "/gatewaygroups/g";
  const std::string entry = group + "/tier1gateways/entry";
  const std::string ingress = group + "/gateways/ingress";
  compile::World world;
  for (const std::string organization : {"organizations/o", "organizations/p"}) {
    Put<v2::Organization>(world, organization, "spec { domain: 'd.example' }");
    Put<v2::Cluster>(world, organization + "/clusters/c1", "spec {}");
  }
  Put<v2::Workspace>(world, workspace, "spec { namespace_selector { names: '*/*' } }");
  Put<v2::GatewayGroup>(world, group, "spec {}");
  Put<v2::Tier1Gateway>(world, entry, R"(spec { workload_selector { namespace: 'n' labels { key: 'a' value: 'b' } }
    external_servers { name: 's' hostname: 'a.example' port: 80 clusters { name: 'c1' } } })");
  Put<v2::Gateway>(world, ingress, R"(spec { workload_selector { namespace: 'n' labels { key: 'a' value: 'c' } }
    http { name: 's' hostname: 'a.example' port: 80 routing { rules {
      route { service_destination { host: 'n/s.n.svc' port: 80 } } } } } })");
  EXPECT_THAT(Fqns(world, entry), ElementsAre(entry));
  EXPECT_THAT(Fqns(world, "organizations/o/clusters/c1"), ElementsAre(entry));
  EXPECT_THAT(Fqns(world, "organizations/p/clusters/c1"), IsEmpty());
  EXPECT_THAT(Fqns(world, "organizations/o/clusters/c2"), IsEmpty());
  EXPECT_THAT(Fqns(world, "organizations/o/settings/s"), ElementsAre(entry));
  EXPECT_THAT(Fqns(world, workspace), ElementsAre(ingress, entry));
  EXPECT_THAT(Fqns(world, group), ElementsAre(ingress, entry));
  EXPECT_THAT(Fqns(world, "organizations/o/tenants/t"), IsEmpty());
}

// A wait for the write of a cluster looks at every gateway whose intent that write changed, and at no other.
class ClusterWrites : public ::testing::Test {
 protected:
  void SetUp() override {
    world_ = compile::Demo();
    auto selecting = compile::Tier1("x.test", "clusters { labels { key: 'ring' value: 'beta' } }");
    world_.Put(kShop, selecting);
    Write("c1", "metadata { labels { key: 'ring' value: 'beta' } }");
    Write("c2", "metadata { labels { key: 'ring' value: 'beta' } } spec { locality { region: 'r-c2' } }");
    traces_ = {};
  }
  void Write(const std::string& cluster, const std::string& text) {
    compile::World after = world_;
    after.Put(compile::ClusterName(cluster), compile::From<v2::Cluster>(text));
    after.revision = ++revision_;
    compile::Change change;
    change.fqns = {compile::ClusterName(cluster)};
    traces_.Note(world_, after, change);
    const compile::Compilation was(world_), is(after);
    changed_.clear();
    for (const auto& [name, unused] : compile::Affected(world_, after, change)) {
      for (const std::string kind : {"DestinationSet", "Host"}) {
        for (const auto* of : {&was, &is}) {
          for (const auto& [key, piece] : of->Of(name)) {
            const auto& other = (of == &was ? is : was).Of(name);
            const auto found = other.find(key);
            if (key.type == kind && (found == other.end() || found->second.bytes != piece.bytes)) changed_.insert(name);
          }
        }
      }
    }
    world_ = std::move(after);
  }
  // Clusters whose gateways are waited for.
  std::set<std::string> Awaited(const std::string& cluster, int64_t since) {
    const std::string written = compile::ClusterName(cluster);
    const compile::Compilation compilation(world_);
    std::set<std::string> clusters;
    for (const Touched& touched : GatewaysTouched(world_, written, traces_.Since(written, since))) {
      for (const compile::Concern& concern : compile::Concerns(compilation, touched.fqn)) {
        if (touched.Counts(concern, written)) clusters.insert(concern.cluster);
      }
    }
    return clusters;
  }

  const std::string kShop = compile::kGroup + "/tier1gateways/a";
  const std::string kEdge = compile::ClusterName("edge");
  compile::World world_;
  compile::Traces traces_;
  int64_t revision_ = 0;
  std::set<std::string> changed_;  // Clusters that are told something else by the last write.
};

TEST_F(ClusterWrites, AreAwaitedWhereverTheyChangeWhatIsTold) {
  const std::string beta = "metadata { labels { key: 'ring' value: 'beta' } }";
  const std::string c1 = compile::ClusterName("c1"), c2 = compile::ClusterName("c2");
  const struct {
    const char* what;
    const char* cluster;
    std::string text;
    std::set<std::string> told, need_not;
  } cases[] = {
      {"a drain", "c1", beta + " spec { admin_state: DRAINING }", {kEdge}, {}},
      {"its end", "c1", beta, {kEdge}, {}},
      // Who is sent nothing any more need not hear that it would refuse it.
      {"a list selects it no longer", "c1", "metadata { labels { key: 'ring' value: 'old' } }", {c1, kEdge}, {c1}},
      {"a list selects it again", "c1", beta, {c1, kEdge}, {}},
      {"its tier-1 gateways stand elsewhere",
       "edge",
       "spec { tier1_cluster: true locality { region: 'r-c2' } }",
       {kEdge},
       {}},
      {"they are let in nowhere", "edge", "spec { locality { region: 'r-c2' } }", {c1, c2}, {}},
      {"they are let in", "edge", "spec { tier1_cluster: true locality { region: 'r-c2' } }", {c1, c2}, {}},
      {"texts",
       "edge",
       "metadata { description: 'a' } spec { tier1_cluster: true locality { region: 'r-c2' } }",
       {},
       {}},
  };
  for (const auto& c : cases) {
    Write(c.cluster, c.text);
    EXPECT_EQ(changed_, c.told) << c.what;
    const std::set<std::string> awaited = Awaited(c.cluster, revision_);
    for (const std::string& cluster : changed_)
      EXPECT_NE(awaited.contains(cluster), c.need_not.contains(cluster)) << c.what << " " << cluster;
  }
}

TEST_F(ClusterWrites, OfEarlierRevisionsAreAwaitedByWhoWaitsForThem) {
  Write("c1", "metadata { labels { key: 'ring' value: 'old' } }");
  const int64_t first = revision_;
  Write("c1", "metadata { labels { key: 'ring' value: 'old' } description: 'new' }");
  EXPECT_TRUE(Awaited("c1", first).contains(kEdge));
  EXPECT_FALSE(Awaited("c1", revision_).contains(kEdge));
}

}  // namespace
}  // namespace weir::fleet
