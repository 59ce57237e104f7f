#include "tests/e2e/faults.h"
#include "tests/support/network.h"

// The network between programs that all live: silent, one-way, slow, lossy, flapping. In a network of the test's own,
// where every program has an address of its own.
namespace weir::e2e {
namespace {

using test::PrivateNetwork;

class NetworkFaults : public FaultTest {
 protected:
  static void SetUpTestSuite() {
    const Status entered = PrivateNetwork::Enter();
    if (!entered.ok()) {
      why_not_ = new std::string(entered.error().message);
      return;
    }
    // Connections between the T1s and c2's T2 go through a relay from the start, so that a delay needs no new ones.
    const SceneOptions options{.net = 71};
    auto relay = test::DelayRelay::Start("127.71.200.1", 15443, "127.71.3.10", 15443);
    ASSERT_TRUE(relay.ok()) << relay.error().message;
    relay_ = relay->release();
    const Status detour = PrivateNetwork::Redirect("127.71.1.0/24", "127.71.3.10", 15443, "127.71.200.1", 15443);
    ASSERT_TRUE(detour.ok()) << detour.error().message;
    const Status up = BringUp(options);
    ASSERT_TRUE(up.ok()) << up.error().message;
    edge_ = "127.71.1.0/24";
    tier2_ = scene_->Tier2(1);
  }
  static void TearDownTestSuite() {
    FaultTest::TearDownTestSuite();
    delete relay_;
    delete why_not_;
  }
  void SetUp() override {
    if (why_not_ != nullptr) GTEST_SKIP() << *why_not_;
    FaultTest::SetUp();
  }
  void TearDown() override {
    if (why_not_ == nullptr) Heal();
    FaultTest::TearDown();
  }
  static void Drop(const std::string& from, const std::string& to, uint16_t port = 0) {
    const Status dropped = PrivateNetwork::Drop(from, to, port);
    ASSERT_TRUE(dropped.ok()) << dropped.error().message;
  }
  static void Heal() {
    const Status healed = PrivateNetwork::Heal();
    ASSERT_TRUE(healed.ok()) << healed.error().message;
  }

