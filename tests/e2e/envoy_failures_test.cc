#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/e2e/doors.h"
#include "tests/e2e/faults.h"

// The same faults seen through our T1 and through a stock Envoy in its place; cluster c1 (75 %) is stock Envoy from its
// T2 to its pods. What differs stands in docs/operating/differences.md.
namespace weir::e2e {
namespace {

using test::Milliseconds;

class EnvoyFailures : public testing::Test {
 protected:
  static constexpr unsigned kOurs = 1, kStock = 2;  // T1s.

  static void SetUpTestSuite() {
    if (access(EnvoyBinary().c_str(), X_OK) != 0) return;
    SceneOptions options{.net = 78, .pods = 2, .workers = 1};
    options.agent_flags = {"--minimum-hold", "1s", "--slow-return", "2s"};
    options.programs = {{"edge/t1-2", "envoy"}, {"c1/t2", "envoy"}, {"c1/pod-1", "envoy"}, {"c1/pod-2", "envoy"}};
    scene_ = new Scene(std::move(options));
    Status up = scene_->BringUp();
    if (up.ok()) up = scene_->SetWeights({75, 25});
    if (up.ok()) up = AddOrders(*scene_);
    ASSERT_TRUE(up.ok()) << up.error().message;
  }
  static void TearDownTestSuite() {
    delete scene_;
    scene_ = nullptr;
  }

  void SetUp() override {
    if (scene_ == nullptr)
      GTEST_SKIP() << "there is no stock Envoy in " << EnvoyBinary() << "; scripts/envoy fetches it, or says why not";
    for (const unsigned tier1 : {kOurs, kStock}) {
      test::LoadOptions load = scene_->Load(0);
      load.targets = {{scene_->Tier1(tier1), kPort}};
      load.rate = kRate / 2;
      load.connections = 32;
      // Envoy breaks off what is open to an endpoint that fails its checks for tcp_proxy only: what waits for a frozen
      // one on a connection that stands waits until its caller has had enough.
      load.timeout = tier1 == kStock ? Milliseconds(static_cast<int>(kSlowest * 1000)) : Milliseconds(20'000);
      traffic_[tier1] = std::make_unique<test::Traffic>(std::move(load));
    }
    ExpectShares({{"c1", 0.75}, {"c2", 0.25}}, 0.05, kBack);
    for (const unsigned tier1 : {kOurs, kStock}) {
      posts_[tier1] = std::make_unique<Posts>(*scene_, std::vector<test::Target>{{scene_->Tier1(tier1), kPort}});
    }
  }
  void TearDown() override {
    // Envoy repeats what may be repeated twice, and says 503 of what its checks do not know yet.
    for (auto& [tier1, posts] : posts_) {
      const PostVerdict verdict = posts->Judge(
          {.failed = 2 * Posts::Connections(), .nobody = nobody_ || tier1 == kStock, .stock = tier1 == kStock});
      fmt::print("  through {}: {}\n", tier1 == kOurs ? "our T1" : "Envoy", verdict.ToString());
      EXPECT_EQ(verdict.wrong, "") << "T1 " << tier1;
    }
    posts_.clear();
    for (auto& [tier1, traffic] : traffic_) {
      traffic->Stop();
      fmt::print("  {} through {}: {}\n", what_, tier1 == kOurs ? "our T1" : "Envoy", Since(tier1).ToString());
    }
    traffic_.clear();
  }

  void Mark(const std::string& what) {
    what_ = what;
    for (auto& [tier1, traffic] : traffic_) mark_[tier1] = traffic->Now();
  }
  test::Span Since(unsigned tier1) const { return traffic_.at(tier1)->timeline().Between(mark_.at(tier1)); }

  // Both T1s deliver these shares for a second, within `seconds` from now.
  void ExpectShares(const std::map<std::string, double>& shares, double tolerance, double seconds) {
    for (auto& [tier1, traffic] : traffic_) {
      const double from = traffic->Now();
      const Status reached = test::WaitUntil(
          "shares", Milliseconds(static_cast<int>((seconds + 1) * 1000)), nullptr,
          [&] { return traffic->timeline().SharesReached(shares, from, tolerance, 1.0, 20).has_value(); });
      EXPECT_TRUE(reached.ok()) << "T1 " << tier1 << ": " << traffic->timeline().Between(from).ToString() << "\n"
                                << (reached.ok() || tier1 != kStock ? "" : WhatEnvoyKnows());
    }
  }
  // Of each endpoint: its health, what is on its way to it, how its checks went.
  static std::string WhatEnvoyKnows() {
    const std::string address = scene_->Tier1(kStock);
    return GatewaySays(address, "/clusters") + GatewaySays(address, "/stats?usedonly&filter=health_check");
  }
  // c2 alone serves, without a failure, from `seconds` after the fault on.
  void ExpectMoved(double seconds) {
    ExpectShares({{"c2", 1.0}}, 0, seconds);
    for (auto& [tier1, traffic] : traffic_) {
      const auto last = traffic->timeline().LastFailure(mark_[tier1]);
      EXPECT_LE(last.value_or(mark_[tier1]) - mark_[tier1], seconds)
          << "T1 " << tier1 << ": " << Since(tier1).ToString();
    }
  }
  void ExpectFailedAtMost(unsigned tier1, uint64_t most) {
    EXPECT_LE(Since(tier1).failed, most) << "T1 " << tier1 << ": " << Since(tier1).ToString();
  }
  void Kill(const std::vector<std::string>& names) {
    for (const std::string& name : names) scene_->fleet().Find(name)->Kill();
  }
  void Restart(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      const Status started = scene_->fleet().Restart(name);
      ASSERT_TRUE(started.ok()) << started.error().message;
    }
    ExpectShares({{"c1", 0.75}, {"c2", 0.25}}, 0.05, kBack);
  }

