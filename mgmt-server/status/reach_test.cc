#include "mgmt-server/status/reach.h"

#include <functional>

#include "mgmt-server/status/failover.h"
#include "mgmt-server/status/judgement.h"
#include "mgmt-server/status/test_health.h"

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
  for (const v2::FailoverPlan& plan : PlanFailover(compile::Compilation(world), kTier1, {"", {}}, Reported())) {
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
       "SERVICE_MISSING", "SERVICE_MISSING"},
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

TEST(Reach, ADrainGoesBeforeARevocation) {
  compile::World world = Whole();
  Drain(world, "c1");
  Reported health;
  health.revoked = ClusterName("c1");
  const auto plans = PlanFailover(compile::Compilation(world), kTier1, {"", {"c2"}}, health);
  ASSERT_EQ(plans.size(), 1u);
  EXPECT_THAT(plans[0].clusters(0).why_not(), HasSubstr("drained")) << "that ends first by `weir cluster activate`";
}

TEST(Reach, OfAClusterThatWasRevokedSaysSo) {
  const compile::World world = Whole();
  Reported health;
  health.revoked = ClusterName("c1");
  EXPECT_EQ(Of(world, kTier1, health).unserved, 0u) << "a gateway that still reaches it";
  for (const char* gateway : {"t1/gw-a", "t1/gw-b"}) health.Say(gateway, "c1", "gateways_down");
  const auto plans = PlanFailover(compile::Compilation(world), kTier1, {"", {"c2"}}, health);
  ASSERT_EQ(plans.size(), 1u);
  EXPECT_THAT(plans[0].clusters(0).why_not(), HasSubstr("the membership of c1 was revoked"));
  EXPECT_FALSE(plans[0].served_then());
  for (const char* gateway : {"t1/gw-a", "t1/gw-b"}) health.Say(gateway, "c2", "gateways_down");
  EXPECT_THAT(Of(world, kTier1, health).shortfalls[0].message,
              AllOf(HasSubstr("weir cluster rejoin c1"), HasSubstr("c2: none of its tier-2 gateways answers")));
}

const std::string kT2 = "t2/gw";  // In c1 and in c2.

// Everybody reports, and everybody is well.
Reported AllWell() {
  Reported health;
  health.voice = Voice::kHeard;
  for (const char* cluster : {"c1", "c2"}) {
    for (const char* gateway : {"t1/gw-a", "t1/gw-b", kT2.c_str()}) health.Say(gateway, cluster, "");
  }
  return health;
}
std::string FirstReason(const Reach& reach) { return reach.shortfalls.empty() ? "" : reach.shortfalls[0].reason; }

TEST(Reach, WhatWasNeverFoundOutIsNotServedYet) {
  const compile::World world = Whole();
  Reported health = AllWell();
  for (const std::string& fqn : {kTier1, kTier2}) EXPECT_EQ(Of(world, fqn, health).unserved, 0u) << fqn;

  health.said.erase({"t1/gw-a", "c1"});
  EXPECT_EQ(Of(world, kTier1, health).unserved, 0u) << "the other cluster is known to serve";
  health.Say("t1/gw-a", "c2", "", true);
  Reach reach = Of(world, kTier1, health);
  EXPECT_EQ(reach.unserved, 1u);
  EXPECT_EQ(FirstReason(reach), "WAITING_FOR_HEALTH");
  EXPECT_THAT(reach.shortfalls[0].message, HasSubstr("x.test"));
  health.voice = Voice::kMute;
  health.said.clear();
  EXPECT_EQ(Of(world, kTier1, health).unserved, 0u) << "a stock Envoy never says: what is pushed counts";
  health.voice = Voice::kNotYet;
  EXPECT_EQ(FirstReason(Of(world, kTier1, health)), "WAITING_FOR_HEALTH");
  EXPECT_EQ(FirstReason(Of(world, kTier2, health)), "WAITING_FOR_HEALTH");
}

