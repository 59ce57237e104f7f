#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/e2e/scene.h"

// A server that was started with an older copy of its state takes nothing away before an administrator says so.
namespace weir::e2e {
namespace {

using test::Milliseconds;
using testing::HasSubstr;

class OlderState : public testing::Test {
 protected:
  OlderState() : scene_({.net = 80}) {}

  void SetUp() override {
    const Status up = scene_.BringUp();
    ASSERT_TRUE(up.ok()) << up.error().message;
  }
  test::Fleet& fleet() { return scene_.fleet(); }

  Result<test::Finished> Server(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), fleet().options().bin_dir + "/weir-server");
    test::Command command;
    command.name = "weir-server";
    command.argv = std::move(arguments);
    return test::RunCommand(std::move(command), Milliseconds(60'000));
  }
  void RestartServer() {
    ASSERT_TRUE(fleet().Restart("server").ok());
    const Status up = test::WaitForPort(fleet().Find("server"), scene_.Server(), 9444, Milliseconds(30'000));
    ASSERT_TRUE(up.ok()) << up.error().message;
  }
  void ExpectShares(double c1, double c2) {
    const auto load = scene_.Drive(400);
    EXPECT_EQ(load.failed, 0u) << load.first_error;
    EXPECT_EQ(ShareError(load, {{"c1", c1}, {"c2", c2}}, 4), "");
  }
  // Of the edge: at the server and at its agent.
  void ExpectConflict() {
    const Status noticed = test::WaitUntil("the edge's state is in conflict", Milliseconds(30'000), nullptr, [&] {
      return Weir({"status"}).find("STATE_CONFLICT") != std::string::npos;
    });
    ASSERT_TRUE(noticed.ok()) << Weir({"status"});
    EXPECT_TRUE(test::WaitForLog(fleet().Find("agent/edge"), "STATE_CONFLICT", Milliseconds(30'000)).ok());
  }
  // Refused until every agent has come again after the server's restart.
  void Adopt() {
    std::string said;
    const Status adopted = test::WaitUntil("the state is adopted", Milliseconds(30'000), nullptr, [&] {
      said = Weir({"server", "adopt-state", "--yes"});
      return said.find("adopted;") != std::string::npos;
    });
    ASSERT_TRUE(adopted.ok()) << said;
  }
  std::string Weir(std::vector<std::string> arguments) {
    const auto said = fleet().WeirOk(std::move(arguments));
    return said.ok() ? *said : "FAILED: " + said.error().message;
  }

  Scene scene_;
};

TEST_F(OlderState, TakesNothingBackUntilItIsAdopted) {
  const std::string backup = fleet().options().folder + "/backup";
  const auto backed_up = Server({"backup", "--state-dir", fleet().ServerState(), "--to", backup});
  ASSERT_TRUE(backed_up.ok() && backed_up->exit_code == 0) << backed_up->err;
  const Status moved = scene_.SetWeights({75, 25});
  ASSERT_TRUE(moved.ok()) << moved.error().message;
  ExpectShares(75, 25);
  EXPECT_THAT(Weir({"server", "adopt-state"}), HasSubstr("nothing to decide"));
  const auto needless = fleet().Weir({"server", "adopt-state", "--yes"});
  ASSERT_TRUE(needless.ok());
  EXPECT_THAT(needless->err, HasSubstr("NOTHING_TO_ADOPT"));

  fleet().Find("server")->Kill();
  const auto restored = Server({"restore", "--state-dir", fleet().ServerState(), "--from", backup, "--replace"});
  ASSERT_TRUE(restored.ok() && restored->exit_code == 0) << restored->err;
  RestartServer();
  ExpectConflict();
  // A write does not reach it either, and the cluster goes on as it was.
  const auto written = fleet().WeirOk({"apply", "-f", "-"}, scene_.Tier1Yaml({60, 40}));
  ASSERT_TRUE(written.ok()) << written.error().message;
  ExpectShares(75, 25);
  const std::string plan = Weir({"server", "adopt-state"});
  EXPECT_THAT(plan, HasSubstr("clusters/edge"));
  EXPECT_THAT(plan, HasSubstr("DestinationSet: 0 would go, 1 change, 0 come"));
  EXPECT_THAT(plan, HasSubstr("nothing was changed"));
  ExpectShares(75, 25);

  // The agent keeps it over its own restart, with nobody to ask.
  fleet().Find("agent/edge")->Kill();
  ASSERT_TRUE(fleet().Restart("agent/edge").ok());
  ASSERT_TRUE(test::WaitUntil("the edge is held again", Milliseconds(30'000), nullptr, [&] {
                return Weir({"server", "adopt-state"}).find("1 change") != std::string::npos;
              }).ok());
  ExpectShares(75, 25);

  Adopt();
  const Status ready = scene_.WaitState("READY");
  EXPECT_TRUE(ready.ok()) << ready.error().message;
  const Status followed = test::WaitUntil("the adopted split", Milliseconds(30'000), nullptr, [&] {
    return ShareError(scene_.Drive(400), {{"c1", 60}, {"c2", 40}}, 4).empty();
  });
  EXPECT_TRUE(followed.ok());
  EXPECT_THAT(Weir({"server", "adopt-state"}), HasSubstr("nothing to decide"));

  // The files go under the running server: nothing is acknowledged, and no later start begins anew in silence.
  std::filesystem::remove(fleet().ServerState() + "/weir.db");
  const auto lost = fleet().Weir({"apply", "-f", "-"}, scene_.Tier1Yaml({50, 50}));
  ASSERT_TRUE(lost.ok());
  EXPECT_NE(lost->exit_code, 0);
  EXPECT_THAT(lost->err, HasSubstr("STORE_GONE"));
  fleet().Find("server")->Kill();
  std::filesystem::remove(fleet().ServerState() + "/weir.db-wal");
  const auto refused =
      Server({"--state-dir", fleet().ServerState(), "--address", scene_.Server(), "--organization", kOrganization});
  ASSERT_TRUE(refused.ok());
  EXPECT_EQ(refused->exit_code, 1);
  EXPECT_THAT(refused->err, HasSubstr("STATE_LOST"));
  EXPECT_THAT(refused->err, HasSubstr("weir-server restore"));
  ExpectShares(60, 40);
}

}  // namespace
}  // namespace weir::e2e