  static Scene* scene_;
  std::map<unsigned, std::unique_ptr<test::Traffic>> traffic_;
  std::map<unsigned, std::unique_ptr<Posts>> posts_;
  std::map<unsigned, double> mark_;
  bool nobody_ = false;  // For a time nobody can serve.
  std::string what_ = "before any fault";
};
Scene* EnvoyFailures::scene_ = nullptr;

const char kTier2[] = "gateway/c1/shop/t2", kOtherTier2[] = "gateway/c2/shop/t2";

TEST_F(EnvoyFailures, AKilledTier2IsLeftAtOnce) {
  Mark("T2 killed");
  Kill({kTier2});
  ExpectMoved(kSlowest);
  ExpectFailedAtMost(kOurs, 0);
  ExpectFailedAtMost(kStock, 5);
  Restart({kTier2});
}

TEST_F(EnvoyFailures, AClusterWithoutAppsIsLeft) {
  Mark("all apps of c1 killed");
  nobody_ = true;  // Until the checks say it, what the stock proxies answer is repeated within the budget.
  Kill({"app/c1/shop/pod-1", "app/c1/shop/pod-2"});
  ExpectMoved(2 * kSlowest);
  ExpectFailedAtMost(kOurs, 5);  // The stock proxies say that they reached nobody; some were on their way (budget).
  Restart({"app/c1/shop/pod-1", "app/c1/shop/pod-2"});
}

TEST_F(EnvoyFailures, AFrozenTier2IsLeftWhenItsChecksFail) {
  // All of them at once, so that each caller below waits on a connection of its T1 that stands.
  for (const unsigned tier1 : {kOurs, kStock}) {
    test::LoadOptions load = scene_->Load(192);
    load.targets = {{scene_->Tier1(tier1), kPort}};
    load.path = "/?delay=100";
    load.connections = 64;
    EXPECT_EQ(test::RunLoad(load).failed, 0u);
  }
  Mark("T2 frozen");
  scene_->fleet().Find(kTier2)->Freeze();
  ExpectShares({{"c2", 1.0}}, 0, 2 * kSlowest);
  scene_->fleet().Find(kTier2)->Thaw();
  ExpectShares({{"c1", 0.75}, {"c2", 0.25}}, 0.05, kBack);
  ExpectFailedAtMost(kOurs, 0);
}

TEST_F(EnvoyFailures, WhenNobodyCanServeBothSayWhy) {
  Mark("both T2s killed");
  nobody_ = true;
  Kill({kTier2, kOtherTier2});
  for (auto& [tier1, traffic] : traffic_) traffic->RunFor(3);
  for (const auto& [tier1, traffic] : traffic_) {
    EXPECT_GT(Since(tier1).failed, 0u);
    for (const auto& [error, count] : Since(tier1).errors) {
      EXPECT_TRUE(error.starts_with("status 503 (") || error.starts_with("status 502 ("))
          << "T1 " << tier1 << ": " << error << " x " << count;
    }
  }
  Restart({kTier2, kOtherTier2});
}

}  // namespace
}  // namespace weir::e2e
