#include <gtest/gtest.h>

#include "tests/e2e/doors.h"

// A link that is down shows within 10 s; one that is open but dead (its other end stopped) is found within 15 s and
// stands again soon after that end lives, on both hops.
namespace weir::e2e {
namespace {

using test::Milliseconds;

constexpr Milliseconds kShown{10'000};
constexpr Milliseconds kFound{15'000};

class LinkState : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    scene_ = new Scene({.net = 61, .tier1s = 1, .clusters = 2, .workers = 1});
    const Status up = scene_->BringUp();
    ASSERT_TRUE(up.ok()) << up.error().message;
  }
  static void TearDownTestSuite() {
    delete scene_;
    scene_ = nullptr;
  }
  void SetUp() override { ASSERT_FALSE(testing::Test::HasFatalFailure()); }

  static test::Process* Program(const std::string& name) { return scene_->fleet().Find(name); }
  static void Expect(const std::string& what, Milliseconds within, const std::function<bool()>& done) {
    const Status seen = test::WaitUntil(what, within, nullptr, done);
    EXPECT_TRUE(seen.ok()) << seen.error().message;
  }
  static bool AgentSeesServer(const std::string& cluster) {
    return AgentMetric(*scene_, cluster, "weir_agent_server_connected") == 1.0;
  }
  static bool GatewaySeesAgent(const std::string& address) {
    return GatewayMetric(address, "weir_gateway_connected") == 1.0;
  }
  static double Streams(const std::string& cluster) {
    return AgentMetric(*scene_, cluster, "weir_agent_data_plane_streams").value_or(-1);
  }
  static void ExpectServed() {
    const auto load = scene_->Drive(20);
    EXPECT_EQ(load.failed, 0u) << load.first_error;
  }

  static Scene* scene_;
};
Scene* LinkState::scene_ = nullptr;

TEST_F(LinkState, AStoppedAgentIsFoundFromAboveAndFromBelow) {
  ASSERT_TRUE(ServerSeesAgent(*scene_, "c1"));
  ASSERT_TRUE(GatewaySeesAgent(scene_->Tier2(1)));
  Program("agent/c1")->Freeze();
  Program("gateway/c2/shop/pod-1")->Freeze();  // At the same time: a stopped gateway, found by its agent.
  Expect("the gateway to miss its agent", kFound, [] { return !GatewaySeesAgent(scene_->Tier2(1)); });
  Expect("the server to miss the agent", Milliseconds(3'000), [] { return !ServerSeesAgent(*scene_, "c1"); });
  Expect("the agent to miss its gateway", Milliseconds(3'000), [] { return Streams("c2") == 1; });
  Program("agent/c1")->Thaw();
  Program("gateway/c2/shop/pod-1")->Thaw();
  Expect("the gateway to be back", kFound, [] { return GatewaySeesAgent(scene_->Tier2(1)); });
  Expect("the agent to be back", kFound, [] { return ServerSeesAgent(*scene_, "c1"); });
  Expect("the gateway's stream to be back", kFound, [] { return Streams("c2") == 2; });
  ExpectServed();
}

TEST_F(LinkState, AStoppedServerIsFoundByItsAgents) {
  Program("server")->Freeze();
  for (const char* cluster : {"edge", "c1", "c2"}) {
    Expect(fmt::format("{} to miss the server", cluster), kFound, [&] { return !AgentSeesServer(cluster); });
  }
  ExpectServed();
  Program("server")->Thaw();
  for (const char* cluster : {"edge", "c1", "c2"}) {
    Expect(fmt::format("{} to have the server back", cluster), kFound, [&] { return AgentSeesServer(cluster); });
  }
  const Status ready = scene_->WaitState("READY");
  ASSERT_TRUE(ready.ok()) << ready.error().message;
}

TEST_F(LinkState, ADeadAgentShowsOnBothSides) {
  Program("agent/c1")->Kill();
  Expect("the gateway to miss its agent", kShown, [] { return !GatewaySeesAgent(scene_->Tier2(1)); });
  Expect("the server to miss the agent", kShown, [] { return !ServerSeesAgent(*scene_, "c1"); });
  ExpectServed();
  ASSERT_TRUE(scene_->fleet().Restart("agent/c1").ok());
  Expect("the gateway to be back", kFound, [] { return GatewaySeesAgent(scene_->Tier2(1)); });
  Expect("the agent to be back", kFound, [] { return ServerSeesAgent(*scene_, "c1"); });
}

}  // namespace
}  // namespace weir::e2e
