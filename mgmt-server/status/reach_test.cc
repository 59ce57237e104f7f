#include "mgmt-server/status/reach.h"

#include <functional>

#include "api/weir/agent/v1/traffic.pb.h"
#include "mgmt-server/compile/test_world.h"
#include "mgmt-server/status/failover.h"
#include "mgmt-server/status/judgement.h"

namespace weir::status {
namespace {

using compile::ClusterName;
using compile::From;
using compile::kGroup;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const std::string kTier1 = kGroup + "/tier1gateways/a";
const std::string kTier2 = kGroup + "/gateways/b";

class Reported : public ReportedHealth {
 public:
  const agent::v1::ClusterHealth* Find(const std::string&, const std::string& workload, const std::string&,
                                       const std::string& target) const override {
    const auto found = said.find({workload, target});
    return found == said.end() ? nullptr : &found->second;
  }
  void Say(const std::string& workload, const std::string& target, const std::string& reason) {
    auto& health = said[{workload, target}];
    health.set_can_serve(reason.empty());
    health.set_reason(reason);
  }
  std::map<std::pair<std::string, std::string>, agent::v1::ClusterHealth> said;
};

// The demo with its services.
compile::World Whole() {
  compile::World world = compile::Demo();
  for (const char* cluster : {"c1", "c2"}) {
    world.PutService(ClusterName(cluster), *From<agent::v1::Service>("name: 'web' namespace: 'app' ports: 8080 "
                                                                     "selector { key: 'app' value: 'web' }"));
    world.PutWorkload(ClusterName(cluster), compile::Workload("app", "web-1", "web", "127.0.2.21"));
  }
  return world;
}
Reach Of(const compile::World& world, const std::string& fqn, const ReportedHealth& health = Reported()) {
  return ReachOf(compile::Compilation(world), fqn, health);
}
void Drain(compile::World& world, const char* cluster) {
  world.Put(ClusterName(cluster), From<v2::Cluster>("spec { admin_state: DRAINING }"));
}

TEST(Reach, IsWholeWhereEveryRuleIsServed) {
  const compile::World world = Whole();
  for (const std::string& fqn : {kTier1, kTier2}) {
    const Reach reach = Of(world, fqn);
    EXPECT_GT(reach.routes, 0u) << fqn;
    EXPECT_EQ(reach.unserved, 0u) << fqn << (reach.shortfalls.empty() ? "" : reach.shortfalls[0].message);
  }
}

compile::World After(const std::function<void(compile::World&)>& spoil) {
  compile::World world = Whole();
  spoil(world);
  return world;
}

// `weir explain failover` says the same word as the status.
void ExpectExplained(const compile::World& world, const std::string& reason, const char* what) {
  for (const v2::FailoverPlan& plan : PlanFailover(compile::Compilation(world), {kTier1, "", {}}, Reported())) {
    EXPECT_EQ(plan.nobody(), reason) << what;
    EXPECT_EQ(plan.served_now(), reason.empty()) << what;
  }
}

TEST(Reach, NamesWhatIsMissing) {
  using Spoil = std::function<void(compile::World&)>;
  const auto both = [](auto change) {
    return [change](compile::World& world) {
      for (const char* cluster : {"c1", "c2"}) change(world, ClusterName(cluster));
    };
  };
  const struct {
    const char* what;
    Spoil spoil;
    std::string tier1, tier2;  // Reasons; "" = served.
  } cases[] = {
      {"no service anywhere", both([](auto& world, const auto& c) { world.RemoveService(c, "app/web"); }),
       "SERVICE_MISSING", "SERVICE_MISSING"},
      {"a service in one cluster only", [](auto& world) { world.RemoveService(ClusterName("c1"), "app/web"); }, "", ""},
      {"a port that it lacks", both([](auto& world, const auto& c) {
         world.PutService(c, *From<agent::v1::Service>("name: 'web' namespace: 'app' ports: 80 "
                                                       "selector { key: 'app' value: 'web' }"));
       }),
       "PORT_MISSING", "PORT_MISSING"},
      {"scaled to nothing", both([](auto& world, const auto& c) { world.RemoveWorkload(c, "app/web-1"); }),
       "NO_ENDPOINT", "NO_ENDPOINT"},
      {"a host that no tier 2 serves", [](auto& world) { world.Remove(kTier2); }, "NO_RECEIVER", ""},
      {"one cluster drained", [](auto& world) { Drain(world, "c1"); }, "", ""},
      {"all drained",
       [](auto& world) {
         Drain(world, "c1");
         Drain(world, "c2");
       },
       "ALL_DRAINED", ""},
      {"one drained, the other without its service",
       [](auto& world) {
         Drain(world, "c1");
         world.RemoveService(ClusterName("c2"), "app/web");
       },
       "SERVICE_MISSING", ""},
  };
  for (const auto& c : cases) {
    const compile::World world = After(c.spoil);
    for (const auto& [fqn, reason] : {std::pair(kTier1, c.tier1), std::pair(kTier2, c.tier2)}) {
      const Reach reach = Of(world, fqn);
      ASSERT_EQ(reach.unserved > 0, !reason.empty()) << c.what << " " << fqn;
      if (reason.empty()) continue;
      EXPECT_EQ(reach.shortfalls[0].reason, reason) << c.what << " " << fqn << ": " << reach.shortfalls[0].message;
      EXPECT_THAT(reach.shortfalls[0].message, HasSubstr("x.test")) << c.what;
    }
    ExpectExplained(world, c.tier1, c.what);
  }
}

TEST(Reach, BelievesTheGatewaysInWhatTheySayOfTheClusters) {
  const compile::World world = Whole();
  Reported health;
  health.Say("t1/gw-a", "c1", "gateways_down");
  EXPECT_EQ(Of(world, kTier1, health).unserved, 0u) << "the other cluster serves";
  health.Say("t1/gw-a", "c2", "held");
  EXPECT_EQ(Of(world, kTier1, health).unserved, 0u) << "who is held serves when nobody else is there";
  health.Say("t1/gw-a", "c2", "no_endpoint");
  const Reach reach = Of(world, kTier1, health);
  EXPECT_EQ(reach.unserved, 1u) << "at this one of its two gateways";
  EXPECT_EQ(reach.routes, 2u);
  EXPECT_THAT(reach.shortfalls[0].message, HasSubstr("c1: none of its tier-2 gateways answers"));
}

TEST(Reach, ExplainsThatAllAreAskedWhileNobodyCanServe) {
  compile::World world = Whole();
  world.Put(kTier1, compile::Tier1("x.test", std::string(compile::k7525) + " failover_settings { panic: true }"));
  Reported health;
  for (const char* gateway : {"t1/gw-a", "t1/gw-b"}) {
    health.Say(gateway, "c1", "no_endpoint");
    health.Say(gateway, "c2", "no_endpoint");
  }
  const auto plans = PlanFailover(compile::Compilation(world), {kTier1, "", {}}, health);
  ASSERT_EQ(plans.size(), 1u);
  EXPECT_TRUE(plans[0].panic_now());
  EXPECT_TRUE(plans[0].panic_then());
  EXPECT_EQ(plans[0].clusters(0).now(), 0.75);
  EXPECT_FALSE(plans[0].served_now()) << "asked is not served";
  EXPECT_EQ(plans[0].nobody(), "NO_ENDPOINT");
  const auto without = PlanFailover(compile::Compilation(world), {kTier1, "", {"c1", "c2"}}, health);
  ASSERT_EQ(without.size(), 1u);
  EXPECT_FALSE(without[0].panic_then()) << "nobody is there to ask";
}

TEST(Judgement, ReadyMeansThatARequestIsAnswered) {
  v2::ResourceStatus status;
  status.set_state(v2::ResourceStatus::READY);
  AddReach({2, 0, {}}, status);
  EXPECT_EQ(status.state(), v2::ResourceStatus::READY);
  AddReach({2, 1, {{"NO_RECEIVER", "nobody"}}}, status);
  EXPECT_EQ(status.state(), v2::ResourceStatus::PARTIAL);
  EXPECT_EQ(status.reason(), "NO_RECEIVER");
  EXPECT_TRUE(LacksSomething(status));
  AddReach({2, 2, {{"ALL_DRAINED", "nobody"}}}, status);
  EXPECT_EQ(status.reason(), "NO_RECEIVER") << "what was not READY before stays";
}

TEST(Judgement, TellsOfAClusterWhatItsAgentDoes) {
  const auto judge = [](const ClusterLine& line) {
    v2::ResourceStatus status;
    status.set_fqn("organizations/o/clusters/c1");
    status.set_state(v2::ResourceStatus::READY);
    JudgeCluster(line, status);
    return status;
  };
  ClusterLine line;
  EXPECT_EQ(judge(line).reason(), "NEVER_JOINED");
  EXPECT_EQ(judge(line).state(), v2::ResourceStatus::ACCEPTED);
  EXPECT_THAT(judge(line).message(), HasSubstr("weir cluster token c1"));
  line.ever_connected = true;
  line.last_seen = WallTime(std::chrono::seconds(1'700'000'000));
  EXPECT_EQ(judge(line).reason(), "DISCONNECTED");
  EXPECT_THAT(judge(line).message(), HasSubstr("2023-11-14T22:13:20"));
  line.leaf_lifetime = std::chrono::hours(10);
  line.now = line.last_seen + std::chrono::minutes(119);
  EXPECT_THAT(judge(line).message(), Not(HasSubstr("certificates")));
  line.now = line.last_seen + std::chrono::minutes(121);
  EXPECT_THAT(judge(line).message(), HasSubstr("certificates of its gateways run out from 2023-11-15T02:13:20"));
  line.now = line.last_seen + std::chrono::minutes(241);
  EXPECT_THAT(judge(line).message(), HasSubstr("ran out"));
  line.draining = true;
  EXPECT_EQ(judge(line).reason(), "DISCONNECTED");
  EXPECT_THAT(judge(line).message(), HasSubstr("it is draining"));
  line.connected = true;
  EXPECT_EQ(judge(line).reason(), "DRAINING");
  EXPECT_EQ(judge(line).state(), v2::ResourceStatus::READY);
  line.problems.emplace_back().set_source("discovery");
  EXPECT_EQ(judge(line).reason(), "AGENT_PROBLEM");
  line.problems.clear();
  line.draining = false;
  EXPECT_THAT(judge(line).reason(), IsEmpty());
  line.duplicate = {"ipv4:10.0.0.7:99", line.last_seen};
  EXPECT_EQ(judge(line).reason(), "DUPLICATE_AGENT");
  EXPECT_NE(judge(line).state(), v2::ResourceStatus::READY);
  EXPECT_THAT(judge(line).message(), HasSubstr("10.0.0.7"));
}

}  // namespace
}  // namespace weir::status