TEST(Reach, ATier2HostIsServedByWhoItsGatewaysFindWell) {
  const compile::World world = Whole();
  Reported health = AllWell();
  health.Say(kT2, "c1", "no_endpoint");
  EXPECT_EQ(Of(world, kTier2, health).unserved, 0u) << "c2 serves";
  health.Say(kT2, "c2", "no_endpoint");
  Reach reach = Of(world, kTier2, health);
  EXPECT_EQ(FirstReason(reach), "NO_ENDPOINT");
  EXPECT_EQ(reach.unserved, reach.routes);
  EXPECT_THAT(reach.shortfalls[0].message, HasSubstr("c1: nobody behind its tier-2 gateways"));
  EXPECT_EQ(FirstReason(Of(world, kTier1, health)), "NO_ENDPOINT") << "the tier 1 has not heard of it yet";
  health.Say(kT2, "c2", "", true);
  EXPECT_EQ(FirstReason(Of(world, kTier2, health)), "WAITING_FOR_HEALTH");
  EXPECT_EQ(FirstReason(Of(world, kTier1, health)), "WAITING_FOR_HEALTH")
      << "a tier 1 takes a host for served that its tier 2 does not know yet";

  health.voices[kT2] = Voice::kAway;
  reach = Of(world, kTier2, health);
  EXPECT_EQ(FirstReason(reach), "DISCONNECTED");
  EXPECT_THAT(reach.shortfalls[0].message, HasSubstr("x.test"));
  EXPECT_EQ(Of(world, kTier1, health).unserved, 0u) << "the tier 1 knows of it itself";
}

TEST(Reach, AGatewayThatNobodyHearsHidesNothing) {
  const compile::World world = Whole();
  Reported health = AllWell();
  for (const char* cluster : {"c1", "c2"}) health.Say("t1/gw-a", cluster, "gateways_down");
  health.voices["t1/gw-b"] = Voice::kAway;
  const Reach reach = Of(world, kTier1, health);
  EXPECT_EQ(reach.unserved, reach.routes) << "of all that anybody hears nothing is served";
  v2::ResourceStatus status;
  status.set_state(v2::ResourceStatus::PARTIAL);
  status.set_reason("DISCONNECTED");
  status.set_message("1 of 2 gateways serve it");
  AddReach(reach, status);
  EXPECT_EQ(status.state(), v2::ResourceStatus::ACCEPTED);
  EXPECT_EQ(status.reason(), "GATEWAYS_DOWN");
  EXPECT_THAT(status.message(), HasSubstr("nobody serves x.test"));
  EXPECT_THAT(status.message(), HasSubstr("1 of 2 gateways serve it"));
}

TEST(Reach, FailoverSaysWhoIsInDoubt) {
  const compile::World world = Whole();
  const auto doubt = [&](const Reported& health, std::set<std::string> without) {
    const auto plans = PlanFailover(compile::Compilation(world), kTier1, {"", std::move(without)}, health);
    return plans.empty() ? "no plan" : plans[0].doubt();
  };
  Reported health = AllWell();
  EXPECT_EQ(doubt(health, {"c1"}), "");
  for (const char* gateway : {"t1/gw-a", "t1/gw-b"}) health.Say(gateway, "c2", "", true);
  EXPECT_EQ(doubt(health, {"c2"}), "");
  EXPECT_THAT(doubt(health, {"c1"}), HasSubstr("not found out yet")) << "who would be left is not known to serve";
  for (const char* gateway : {"t1/gw-a", "t1/gw-b"}) health.Say(gateway, "c1", "", true);
  EXPECT_EQ(doubt(health, {"c1"}), "") << "of a new host nothing is known, now or then";
  const std::pair<Voice, const char*> voices[] = {{Voice::kNotYet, "not reported yet"},
                                                  {Voice::kAway, "not connected to their agent"},
                                                  {Voice::kAgentAway, "the agent of edge is not connected"},
                                                  {Voice::kAstray, "does not follow this server's state"}};
  for (const auto& [voice, words] : voices) {
    health = AllWell();
    health.voice = voice;
    EXPECT_THAT(doubt(health, {"c1"}), HasSubstr(words));
  }
}

