#include "mgmt-server/compile/compile.h"
#include "mgmt-server/compile/test_world.h"

namespace weir::compile {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Concerns, NameTheGatewaysThatMustAcknowledge) {
  Compilation compilation(Demo());
  const auto concerns = Concerns(compilation, kGroup + "/tier1gateways/a");
  ASSERT_EQ(concerns.size(), 3u);
  EXPECT_EQ(concerns[0].cluster, ClusterName("edge"));
  EXPECT_THAT(concerns[0].workloads, ElementsAre("t1/gw-a", "t1/gw-b"));
  EXPECT_EQ(concerns[0].keys.size(), 5u);  // Listener, Host, DestinationSet, and the endpoints of two clusters.
  EXPECT_EQ(concerns[1].cluster, ClusterName("c1"));
  ASSERT_EQ(concerns[1].keys.size(), 1u);
  EXPECT_EQ(concerns[1].keys[0].key.type, "Host");
  // And the other way round: the tier-1 gateways must know where the tier-2 gateways are.
  const auto tier2 = Concerns(compilation, kGroup + "/gateways/b");
  ASSERT_EQ(tier2.size(), 3u);
  EXPECT_FALSE(tier2[1].if_connected);
  EXPECT_TRUE(tier2[2].if_connected);
  EXPECT_EQ(tier2[2].cluster, ClusterName("edge"));
  ASSERT_EQ(tier2[2].keys.size(), 2u);
  EXPECT_EQ(tier2[2].keys[0].key.name, "c1/t/x.test");
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

// Scaling the edge up concerns the tier-2 gateways anew: they must let the new one in.
TEST(Concerns, ChangeWithTheWorkloadsThatMustBeLetIn) {
  Compilation compilation(Demo());
  const std::string before = Concerns(compilation, kGroup + "/tier1gateways/a")[1].keys[0].version;
  World after = compilation.world();
  after.PutWorkload(ClusterName("edge"), Workload("t1", "gw-c", "gw1", "127.0.1.12"));
  Change change;
  change.workloads[ClusterName("edge")] = {"t1/gw-c"};
  compilation.Update(after, change);
  const auto concerns = Concerns(compilation, kGroup + "/tier1gateways/a");
  EXPECT_THAT(concerns[0].workloads, ElementsAre("t1/gw-a", "t1/gw-b", "t1/gw-c"));
  EXPECT_NE(concerns[1].keys[0].version, before);
}

TEST(Concerns, LeaveOutGatewaysOfOtherTenants) {
  World world = Demo();
  const std::string platform = kOrg + "/tenants/platform/workspaces/w";
  world.Put(platform, From<v2::Workspace>("spec { namespace_selector { names: 'edge/t1' } }"));
  world.Put(platform + "/gatewaygroups/g", From<v2::GatewayGroup>(""));
  auto tier1 = Tier1("x.test", k7525);
  tier1->mutable_spec()->mutable_external_servers(0)->set_tenant("t");
  world.Put(platform + "/gatewaygroups/g/tier1gateways/a", tier1);
  world.Remove(kGroup + "/tier1gateways/a");
  Compilation compilation(std::move(world));
  EXPECT_EQ(Concerns(compilation, platform + "/gatewaygroups/g/tier1gateways/a").size(), 3u);
  EXPECT_EQ(Concerns(compilation, kGroup + "/gateways/b").size(), 2u);
}

TEST(Concerns, SayWhereATier1IsNotAdmitted) {
  World world = Demo();
  const auto not_admitted = [&](const std::string& fqn) {
    std::vector<std::string> clusters;
    for (const Concern& concern : Concerns(Compilation(world), fqn)) {
      if (concern.not_admitted) clusters.push_back(concern.cluster);
    }
    return clusters;
  };
  EXPECT_THAT(not_admitted(kGroup + "/tier1gateways/a"), testing::IsEmpty());
  world.Put(ClusterName("edge"), From<v2::Cluster>(""));
  EXPECT_THAT(not_admitted(kGroup + "/tier1gateways/a"), testing::ElementsAre(ClusterName("edge")));
  EXPECT_THAT(not_admitted(kGroup + "/gateways/b"), testing::IsEmpty());  // No fault of who is called.
}

}  // namespace
}  // namespace weir::compile
