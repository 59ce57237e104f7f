#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "api/weir/agent/v1/agent.grpc.pb.h"
#include "api/weir/bootstrap/v1/bootstrap.pb.h"
#include "libs/base/file.h"
#include "libs/document/document.h"
#include "libs/identity/certificates.h"
#include "libs/rpc/channel.h"
#include "libs/rpc/status.h"
#include "libs/rpc/time.h"
#include "tests/e2e/doors.h"
#include "tests/e2e/mesh_client.h"

// Identity is a uid and a generation: who was a cluster's agent, and what it signed, is nobody any more when another
// joins, when it is revoked, and when the cluster is deleted, though a new one has its name.
namespace weir::e2e {
namespace {

namespace fs = std::filesystem;
using test::Milliseconds;
using testing::HasSubstr;

constexpr Milliseconds kSoon(30'000);

class MembershipScene : public testing::Test {
 protected:
  // Intermediates of a minute: renewals are tried while we look.
  MembershipScene()
      : scene_(
            {.net = 81, .tier1s = 1, .clusters = 2, .workers = 1, .server_flags = {"--intermediate-lifetime", "60s"}}) {
  }
  void SetUp() override {
    const Status up = scene_.BringUp();
    ASSERT_TRUE(up.ok()) << up.error().message;
    roots_ = *ReadFile(scene_.fleet().ServerState() + "/mesh-root.pem");
  }
  std::string Token(const std::string& cluster, const char* kind = "token") {
    const auto token = scene_.fleet().WeirOk({"cluster", kind, cluster});
    EXPECT_TRUE(token.ok()) << token.error().message;
    return token.ok() ? *token : "";
  }
  // A copy of a folder, as somebody has it who was once on that machine.
  std::string Copy(const std::string& from, const std::string& name) {
    const std::string to = scene_.fleet().options().folder + "/" + name;
    fs::create_directories(to);
    for (const auto& entry : fs::directory_iterator(from)) {
      if (entry.is_regular_file()) fs::copy_file(entry.path(), to + "/" + entry.path().filename().string());
    }
    return to;
  }
  std::string Knock(const std::string& state) {  // At c1's tier 2; "" = let in.
    const auto peer = MeshHandshake(scene_.Tier2(1), kHost, state, roots_, kHost);
    return peer.ok() ? "" : peer.error().ToString();
  }
  std::string Workload(const std::string& cluster, const std::string& workload) {
    return scene_.fleet().AgentState(cluster) + "/workloads/" + workload;
  }
  std::string TokenOf(const std::string& cluster, const std::string& workload) {
    std::string token = *ReadFile(Workload(cluster, workload) + "/token");
    while (token.ends_with('\n')) token.pop_back();
    return token;
  }
  // Asks the cluster's agent for a leaf; "" = it gave one.
  std::string Sign(const std::string& cluster, const std::string& workload, const std::string& token) {
    bootstrap::v1::Gateway gateway;
    EXPECT_TRUE(document::ReadMessage(*ReadFile(Workload(cluster, workload) + "/gateway.json"), gateway).ok());
    rpc::ChannelOptions options;
    options.target = gateway.agent();
    options.peer = {gateway.root_pem(), gateway.agent_id()};
    options.bearer_token = token;
    agent::v1::SignRequest request;
    request.set_csr_pem(*identity::MakeCsr(*identity::NewKey()));
    agent::v1::SignResponse response;
    grpc::ClientContext context;
    context.set_deadline(rpc::DeadlineIn(std::chrono::seconds(30)));
    context.set_wait_for_ready(true);  // It may be starting.
    const auto channel = rpc::MakeChannel(options);
    EXPECT_TRUE(channel.ok()) << channel.error().ToString();
    const grpc::Status status = agent::v1::WorkloadIdentity::NewStub(*channel)->Sign(&context, request, &response);
    return status.ok() ? "" : rpc::FromGrpc(status).ToString();
  }
  // An agent on another machine that joins as the cluster.
  std::unique_ptr<test::Process> StartElsewhere(const std::string& cluster) {
    const std::string state = scene_.fleet().options().folder + "/elsewhere";
    fs::create_directories(state);
    EXPECT_TRUE(WriteFileAtomic(state + "/join-token", Token(cluster), 0600).ok());
    test::Command command;
    command.name = "agent elsewhere";
    command.argv = {scene_.fleet().options().bin_dir + "/weir-agent",
                    "--state-dir",
                    state,
                    "--server",
                    scene_.Server() + ":9444",
                    "--join-token-file",
                    state + "/join-token",
                    "--discovery-file",
                    scene_.fleet().AgentState(cluster) + "/discovery.yaml",
                    "--listen",
                    fmt::format("127.{}.9.2:15012", scene_.options().net)};
    command.log_file = state + "/log";
    auto process = test::Process::Start(std::move(command));
    EXPECT_TRUE(process.ok());
    return process.ok() ? std::move(*process) : nullptr;
  }
  // Stops the agent and lets it give up its membership for another one.
  void JoinAgain(const std::string& cluster) {
    auto& fleet = scene_.fleet();
    ASSERT_TRUE(fleet.Find("agent/" + cluster)->Terminate().ok());
    ASSERT_TRUE(WriteFileAtomic(fleet.AgentState(cluster) + "/join-token", Token(cluster, "rejoin"), 0600).ok());
    const Status back = fleet.Restart("agent/" + cluster);
    ASSERT_TRUE(back.ok()) << back.error().message;
  }
  void RevokeBothAndJoinAgain();
  Status AwaitShares(const std::map<std::string, double>& weights) {
    std::string error;
    const Status reached = test::WaitUntil("the split", kSoon, nullptr, [&] {
      const test::LoadReport load = scene_.Drive(100);
      error = load.failed > 0 ? load.first_error : ShareError(load, weights, 1);
      return error.empty();
    });
    if (reached.ok()) return {};
    return DeadlineExceeded("SPLIT", "{}: {}", reached.error().message, error);
  }
  std::string AgentLog(const std::string& cluster) { return scene_.fleet().Find("agent/" + cluster)->Log(); }
  Status AwaitLog(const std::string& cluster, const std::string& text) {
    return test::WaitForLog(scene_.fleet().Find("agent/" + cluster), text, Milliseconds(60'000));
  }

  Scene scene_;
  std::string roots_;
};

// Revoked: out at once, until it joins again.
void MembershipScene::RevokeBothAndJoinAgain() {
  test::Fleet& fleet = scene_.fleet();
  const auto revoked = fleet.WeirOk({"cluster", "revoke", "c2"});
  ASSERT_TRUE(revoked.ok()) << revoked.error().message;
  Status seen = AwaitShares({{"c1", 1}});
  EXPECT_TRUE(seen.ok()) << seen.error().message;
  // Also until c1 serves by what the gateway reports: who joined anew a moment ago looks around once more.
  const auto explains = [&] {
    const auto explained = fleet.Weir({"explain", "failover", "--without", "c1"});
    const auto has = [&](const char* words) { return explained->out.find(words) != std::string::npos; };
    return explained.ok() && has("the membership of c2 was revoked") && has("nowhere to go") && !has(", as now");
  };
  seen = test::WaitUntil("explain to name the revocation, and c1 to serve alone", kSoon, nullptr, explains);
  EXPECT_TRUE(seen.ok()) << seen.error().message;
  const auto alone = fleet.Weir({"cluster", "revoke", "c1"});
  ASSERT_TRUE(alone.ok()) << alone.error().message;
  EXPECT_EQ(alone->exit_code, 0);
  EXPECT_NE(alone->err.find("no other cluster serves"), std::string::npos) << alone->err;
  for (const char* cluster : {"c1", "c2"}) ASSERT_NO_FATAL_FAILURE(JoinAgain(cluster));
  seen = AwaitShares({{"c1", 1}, {"c2", 1}});
  EXPECT_TRUE(seen.ok()) << seen.error().message;
}

TEST_F(MembershipScene, EndWithTheNextJoinARevocationAndADeletion) {
  auto& fleet = scene_.fleet();
  const std::string now = GatewayState(scene_, "edge", "t1/t1-1");
  const std::string stolen = Copy(now, "stolen-t1");
  ASSERT_EQ(Knock(stolen), "");

  // Another agent joins as c2: the old one is out, on its streams and for renewals, and so is what it has signed: the
  // tier 1 stops using its tier 2, over connections that stand and over new ones.
  auto elsewhere = StartElsewhere("c2");
  ASSERT_NE(elsewhere, nullptr);
  Status seen = AwaitLog("c2", "has ended");
  EXPECT_TRUE(seen.ok()) << seen.error().message;
  seen = AwaitShares({{"c1", 1}});
  EXPECT_TRUE(seen.ok()) << seen.error().message;
  seen = AwaitLog("c2", "intermediate not renewed");
  EXPECT_TRUE(seen.ok()) << seen.error().message;

  // The machine joins again: the other one is out now, and gateways that ran on have a new leaf.
  ASSERT_TRUE(elsewhere->Terminate().ok());
  ASSERT_NO_FATAL_FAILURE(JoinAgain("c2"));
  seen = AwaitShares({{"c1", 1}, {"c2", 1}});
  EXPECT_TRUE(seen.ok()) << seen.error().message;

  // A leaf from before a rejoin opens no tier 2 any more; the running gateway's own does.
  ASSERT_EQ(Knock(stolen), "");
  ASSERT_NO_FATAL_FAILURE(JoinAgain("edge"));
  seen = test::WaitUntil("the stolen leaf to be refused", kSoon, nullptr, [&] { return !Knock(stolen).empty(); });
  EXPECT_TRUE(seen.ok()) << seen.error().message;
  seen = test::WaitUntil("the gateway's new leaf", kSoon, nullptr, [&] { return Knock(now).empty(); });
  EXPECT_TRUE(seen.ok()) << seen.error().message << Knock(now);
  seen = AwaitShares({{"c1", 1}, {"c2", 1}});
  EXPECT_TRUE(seen.ok()) << seen.error().message;
  EXPECT_NE(Knock(stolen), "");

  ASSERT_NO_FATAL_FAILURE(RevokeBothAndJoinAgain());

  // Deleted and created again under the name: another cluster, of which the old agent is nobody.
  ASSERT_TRUE(scene_.SetWeights({100}).ok());
  ASSERT_TRUE(fleet.WeirOk({"delete", "cluster", "c2"}).ok());
  seen = AwaitLog("c2", "does not exist any more");
  EXPECT_TRUE(seen.ok()) << seen.error().message;
  ASSERT_TRUE(fleet
                  .WeirOk({"apply", "-f", "-"},
                          "apiVersion: api.weir.dev/v2\nkind: Cluster\nmetadata: {name: c2, organization: e2e-org}\n")
                  .ok());
  seen = test::WaitUntil("the agent to try again", kSoon, nullptr, [&, before = AgentLog("c2").size()] {
    return AgentLog("c2").find("does not exist any more", before) != std::string::npos;
  });
  EXPECT_TRUE(seen.ok()) << seen.error().message;
  const auto cluster = fleet.WeirOk({"get", "cluster", "c2", "-o", "json"});
  ASSERT_TRUE(cluster.ok());
  EXPECT_THAT(*cluster, testing::Not(HasSubstr("\"connected\": true")));
  ASSERT_NO_FATAL_FAILURE(JoinAgain("c2"));
  ASSERT_TRUE(scene_.SetWeights({50, 50}).ok());
  seen = AwaitShares({{"c1", 1}, {"c2", 1}});
  EXPECT_TRUE(seen.ok()) << seen.error().message;
  const Status alive = fleet.CheckRunning();
  EXPECT_TRUE(alive.ok()) << alive.error().message;
}

// A token of a workload is traded for leaves, so it ends with the membership too. Gateways that run on find the new one
// by themselves.
TEST_F(MembershipScene, ATokenOfAWorkloadIsWorthNothingInTheNextMembership) {
  const std::string stolen = TokenOf("edge", "t1/t1-1");
  ASSERT_EQ(Sign("edge", "t1/t1-1", stolen), "");
  ASSERT_TRUE(scene_.fleet().Restart("agent/edge").ok());
  EXPECT_EQ(Sign("edge", "t1/t1-1", stolen), "") << "a restart changes nothing";
  ASSERT_NO_FATAL_FAILURE(JoinAgain("edge"));
  EXPECT_THAT(Sign("edge", "t1/t1-1", stolen), HasSubstr("TOKEN_UNKNOWN"));
  EXPECT_EQ(Sign("edge", "t1/t1-1", TokenOf("edge", "t1/t1-1")), "");
  Status seen = scene_.WaitState("READY", Milliseconds(60'000));
  EXPECT_TRUE(seen.ok()) << seen.error().message;
  seen = AwaitShares({{"c1", 1}, {"c2", 1}});
  EXPECT_TRUE(seen.ok()) << seen.error().message;
}

// The server's state is lost without a backup: a new one, the documents again, and each agent rejoins. Nothing is
// deleted by hand, and no gateway is restarted.
TEST_F(MembershipScene, FollowANewServerWhenTheOldStateIsLost) {
  auto& fleet = scene_.fleet();
  fleet.Find("server")->Kill();
  fs::remove_all(fleet.ServerState());
  EXPECT_EQ(scene_.Drive(50).failed, 0u) << "nobody needs the server";
  Status done = fleet.Restart("server");
  ASSERT_TRUE(done.ok()) << done.error().message;
  done = test::WaitUntil("the new server", kSoon, nullptr, [&] { return fleet.Login().ok(); });
  ASSERT_TRUE(done.ok()) << done.error().message;
  done = scene_.ApplyBase();
  ASSERT_TRUE(done.ok()) << done.error().message;
  const auto applied = fleet.WeirOk({"apply", "-f", "-"}, scene_.Tier1Yaml({50, 50}));
  ASSERT_TRUE(applied.ok()) << applied.error().message;
  EXPECT_EQ(scene_.Drive(50).failed, 0u) << "a server that an agent does not know changes nothing";
  for (const char* cluster : {"c1", "c2", "edge"}) JoinAgain(cluster);
  done = scene_.WaitState("READY", Milliseconds(60'000));
  EXPECT_TRUE(done.ok()) << done.error().message;
  done = AwaitShares({{"c1", 1}, {"c2", 1}});
  EXPECT_TRUE(done.ok()) << done.error().message;
}

}  // namespace
}  // namespace weir::e2e
