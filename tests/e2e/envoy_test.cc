#include <gtest/gtest.h>
#include <unistd.h>

#include "libs/base/file.h"
#include "tests/e2e/scene.h"
#include "tests/support/http_client.h"

// Stock Envoy in the place of each gateway, told what to do by the agent alone (ADS, SDS, a token).
namespace weir::e2e {
namespace {

class StockEnvoy : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (access(EnvoyBinary().c_str(), X_OK) != 0) return;
    // Ours and Envoy side by side in every place, so that each calls each.
    scene_ = new Scene(
        {.net = 52,
         .pods = 2,
         .workers = 1,
         .programs = {{"edge/t1-2", "envoy"}, {"c2/t2", "envoy"}, {"c1/pod-2", "envoy"}, {"c2/pod-2", "envoy"}}});
    const Status up = scene_->BringUp();
    ASSERT_TRUE(up.ok()) << up.error().message;
  }
  static void TearDownTestSuite() {
    delete scene_;
    scene_ = nullptr;
  }
  void SetUp() override {
    if (scene_ == nullptr)
      GTEST_SKIP() << "there is no stock Envoy in " << EnvoyBinary() << "; scripts/envoy fetches it, or says why not";
  }
  // Through one T1.
  static test::LoadReport Through(unsigned tier1, uint64_t requests, const std::string& backend_header) {
    test::LoadOptions load = scene_->Load(requests);
    load.targets = {{scene_->Tier1(tier1), kPort}};
    load.connections = 4;
    load.backend_header = backend_header;
    return test::RunLoad(load);
  }

  static Scene* scene_;
};
Scene* StockEnvoy::scene_ = nullptr;

TEST_F(StockEnvoy, SplitsAsOursDoes) {
  const Status set = scene_->SetWeights({75, 25});
  ASSERT_TRUE(set.ok()) << set.error().message;
  for (const unsigned tier1 : {1u, 2u}) {
    const auto load = Through(tier1, 2'000, "x-served-by");
    EXPECT_EQ(load.failed, 0u) << load.first_error;
    EXPECT_NEAR(load.Share("c1"), 0.75, tier1 == 1 ? 0.001 : 0.01) << "T1 " << tier1;
    EXPECT_EQ(load.by_backend.size(), 2u);
  }
}

TEST_F(StockEnvoy, FollowsAChangeOfTheWeights) {
  const Status set = scene_->SetWeights({20, 80});
  ASSERT_TRUE(set.ok()) << set.error().message;
  for (const unsigned tier1 : {1u, 2u}) {
    const auto load = Through(tier1, 1'000, "x-served-by");
    EXPECT_EQ(load.failed, 0u) << load.first_error;
    // Ours: each of two workers is less than one request off, counted from what was owed before the change.
    EXPECT_NEAR(load.Share("c1"), 0.2, tier1 == 1 ? 0.0041 : 0.02) << "T1 " << tier1;
  }
}

TEST_F(StockEnvoy, AcceptsEveryResourceThatTheAgentTellsIt) {
  const Status ready = scene_->WaitState("READY");
  EXPECT_TRUE(ready.ok()) << ready.error().message;
  for (const char* agent : {"agent/edge", "agent/c1", "agent/c2"})
    EXPECT_EQ(scene_->fleet().Find(agent)->Log().find("rejected configuration"), std::string::npos) << agent;
  for (const std::string& address : {scene_->Tier1(2), scene_->Tier2(2), scene_->Pod(1, 2), scene_->Pod(2, 2)}) {
    const auto stats = test::HttpClient(address, kAdminPort).Get("admin", "/stats?filter=update_rejected");
    ASSERT_TRUE(stats.ok()) << stats.error().message;
    EXPECT_NE(stats->body.find("update_rejected: 0"), std::string::npos) << stats->body;
    for (size_t at = 0; (at = stats->body.find("rejected: ", at)) != std::string::npos; at += 10)
      EXPECT_EQ(stats->body[at + 10], '0') << address << "\n" << stats->body;
  }
}

TEST_F(StockEnvoy, ServesEachPodOfACluster) {
  // Every pod proxy was called: Envoy counts what it received on the mesh port.
  for (const std::string& address : {scene_->Tier2(2), scene_->Pod(1, 2), scene_->Pod(2, 2)}) {
    const auto stats = test::HttpClient(address, kAdminPort).Get("admin", "/stats?filter=downstream_rq_2xx");
    ASSERT_TRUE(stats.ok()) << stats.error().message;
    EXPECT_NE(stats->body.find_first_of("123456789", stats->body.find(": ")), std::string::npos) << stats->body;
  }
}

}  // namespace
}  // namespace weir::e2e
