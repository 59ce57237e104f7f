#include <algorithm>
#include <random>
#include <set>

#include "libs/resource/admin_state.h"
#include "mgmt-server/compile/test_world.h"
#include "mgmt-server/status/failover.h"
#include "mgmt-server/status/reach.h"
#include "mgmt-server/status/route.h"

// A gateway sends a path only where somebody can serve its own rule: statuses and plans judge by rule too.
namespace weir::status {
namespace {

using compile::ClusterName;
using compile::From;
using compile::kGroup;
using ::testing::HasSubstr;

const std::string kTier1 = kGroup + "/tier1gateways/a";
const std::string kTier1Rules = kGroup + "/gateways/a";
const std::string kTier2 = kGroup + "/gateways/b";

std::string To(const std::string& service) {
  return fmt::format("route {{ service_destination {{ host: 'app/{}.app.svc.cluster.local' port: 8080 }} }}", service);
}
std::string Rule(const std::string& match, const std::string& action) {
  return fmt::format("rules {{ {} {} }} ", match.empty() ? "" : "match { uri { " + match + " } }", action);
}
void PutGateway(compile::World& world, const std::string& fqn, const std::string& app, const std::string& name_space,
                const std::string& rules) {
  world.Put(
      fqn,
      From<v2::Gateway>(fmt::format(
          "metadata {{ name: 'n' }} spec {{ {} http {{ name: 's' hostname: 'x.test' port: 80 routing {{ {} }} }} }}",
          compile::Selector(name_space, app), rules)));
}
void PutService(compile::World& world, const std::string& cluster, const std::string& name) {
  world.PutService(ClusterName(cluster),
                   *From<agent::v1::Service>(fmt::format("name: '{0}' namespace: 'app' ports: 8080 "
                                                         "selector {{ key: 'app' value: '{0}' }}",
                                                         name)));
  world.PutWorkload(ClusterName(cluster), compile::Workload("app", name + "-1", name, "127.0.2.21"));
}
void SetState(compile::World& world, const std::string& cluster, const char* state) {
  world.Put(ClusterName(cluster), From<v2::Cluster>(fmt::format("spec {{ admin_state: {} }}", state)));
}

// "/a" goes to web, "/b" to basket, which c2 lacks.
compile::World TwoRules() {
  compile::World world = compile::Demo();
  PutGateway(world, kTier2, "gw2", "t2", Rule("prefix: '/a'", To("web")) + Rule("prefix: '/b'", To("basket")));
  for (const char* cluster : {"c1", "c2"}) PutService(world, cluster, "web");
  PutService(world, "c1", "basket");
  return world;
}

TEST(ByRule, APathThatNobodyServesIsNotReady) {
  compile::World world = TwoRules();
  EXPECT_EQ(ReachOf(compile::Compilation(world), kTier1, NothingReported()).unserved, 0u);
  EXPECT_EQ(ReachOf(compile::Compilation(world), kTier2, NothingReported()).unserved, 0u);
  const auto plans = PlanFailover(compile::Compilation(world), kTier1, {"", {"c1"}}, NothingReported());
  ASSERT_EQ(plans.size(), 1u) << "the worst path speaks for the route";
  EXPECT_TRUE(resource::LeavesAlone(plans[0]));
  EXPECT_THAT(plans[0].clusters(1).why_not(), HasSubstr("service is not there"));
  EXPECT_FALSE(
      resource::LeavesAlone(PlanFailover(compile::Compilation(world), kTier1, {"", {"c2"}}, NothingReported()).at(0)));
  SetState(world, "c1", "DRAINING");
  for (const std::string& fqn : {kTier1, kTier2}) {
    const Reach reach = ReachOf(compile::Compilation(world), fqn, NothingReported());
    ASSERT_GT(reach.unserved, 0u) << fqn;
    EXPECT_LT(reach.unserved, reach.routes) << fqn << ": the other path is served";
    EXPECT_EQ(reach.shortfalls[0].reason, "SERVICE_MISSING") << fqn;
    EXPECT_THAT(reach.shortfalls[0].message, testing::AnyOf(HasSubstr("basket"), HasSubstr("path /b"))) << fqn;
  }
  SetState(world, "c2", "DRAINING");
  EXPECT_EQ(ReachOf(compile::Compilation(world), kTier2, NothingReported()).unserved, 0u)
      << "where nobody sends, all of it counts";
}

struct Round {
  std::mt19937 random;
  bool Toss() { return random() % 2 == 0; }
  std::string Service() { return Toss() ? "web" : "basket"; }
  std::string Action() { return random() % 6 == 0 ? "direct_response { status: 204 }" : To(Service()); }
  compile::World World() {
    compile::World world = compile::Demo();
    std::string behind;
    for (const char* match : {"exact: '/a/x'", "prefix: '/a'", "prefix: '/b'", ""}) {
      if (Toss()) behind += Rule(match, Action());
    }
    PutGateway(world, kTier2, "gw2", "t2", behind.empty() ? Rule("", Action()) : behind);
    if (Toss()) {
      world.Remove(kTier1);
      const auto list = [&] {
        return fmt::format("route {{ cluster_destination {{ clusters {{ name: 'c{}' }} {} }} }}", Toss() ? 1 : 3,
                           "clusters { name: 'c2' }");
      };
      PutGateway(world, kTier1Rules, "gw1", "t1", Rule("prefix: '/a/'", list()) + (Toss() ? Rule("", list()) : ""));
    }
    for (const char* cluster : {"c1", "c2"}) {
      for (const char* service : {"web", "basket"}) {
        if (random() % 3 > 0) PutService(world, cluster, service);
      }
      if (random() % 4 == 0) SetState(world, cluster, "DRAINING");
    }
    return world;
  }
};

std::set<std::string> Unserved(const compile::Compilation& compilation, const std::string& tier1) {
  std::set<std::string> paths;
  PushedPieces pieces(compilation);
  for (const char* path : {"/", "/a", "/a/", "/a/x", "/a/y", "/ab", "/b", "/b/c", "/c"}) {
    AskedRequest asked;
    asked.parent = compile::kOrg;
    asked.from = tier1;
    asked.authority = asked.host = "x.test";
    asked.target = path;
    for (const v2::ExplainedRoute& item : ExplainRoute(pieces, asked, NothingReported())) {
      if (item.status() == 503) paths.insert(path);
    }
  }
  return paths;
}

// Against what `weir explain route` says of each path.
TEST(ByRule, AgreesWithWhatEachPathWouldMeet) {
  Round round{std::mt19937(29)};
  int some = 0, alone = 0;
  for (int i = 0; i < 100; ++i) {
    compile::World world = round.World();
    const std::string tier1 = world.gateway(kTier1) != nullptr ? kTier1 : kTier1Rules;
    const compile::Compilation before(world);
    const std::set<std::string> now = Unserved(before, tier1);
    const Reach reach = ReachOf(before, tier1, NothingReported());
    ASSERT_EQ(reach.unserved > 0, !now.empty()) << i << (now.empty() ? reach.shortfalls[0].message : *now.begin());
    const auto plans = PlanFailover(before, tier1, {"", {"c1"}}, NothingReported());
    SetState(world, "c1", "DRAINING");
    const std::set<std::string> then = Unserved(compile::Compilation(world), tier1);
    const bool lost = !std::includes(now.begin(), now.end(), then.begin(), then.end());
    ASSERT_EQ(std::any_of(plans.begin(), plans.end(), resource::LeavesAlone), lost) << i;
    some += now.empty() ? 0 : 1;
    alone += lost ? 1 : 0;
  }
  EXPECT_GT(some, 15);
  EXPECT_GT(alone, 15);
}

}  // namespace
}  // namespace weir::status
