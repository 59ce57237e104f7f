#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/scene.h"

// A management server that starts again knows a silent cluster from its facts only; they must be enough.
namespace weir::e2e {
namespace {

using test::Milliseconds;

class CutOff : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    scene_ = new Scene({.net = 50});
    const Status up = scene_->BringUp();
    ASSERT_TRUE(up.ok()) << up.error().message;
  }
  static void TearDownTestSuite() {
    delete scene_;
    scene_ = nullptr;
  }
  void SetUp() override { ASSERT_FALSE(testing::Test::HasFatalFailure()); }

  static void RestartServer() {
    scene_->fleet().Find("server")->Kill();
    ASSERT_TRUE(scene_->fleet().Restart("server").ok());
    const Status up = test::WaitForPort(scene_->fleet().Find("server"), scene_->Server(), 9444, Milliseconds(30'000));
    ASSERT_TRUE(up.ok()) << up.error().message;
  }
  // Stores new weights; done when every T1 serves them. Proves that the new server compiled the clusters anew.
  static void ChangeWeights(const std::vector<unsigned>& weights) {
    const auto before = scene_->Served(1, "ClusterLoadAssignment");
    ASSERT_FALSE(before.empty());
    const auto applied = scene_->fleet().WeirOk({"apply", "-f", "-"}, scene_->Tier1Yaml(weights));
    ASSERT_TRUE(applied.ok()) << applied.error().message;
    for (unsigned t1 = 1; t1 <= 2; ++t1) {
      const Status served = test::WaitUntil("the new weights", Milliseconds(20'000), nullptr, [&] {
        const auto now = scene_->Served(t1, "ClusterLoadAssignment");
        return !now.empty() && now != before;
      });
      ASSERT_TRUE(served.ok()) << served.error().message;
    }
  }
  static void ExpectShares(double c1, double c2) {
    const auto load = scene_->Drive(400);
    EXPECT_EQ(load.failed, 0u) << load.first_error;
    EXPECT_EQ(ShareError(load, {{"c1", c1}, {"c2", c2}}, 4), "");
  }

  static Scene* scene_;
};
Scene* CutOff::scene_ = nullptr;

TEST_F(CutOff, AFrozenAgentsClusterKeepsItsAddressesAcrossAServerRestart) {
  scene_->fleet().Find("agent/c1")->Freeze();
  RestartServer();
  ChangeWeights({75, 25});
  ExpectShares(75, 25);

  scene_->fleet().Find("agent/c1")->Thaw();
  const Status ready = scene_->WaitState("READY");
  EXPECT_TRUE(ready.ok()) << ready.error().message;
  ChangeWeights({60, 40});
  ExpectShares(60, 40);
}

TEST_F(CutOff, ADeadAgentsClusterKeepsItsAddressesAcrossAServerRestart) {
  scene_->fleet().Find("agent/c2")->Kill();
  RestartServer();
  ChangeWeights({25, 75});
  ExpectShares(25, 75);

  ASSERT_TRUE(scene_->fleet().Restart("agent/c2").ok());
  const Status ready = scene_->WaitState("READY");
  EXPECT_TRUE(ready.ok()) << ready.error().message;
  ChangeWeights({50, 50});
  ExpectShares(50, 50);
}

TEST_F(CutOff, ServerAndEveryAgentGoneChangesNothingForRequests) {
  for (const char* name : {"server", "agent/edge", "agent/c1", "agent/c2"}) scene_->fleet().Find(name)->Kill();
  ExpectShares(50, 50);
  for (const char* name : {"agent/edge", "agent/c1", "agent/c2", "server"})
    ASSERT_TRUE(scene_->fleet().Restart(name).ok());
  const Status up = test::WaitForPort(scene_->fleet().Find("server"), scene_->Server(), 9443, Milliseconds(30'000));
  ASSERT_TRUE(up.ok()) << up.error().message;
  const Status ready = scene_->WaitState("READY");
  EXPECT_TRUE(ready.ok()) << ready.error().message;
  ExpectShares(50, 50);
}

}  // namespace
}  // namespace weir::e2e