  static std::string* why_not_;
  static test::DelayRelay* relay_;
  static std::string edge_, tier2_;
};
std::string* NetworkFaults::why_not_ = nullptr;
test::DelayRelay* NetworkFaults::relay_ = nullptr;
std::string NetworkFaults::edge_, NetworkFaults::tier2_;

TEST_F(NetworkFaults, ABlackHoleLosesNoGet) {
  Mark("black hole between the T1s and c1's T2", {.clusters = {"c1"}});
  Drop(edge_, tier2_);
  Drop(tier2_, edge_);
  ExpectOnly("c2");
  ExpectNothingLost();
  Heal();
  ExpectSharesBack();
  ExpectNothingLost();
}

TEST_F(NetworkFaults, RequestsThatVanishLoseNoGet) {
  Mark("one way: nothing from the T1s reaches c1's T2", {.clusters = {"c1"}});
  Drop(edge_, tier2_);
  ExpectOnly("c2");
  ExpectNothingLost();
  Heal();
  ExpectSharesBack();
  ExpectNothingLost();
}

TEST_F(NetworkFaults, AnswersThatVanishLoseNoGet) {
  Mark("one way: nothing from c1's T2 reaches the T1s", {.clusters = {"c1"}});
  Drop(tier2_, edge_);
  ExpectOnly("c2");
  ExpectNothingLost();
  Heal();
  ExpectSharesBack();
  ExpectNothingLost();
}

TEST_F(NetworkFaults, DelayMovesNoShareAndLossLosesNoGet) {
  ASSERT_GT(relay_->connections(), 0u);  // Else there would be nothing to delay.
  Mark("100 ms each way to c2, then 1 % of the packets to and from c1 lost too", {.clusters = {"c1"}});
  relay_->SetDelay(test::Milliseconds(100));
  traffic_->RunFor(0.5);  // c2's first answers are still on their way, c1's are counted already.
  const double steady = traffic_->Now();
  traffic_->RunFor(2);
  ExpectNothingLost();
  EXPECT_NEAR(traffic_->timeline().Between(steady).Share("c1"), 0.75, 0.02);
  EXPECT_GE(Since().slowest, 0.2);  // It was slow indeed.
  for (const auto& [from, to] : {std::pair(edge_, tier2_), std::pair(tier2_, edge_)}) {
    const Status lossy = PrivateNetwork::Lose(from, to, 1);
    ASSERT_TRUE(lossy.ok()) << lossy.error().message;
  }
  traffic_->RunFor(3);
  relay_->SetDelay(test::Milliseconds(0));
  Heal();
  ExpectNothingLost();
  // A connection attempt that loses its first packet takes longer than a connection may, which can cost the cluster a
  // short absence; most of its share stays.
  EXPECT_GT(Since().Share("c1"), 0.4);
}

TEST_F(NetworkFaults, FlappingIsHeldOut) {
  Mark("c1 unreachable for 3 s, back for half a second, and again", {.clusters = {"c1"}, .times = 2});
  for (int i = 0; i < 2; ++i) {
    Drop(edge_, tier2_);
    Drop(tier2_, edge_);
    traffic_->RunFor(3);
    Heal();
    traffic_->RunFor(0.5);
  }
  ExpectNothingLost();
  // After the first judgement it must not return in the short pauses, for it has to prove itself three times.
  const test::Span later = traffic_->timeline().Between(mark_ + kSlowest, traffic_->Now());
  EXPECT_LT(later.Share("c1"), 0.05) << later.ToString();
  ExpectSharesBack();
  ExpectNothingLost();
}

TEST_F(NetworkFaults, AnAgentCutFromItsServerChangesNothingAndCatchesUp) {
  const std::string agent = "127.71.1.2";
  Mark("the edge agent cut from the server");
  const auto before = scene_->Served(1, "ClusterLoadAssignment");
  // Both ends of its connections: the agent dials from whatever address, so it is the port that tells them.
  Drop("127.0.0.0/8", scene_->Server(), 9444);
  Drop(scene_->Server(), "127.0.0.0/8", 9444);
  const auto applied = fleet().WeirOk({"apply", "-f", "-"}, scene_->Tier1Yaml({60, 40}));
  ASSERT_TRUE(applied.ok()) << applied.error().message;
  traffic_->RunFor(2);
  EXPECT_EQ(scene_->Served(1, "ClusterLoadAssignment"), before);
  EXPECT_NEAR(Since().Share("c1"), 0.75, 0.02);
  Heal();
  const Status caught = test::WaitUntil("the new weights", test::Milliseconds(20'000), nullptr,
                                        [&] { return scene_->Served(1, "ClusterLoadAssignment") != before; });
  EXPECT_TRUE(caught.ok()) << caught.error().message;
  const Status restored = scene_->SetWeights({75, 25});
  EXPECT_TRUE(restored.ok()) << restored.error().message;
  ExpectNothingLost();
}

TEST_F(NetworkFaults, GatewaysCutFromTheirAgentGoOnAndCatchUp) {
  const std::string agent = "127.71.1.2";
  Mark("the T1s cut from their agent");
  const auto before = scene_->Served(1, "ClusterLoadAssignment");
  Drop("127.0.0.0/8", agent, 15012);
  Drop(agent, "127.0.0.0/8", 15012);
  const auto applied = fleet().WeirOk({"apply", "-f", "-"}, scene_->Tier1Yaml({60, 40}));
  ASSERT_TRUE(applied.ok()) << applied.error().message;
  traffic_->RunFor(2);
  EXPECT_EQ(scene_->Served(1, "ClusterLoadAssignment"), before);
  Heal();
  const Status caught = test::WaitUntil("the new weights", test::Milliseconds(20'000), nullptr,
                                        [&] { return scene_->Served(1, "ClusterLoadAssignment") != before; });
  EXPECT_TRUE(caught.ok()) << caught.error().message;
  const Status restored = scene_->SetWeights({75, 25});
  EXPECT_TRUE(restored.ok()) << restored.error().message;
  ExpectNothingLost();
}

}  // namespace
}  // namespace weir::e2e
