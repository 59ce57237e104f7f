#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "libs/base/file.h"
#include "tests/e2e/doors.h"

// Every program restarts from what it last acknowledged, in any order, with those above it gone and its newest files
// damaged.
namespace weir::e2e {
namespace {

using test::Milliseconds;
using testing::HasSubstr;

class LastGood : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    scene_ = new Scene({.net = 60, .tier1s = 1, .clusters = 2, .workers = 1});
    const Status up = scene_->BringUp();
    ASSERT_TRUE(up.ok()) << up.error().message;
  }
  static void TearDownTestSuite() {
    delete scene_;
    scene_ = nullptr;
  }
  void SetUp() override { ASSERT_FALSE(testing::Test::HasFatalFailure()); }

  static std::vector<std::string> Of(const std::string& kind) {
    std::vector<std::string> out;
    for (const std::string& name : scene_->fleet().Names()) {
      if (name.starts_with(kind)) out.push_back(name);
    }
    return out;
  }
  static void Kill(const std::string& kind) {
    for (const std::string& name : Of(kind)) scene_->fleet().Find(name)->Kill();
  }
  static void Restart(const std::string& kind, bool full_disk = false) {
    for (const std::string& name : Of(kind)) ASSERT_TRUE(scene_->fleet().Restart(name, {}, full_disk).ok()) << name;
  }
  static void ExpectServed(const std::string& when) {
    const Status served =
        test::WaitUntil("answers " + when, Milliseconds(30'000), nullptr, [] { return scene_->Drive(2).failed == 0; });
    ASSERT_TRUE(served.ok()) << served.error().message;
    const auto load = scene_->Drive(40);
    EXPECT_EQ(load.failed, 0u) << when << ": " << load.first_error;
  }
  static void ExpectReady() {
    const Status ready = scene_->WaitState("READY", Milliseconds(60'000));
    ASSERT_TRUE(ready.ok()) << ready.error().message;
  }
  // Cuts the newest generation; the one before must be enough. What a gateway ran before its last change may be what it
  // ran before it had anything to serve, so the older generation is made the same first.
  static void Cut(const std::string& path) {
    const auto bytes = ReadFile(path + ".1");
    ASSERT_TRUE(bytes.ok()) << path;
    ASSERT_TRUE(WriteFileAtomic(path + ".2", *bytes, 0600).ok());
    ASSERT_TRUE(WriteFileAtomic(path + ".1", bytes->substr(0, bytes->size() / 2), 0600).ok());
  }

  static Scene* scene_;
};
Scene* LastGood::scene_ = nullptr;

TEST_F(LastGood, GatewaysAloneThenAgentsAloneThenTheServer) {
  Kill("server");
  Kill("agent/");
  Kill("gateway/");
  Restart("gateway/");
  ExpectServed("with gateways alone");
  Restart("agent/");
  ExpectServed("with agents and no server");
  for (const char* cluster : {"edge", "c1", "c2"}) {
    const Status ready = test::WaitUntil(fmt::format("the agent of {}", cluster), Milliseconds(30'000), nullptr,
                                         [&] { return !AgentSays(*scene_, cluster, "/last-good").empty(); });
    ASSERT_TRUE(ready.ok()) << ready.error().message;
    EXPECT_THAT(AgentSays(*scene_, cluster, "/last-good"), HasSubstr("generation 1 of 2"));
  }
  Restart("server");
  ExpectReady();
  ExpectServed("with everything");
}

TEST_F(LastGood, TheServerFirstThenAgentsThenGateways) {
  Kill("gateway/");
  Kill("agent/");
  Kill("server");
  Restart("server");
  Restart("agent/");
  Restart("gateway/");
  ExpectReady();
  ExpectServed("after a start from above");
}

// The management server is not needed for it.
TEST_F(LastGood, GatewaysAndAgentsStartAgainOnAFullDisk) {
  for (const char* kind : {"agent/", "gateway/"}) Kill(kind);
  for (const char* kind : {"gateway/", "agent/"}) Restart(kind, true);
  ExpectServed("on full disks");
  ExpectReady();
  // What they could not keep of what came since is named until it is kept.
  const auto said = [] {
    const auto answer = scene_->fleet().Weir({"get", "cluster", "edge", "-o", "json"});
    return answer.ok() ? answer->out : answer.error().message;
  };
  const Status named = test::WaitUntil("what is not kept", Milliseconds(30'000), nullptr, [&] {
    const std::string text = said();
    return text.find("last-good is not kept for a restart") != std::string::npos &&
           text.find("edge/last-good.1") != std::string::npos && text.find("edge/facts.1") != std::string::npos;
  });
  EXPECT_TRUE(named.ok()) << said();
  for (const char* kind : {"agent/", "gateway/"}) {
    for (const std::string& name : Of(kind)) scene_->fleet().Find(name)->GiveRoom();
  }
  const Status kept = test::WaitUntil("all to be kept", Milliseconds(30'000), nullptr,
                                      [&] { return said().find("for a restart") == std::string::npos; });
  EXPECT_TRUE(kept.ok()) << said();
  ExpectReady();
  ExpectServed("with room again");
}

TEST_F(LastGood, DamagedFilesAreRefusedByNameAndTheOlderServe) {
  Kill("server");
  Kill("agent/");
  Kill("gateway/");
  for (const char* cluster : {"edge", "c1", "c2"}) {
    const std::string state = scene_->fleet().AgentState(cluster);
    Cut(state + "/last-good");
    Cut(state + "/membership");
    ASSERT_TRUE(WriteFileAtomic(state + "/discovery.yaml", "").ok());
  }
  for (const auto& [cluster, workload] :
       {std::pair("edge", "t1/t1-1"), std::pair("c1", "shop/t2"), std::pair("c2", "shop/t2"),
        std::pair("c1", "shop/pod-1"), std::pair("c2", "shop/pod-1")}) {
    const std::string state = GatewayState(*scene_, cluster, workload);
    Cut(state + "/last-good");
    Cut(state + "/identity");
  }
  Restart("gateway/");
  ExpectServed("from the older generations of gateways");
  EXPECT_THAT(GatewaySays(scene_->Tier1(1), "/config_dump"),
              testing::AllOf(HasSubstr("LAST_GOOD_CUT"), HasSubstr("identity.1"), HasSubstr("last-good.1")));
  Restart("agent/");
  const Status up = test::WaitUntil("the agent", Milliseconds(30'000), nullptr,
                                    [] { return !AgentSays(*scene_, "c1", "/last-good").empty(); });
  ASSERT_TRUE(up.ok()) << up.error().message;
  EXPECT_THAT(AgentSays(*scene_, "c1", "/last-good"),
              testing::AllOf(HasSubstr("membership.1"), HasSubstr("last-good.1"), HasSubstr("LAST_GOOD_CUT")));
  // The empty discovery file is said, and the kept facts stand.
  const Status said = test::WaitUntil("the refusal of the discovery file", Milliseconds(20'000), nullptr, [] {
    return AgentSays(*scene_, "c1", "/discovery").find("DISCOVERY_EMPTY") != std::string::npos;
  });
  EXPECT_TRUE(said.ok()) << said.error().message << AgentSays(*scene_, "c1", "/discovery");
  Restart("server");
  ExpectReady();
  ExpectServed("with everything");
  // All of it is named where an operator looks: what the agent refused, and what a gateway of it did.
  std::string told;
  const auto ask = [&] {
    const auto answer = scene_->fleet().Weir({"get", "cluster", "c1", "-o", "json"});
    return told = answer.ok() ? answer->out : answer.error().message;
  };
  const Status named = test::WaitUntil("the server to name what was refused", Milliseconds(30'000), nullptr, [&] {
    ask();
    return told.find("\"shop/t2\"") != std::string::npos && told.find("DISCOVERY_EMPTY") != std::string::npos;
  });
  EXPECT_TRUE(named.ok()) << told;
  EXPECT_THAT(told, testing::AllOf(HasSubstr("\"last-good\""), HasSubstr("LAST_GOOD_CUT")));
  const auto status = scene_->fleet().Weir({"status"});
  ASSERT_TRUE(status.ok());
  EXPECT_THAT(status->out, HasSubstr("AGENT_PROBLEM"));
}

}  // namespace
}  // namespace weir::e2e