TEST(Reach, ExplainsThatAllAreAskedWhileNobodyCanServe) {
  compile::World world = Whole();
  world.Put(kTier1, compile::Tier1("x.test", std::string(compile::k7525) + " failover_settings { panic: true }"));
  Reported health;
  for (const char* gateway : {"t1/gw-a", "t1/gw-b"}) {
    health.Say(gateway, "c1", "no_endpoint");
    health.Say(gateway, "c2", "no_endpoint");
  }
  const auto plans = PlanFailover(compile::Compilation(world), kTier1, {"", {}}, health);
  ASSERT_EQ(plans.size(), 1u);
  EXPECT_TRUE(plans[0].panic_now());
  EXPECT_TRUE(plans[0].panic_then());
  EXPECT_EQ(plans[0].clusters(0).now(), 0.75);
  EXPECT_FALSE(plans[0].served_now()) << "asked is not served";
  EXPECT_EQ(plans[0].nobody(), "NO_ENDPOINT");
  const auto without = PlanFailover(compile::Compilation(world), kTier1, {"", {"c1", "c2"}}, health);
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
  line.admin_state = v2::DRAINING;
  EXPECT_EQ(judge(line).reason(), "DISCONNECTED");
  EXPECT_THAT(judge(line).message(), HasSubstr("it is draining"));
  line.connected = true;
  EXPECT_EQ(judge(line).reason(), "DRAINING");
  EXPECT_EQ(judge(line).state(), v2::ResourceStatus::READY);
  line.problems.emplace_back().set_source("discovery");
  EXPECT_EQ(judge(line).reason(), "AGENT_PROBLEM");
  line.problems.clear();
  line.admin_state = v2::ACTIVE;
  EXPECT_THAT(judge(line).reason(), IsEmpty());
  line.duplicate = {"ipv4:10.0.0.7:99", line.last_seen};
  EXPECT_EQ(judge(line).reason(), "DUPLICATE_AGENT");
  EXPECT_NE(judge(line).state(), v2::ResourceStatus::READY);
  EXPECT_THAT(judge(line).message(), HasSubstr("10.0.0.7"));
}

TEST(Judgement, TellsOfAStateThatGoesOnBeyondItsEnd) {
  ClusterLine line;
  line.ever_connected = line.connected = true;
  line.overdue = v2::DRAINING;
  v2::ResourceStatus status;
  status.set_fqn("organizations/o/clusters/c1");
  JudgeCluster(line, status);
  EXPECT_EQ(status.reason(), "ADMIN_STATE_OVERDUE");
  EXPECT_EQ(status.state(), v2::ResourceStatus::READY);
  EXPECT_THAT(status.message(), HasSubstr("`weir cluster drain c1 --force`"));
}

// Who is away on purpose is no fault, unless something else is wrong with it.
TEST(Judgement, AClusterInMaintenanceMayBeAway) {
  ClusterLine line;
  line.ever_connected = true;
  line.last_seen = WallTime(std::chrono::seconds(1'700'000'000));
  for (const auto state : {v2::DRAINING, v2::MAINTENANCE}) {
    line.admin_state = state;
    v2::ResourceStatus status;
    JudgeCluster(line, status);
    EXPECT_EQ(status.reason(), state == v2::MAINTENANCE ? "MAINTENANCE" : "DISCONNECTED");
    EXPECT_EQ(status.state(), state == v2::MAINTENANCE ? v2::ResourceStatus::READY : v2::ResourceStatus::PARTIAL);
    EXPECT_THAT(status.message(), HasSubstr("2023-11-14T22:13:20"));
  }
  line.conflict = "it acknowledged another state";
  v2::ResourceStatus status;
  JudgeCluster(line, status);
  EXPECT_EQ(status.state(), v2::ResourceStatus::PARTIAL);
  EXPECT_THAT(status.message(), HasSubstr("it is in maintenance"));
  line = {};
  line.ever_connected = line.connected = true;
  line.admin_state = v2::STANDBY;
  JudgeCluster(line, status = {});
  EXPECT_EQ(status.reason(), "STANDBY");
}

TEST(Judgement, ARevokedClusterIsToldHowToReturn) {
  ClusterLine line;
  line.ever_connected = line.revoked = true;
  line.admin_state = v2::DRAINING;
  v2::ResourceStatus status;
  status.set_fqn("organizations/o/clusters/c1");
  JudgeCluster(line, status);
  EXPECT_EQ(status.reason(), "REVOKED");
  EXPECT_THAT(status.message(), HasSubstr("weir cluster rejoin c1"));
  EXPECT_THAT(status.message(), HasSubstr("it is draining"));
}

}  // namespace
}  // namespace weir::status
