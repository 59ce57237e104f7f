#include <functional>
#include <set>

#include "mgmt-server/compile/test_world.h"
#include "mgmt-server/plan/findings.h"
#include "mgmt-server/status/asked_request.h"
#include "mgmt-server/status/failover.h"
#include "mgmt-server/status/reach.h"
#include "mgmt-server/status/route.h"

// What is said of one object to who may not read another.
namespace weir::status {
namespace {

using compile::ClusterName;
using compile::From;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kTier1 = compile::kGroup + "/tier1gateways/a";
const std::string kTier2 = compile::kGroup + "/gateways/b";

void PutService(compile::World& world, const char* cluster, int port) {
  world.PutService(ClusterName(cluster),
                   *From<agent::v1::Service>(fmt::format(
                       "name: 'web' namespace: 'app' ports: {} selector {{ key: 'app' value: 'web' }}", port)));
}

// What may run behind the tier-2 gateways of c1 and c2.
struct Running {
  const char* what;
  std::function<void(compile::World&)> spoil;
  std::string reason;  // Of the tier-1 object; "" = somebody serves.
};
std::vector<Running> Runnings() {
  const auto both = [](auto change) {
    return [change](compile::World& world) {
      for (const char* cluster : {"c1", "c2"}) change(world, cluster);
    };
  };
  return {{"all is there", [](auto&) {}, ""},
          {"no service in one", [](auto& world) { world.RemoveService(ClusterName("c1"), "app/web"); }, ""},
          {"no service", both([](auto& world, auto c) { world.RemoveService(ClusterName(c), "app/web"); }),
           "SERVICE_MISSING"},
          {"another port", both([](auto& world, auto c) { PutService(world, c, 80); }), "PORT_MISSING"},
          {"no workload", both([](auto& world, auto c) { world.RemoveWorkload(ClusterName(c), "app/web-1"); }),
           "NO_ENDPOINT"}};
}
compile::World After(const Running& running, const std::string& owned = "names: '*/*'") {
  compile::World world = compile::Demo();
  world.Put(compile::kWs, From<v2::Workspace>("spec { namespace_selector { " + owned + " } }"));
  for (const char* cluster : {"c1", "c2"}) {
    PutService(world, cluster, 8080);
    world.PutWorkload(ClusterName(cluster), compile::Workload("app", "web-1", "web", "127.0.2.21"));
  }
  running.spoil(world);
  return world;
}

// All that is said of an object, but hops: they have a source of their own.
std::string Said(const compile::World& world, const std::string& fqn) {
  const compile::Compilation compilation(world);
  std::string said;
  for (const Shortfall& each : ReachOf(compilation, fqn, NothingReported()).shortfalls) {
    said += each.reason + " " + each.message + "\n";
  }
  for (const v2::Finding& finding : plan::FindingsOf(world, fqn)) said += finding.ShortDebugString() + "\n";
  for (const v2::FailoverPlan& plan : PlanFailover(compilation, kTier1, {"", {}}, NothingReported())) {
    if (plan.source() == fqn) said += plan.ShortDebugString() + "\n";
  }
  v2::ExplainRouteRequest request;
  request.set_parent(compile::kOrg);
  request.set_host("x.test");
  PushedPieces pieces(compilation);
  for (v2::ExplainedRoute& item : ExplainRoute(pieces, ReadAsked(request), NothingReported())) {
    for (v2::ExplainedShare& share : *item.mutable_shares()) share.clear_hops();
    if (item.rule().source() == fqn) said += item.ShortDebugString() + "\n";
  }
  return said;
}

// Whoever may read a tier-1 object need not be who may read what answers its host.
TEST(Sight, ATier1ObjectTellsWhatIsMissingAndNoName) {
  for (const Running& running : Runnings()) {
    const std::string said = Said(After(running), kTier1);
    EXPECT_THAT(said, HasSubstr(running.reason)) << running.what;
    for (const char* name : {"app/", "web", "8080"}) EXPECT_THAT(said, Not(HasSubstr(name))) << running.what;
  }
}

// A workspace may lose a namespace at any time; what others start there from then on is no business of its gateways.
TEST(Sight, WhatRunsInANamespaceThatIsNotItsOwnChangesNoWord) {
  std::set<std::string> own, lost;
  for (const Running& running : Runnings()) {
    const compile::World other = After(running, "names: '*/t1' names: '*/t2'");
    own.insert(Said(After(running), kTier2));
    lost.insert(Said(other, kTier2) + Said(other, kTier1));
  }
  EXPECT_EQ(own.size(), Runnings().size()) << "of its own all is told";
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_THAT(*lost.begin(), HasSubstr("SERVICE_OUTSIDE_WORKSPACE"));
  EXPECT_THAT(*lost.begin(), Not(HasSubstr("SERVICE_MISSING")));
}

}  // namespace
}  // namespace weir::status
