// What a fact of a cluster costs objects that select their clusters: counted, not timed.
#include "mgmt-server/compile/gateway_shape.h"
#include "mgmt-server/compile/test_world.h"
#include "tests/conformance/counted_heap.h"

namespace weir::compile {
namespace {

const std::string kTier1 = kGroup + "/tier1gateways/a";

// One tier-1 object with so many hosts that go wherever they are served, and one tier-2 object that serves them.
World Of(int hosts) {
  auto tier1 = From<v2::Tier1Gateway>("spec { " + Selector("t1", "gw1") + " }");
  auto tier2 = Tier2("h0.test");
  const auto server = tier2->spec().http(0);
  tier2->mutable_spec()->clear_http();
  for (int i = 0; i < hosts; ++i) {
    auto* added = tier1->mutable_spec()->add_external_servers();
    added->set_name(fmt::format("s{}", i));
    added->set_hostname(fmt::format("h{}.test", i));
    added->set_port(80);
    auto* there = tier2->mutable_spec()->add_http();
    *there = server;
    there->set_name(added->name());
    there->set_hostname(added->hostname());
  }
  World world = Demo();
  world.RemoveWorkload(ClusterName("c2"), "t2/gw");
  world.Put(kTier1, tier1);
  world.Put(kGroup + "/gateways/b", tier2);
  return world;
}
size_t Clusters(const World& world) { return GatewayShape::Destinations(world.gateway(kTier1)->servers.back()).size(); }
template <typename Fn>
size_t Allocations(Fn change) {
  heap = {};
  heap.counts = true;
  change();
  heap.counts = false;
  return heap.calls;
}

TEST(SelectingCost, AClusterThatBeginsToServeCostsEachHostOnce) {
  const auto cost = [](int hosts) {
    World world = Of(hosts);
    EXPECT_EQ(Clusters(world), 1u);
    const size_t begun =
        Allocations([&] { world.PutWorkload(ClusterName("c2"), Workload("t2", "gw", "gw2", "127.0.3.10")); });
    EXPECT_EQ(Clusters(world), 2u);
    const size_t another =
        Allocations([&] { world.PutWorkload(ClusterName("c2"), Workload("t2", "gw-b", "gw2", "127.0.3.11")); });
    EXPECT_LT(another, 200u) << "what serves already";
    std::printf("%4d hosts: %zu allocations, %zu for one more workload\n", hosts, begun, another);
    return begun;
  };
  const size_t few = cost(50), many = cost(400);
  EXPECT_LT(many, few * 12);
}

}  // namespace
}  // namespace weir::compile
