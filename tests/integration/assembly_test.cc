// The real Server and the real Agent in one process, as their programs start them.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <thread>

#include "api/weir/bootstrap/v1/bootstrap.pb.h"
#include "api/weir/v2/cluster.grpc.pb.h"
#include "api/weir/v2/cluster_service.grpc.pb.h"
#include "api/weir/v2/session.grpc.pb.h"
#include "api/weir/v2/status.grpc.pb.h"
#include "cluster-agent/agent.h"
#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "libs/identity/peer.h"
#include "libs/identity/token.h"
#include "libs/rpc/channel.h"
#include "mgmt-server/server.h"

namespace weir {
namespace {

constexpr char kEdge[] = "organizations/acme/clusters/edge";

class TwoPlanes : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("weir-planes-" + RandomHex(8));
    std::filesystem::create_directories(folder_);
    bootstrap::v1::Server bootstrap;
    bootstrap.set_state_dir(folder_ + "/server");
    bootstrap.set_organization("acme");
    bootstrap.set_rest_port(0);
    bootstrap.set_grpc_port(0);
    bootstrap.set_agent_port(0);
    bootstrap.set_first_documents(folder_ + "/first.yaml");
    ASSERT_TRUE(
        WriteFileAtomic(bootstrap.first_documents(),
                        "apiVersion: api.weir.dev/v2\nkind: Cluster\nmetadata: {name: edge, organization: acme}\n")
            .ok());
    auto server = server::Server::Start(bootstrap);
    ASSERT_TRUE(server.ok()) << server.error().ToString() << server.error().cause;
    server_ = std::move(server).value();
    rpc::ChannelOptions options;
    options.target = "127.0.0.1:" + std::to_string(server_->info().grpc_port);
    options.peer = identity::ServerPeer(server_->info().anchor_pem).value();
    auto password = ReadFile(folder_ + "/server/admin-password");
    ASSERT_TRUE(password.ok());
    v2::LoginRequest request;
    request.set_organization("acme");
    request.set_user("admin");
    request.set_password(password->substr(0, password->find('\n')));
    v2::LoginResponse response;
    grpc::ClientContext context;
    const auto login = v2::Sessions::NewStub(*rpc::MakeChannel(options))->Login(&context, request, &response);
    ASSERT_TRUE(login.ok()) << login.error_message();
    options.bearer_token = response.token();
    channel_ = *rpc::MakeChannel(options);
  }
  void TearDown() override {
    first_.reset();
    second_.reset();
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

  void WriteToken() {
    v2::CreateJoinTokenRequest request;
    request.set_fqn(kEdge);
    v2::JoinToken token;
    grpc::ClientContext context;
    ASSERT_TRUE(v2::JoinTokens::NewStub(channel_)->CreateJoinToken(&context, request, &token).ok());
    ASSERT_TRUE(identity::WriteSecretFile(folder_ + "/token", token.token()).ok());
  }
  // An agent whose cluster runs `workloads` of them.
  Result<std::unique_ptr<agent::Agent>> StartAgent(const std::string& name, int workloads, bool with_token) {
    std::string facts = "workloads:\n";
    for (int i = 0; i < workloads; ++i) {
      facts += fmt::format("- {{name: w{}, namespace: n, addresses: [127.0.1.10]}}\n", i);
    }
    EXPECT_TRUE(WriteFileAtomic(folder_ + "/" + name + ".yaml", facts).ok());
    bootstrap::v1::Agent bootstrap;
    bootstrap.set_state_dir(folder_ + "/" + name);
    bootstrap.set_server("127.0.0.1:" + std::to_string(server_->info().agent_port));
    bootstrap.set_discovery_file(folder_ + "/" + name + ".yaml");
    bootstrap.set_listen("127.0.0.1:0");
    if (with_token) bootstrap.set_join_token_file(folder_ + "/token");
    agent::Agent::FillDefaults(bootstrap);
    return agent::Agent::Start(bootstrap, "test", stop_);
  }
  static void CopyFiles(const std::string& from, const std::string& to) {  // Not sockets.
    std::filesystem::create_directories(to);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(from)) {
      const auto target = to / std::filesystem::relative(entry.path(), from);
      if (entry.is_directory()) std::filesystem::create_directories(target);
      std::error_code gone;  // A file that is just being replaced.
      if (entry.is_regular_file(gone)) std::filesystem::copy_file(entry.path(), target, gone);
    }
  }
  v2::ClusterState State() {
    v2::GetClusterRequest request;
    request.set_fqn(kEdge);
    v2::Cluster cluster;
    grpc::ClientContext context;
    EXPECT_TRUE(v2::Clusters::NewStub(channel_)->GetCluster(&context, request, &cluster).ok());
    return cluster.state();
  }
  std::string Reason() {
    v2::GetStatusRequest request;
    request.set_fqn(kEdge);
    v2::ResourceStatus status;
    grpc::ClientContext context;
    EXPECT_TRUE(v2::Statuses::NewStub(channel_)->GetStatus(&context, request, &status).ok());
    return status.reason();
  }
  static bool Eventually(const std::function<bool()>& condition) {
    for (int i = 0; i < 1500; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
  }

  std::string folder_;
  std::atomic<bool> stop_{false};
  std::unique_ptr<server::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<agent::Agent> first_, second_;
};

TEST_F(TwoPlanes, ACloneOfAnAgentIsRefusedAndTakesOverOnlyWhenTheFirstIsGone) {
  WriteToken();
  auto first = StartAgent("first", 1, true);
  ASSERT_TRUE(first.ok()) << first.error().ToString() << first.error().cause;
  first_ = std::move(first).value();
  ASSERT_TRUE(Eventually([&] { return first_->ServerConnected() && State().workloads() == 1; }));
  EXPECT_EQ(Reason(), "");

  CopyFiles(folder_ + "/first", folder_ + "/second");
  auto second = StartAgent("second", 2, false);
  ASSERT_TRUE(second.ok()) << second.error().ToString() << second.error().cause;
  second_ = std::move(second).value();
  ASSERT_TRUE(Eventually([&] { return Reason() == "DUPLICATE_AGENT"; })) << Reason();
  EXPECT_FALSE(second_->ServerConnected());
  EXPECT_TRUE(first_->ServerConnected());
  EXPECT_EQ(State().workloads(), 1) << "the first one's facts stand";

  // The first starts again, as after an upgrade: it is not a clone of itself.
  first_.reset();
  ASSERT_TRUE(Eventually([&] { return second_->ServerConnected() && State().workloads() == 2; }))
      << "with the first one gone nobody is in the way";
  EXPECT_EQ(Reason(), "");
  auto again = StartAgent("first", 1, false);
  ASSERT_TRUE(again.ok()) << again.error().ToString();
  first_ = std::move(again).value();
  ASSERT_TRUE(Eventually([&] { return Reason() == "DUPLICATE_AGENT"; })) << "now the second is the older";
  EXPECT_EQ(State().workloads(), 2);
}

TEST_F(TwoPlanes, AnAgentThatStartsAgainTakesOverAtOnce) {
  WriteToken();
  for (int workloads = 1; workloads <= 3; ++workloads) {
    auto agent = StartAgent("first", workloads, workloads == 1);
    ASSERT_TRUE(agent.ok()) << agent.error().ToString() << agent.error().cause;
    first_ = std::move(agent).value();
    ASSERT_TRUE(Eventually([&] { return first_->ServerConnected() && State().workloads() == workloads; }));
    first_.reset();
  }
}

}  // namespace
}  // namespace weir
