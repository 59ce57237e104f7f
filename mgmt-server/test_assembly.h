#pragma once

// For tests: the real Server as `main` starts it, and agents of a few lines.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <thread>

#include "api/weir/bootstrap/v1/bootstrap.pb.h"
#include "api/weir/v2/cluster.grpc.pb.h"
#include "api/weir/v2/cluster_service.grpc.pb.h"
#include "api/weir/v2/documents.grpc.pb.h"
#include "api/weir/v2/session.grpc.pb.h"
#include "api/weir/v2/status.grpc.pb.h"
#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "libs/rpc/channel.h"
#include "libs/rpc/status.h"
#include "libs/rpc/time.h"
#include "mgmt-server/fleet/small_agent.h"
#include "mgmt-server/server.h"
#include "tests/support/real_time.h"

namespace weir::server {
inline constexpr char kEdge[] = "organizations/acme/clusters/edge";
inline constexpr char kShop[] = "organizations/acme/tenants/t/workspaces/w/gatewaygroups/g/tier1gateways/shop";
inline constexpr char kDocuments[] = R"(apiVersion: api.weir.dev/v2
kind: Tenant
metadata: {name: t, organization: acme}
---
apiVersion: api.weir.dev/v2
kind: Workspace
metadata: {name: w, organization: acme, tenant: t}
spec: {namespaceSelector: {names: ["*/*"]}}
---
apiVersion: gateway.weir.dev/v2
kind: GatewayGroup
metadata: {name: g, organization: acme, tenant: t, workspace: w}
---
apiVersion: api.weir.dev/v2
kind: Cluster
metadata: {name: edge, organization: acme}
spec: {tier1Cluster: true}
---
apiVersion: api.weir.dev/v2
kind: Cluster
metadata: {name: c1, organization: acme}
---
apiVersion: gateway.weir.dev/v2
kind: Tier1Gateway
metadata: {name: shop, organization: acme, tenant: t, workspace: w, group: g}
spec:
  workloadSelector: {namespace: n, labels: {app: t1}}
  externalServers:
  - {name: s, hostname: shop.example.com, port: 80, clusters: [{name: c1, weight: 1}]}
)";

class Assembly : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("weir-assembly-" + RandomHex(8));
    std::filesystem::create_directories(folder_);
    bootstrap_.set_state_dir(folder_ + "/state");
    bootstrap_.set_organization("acme");
    bootstrap_.set_rest_port(0);
    bootstrap_.set_grpc_port(0);
    bootstrap_.set_agent_port(0);
    bootstrap_.set_first_documents(folder_ + "/first.yaml");
    ASSERT_TRUE(WriteFileAtomic(bootstrap_.first_documents(), kDocuments).ok());
    Start();
  }
  void TearDown() override {
    agent_.reset();
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Start() {
    auto server = Server::Start(bootstrap_, *clock_, std::chrono::milliseconds(300));
    ASSERT_TRUE(server.ok()) << server.error().ToString() << server.error().cause;
    server_ = std::move(server).value();
    rpc::ChannelOptions options;
    options.target = "127.0.0.1:" + std::to_string(server_->info().grpc_port);
    options.peer = identity::ServerPeer(server_->info().anchor_pem).value();
    auto password = ReadFile(bootstrap_.state_dir() + "/admin-password");
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
  Result<std::unique_ptr<fleet::SmallAgent>> Join(const std::string& cluster) {
    v2::CreateJoinTokenRequest request;
    request.set_fqn(cluster);
    v2::JoinToken token;
    grpc::ClientContext context;
    const auto made = v2::JoinTokens::NewStub(channel_)->CreateJoinToken(&context, request, &token);
    if (!made.ok()) return rpc::FromGrpc(made);
    return fleet::SmallAgent::Join("127.0.0.1:" + std::to_string(server_->info().agent_port),
                                   server_->info().anchor_pem, token.token());
  }
  void JoinEdge() {
    auto agent = Join(kEdge);
    ASSERT_TRUE(agent.ok()) << agent.error().ToString();
    agent_ = std::move(agent).value();
  }
  void Apply(const std::string& documents) {
    v2::ApplyDocumentsRequest request;
    request.set_documents(documents);
    v2::ApplyDocumentsResponse response;
    grpc::ClientContext context;
    const auto applied = v2::Documents::NewStub(channel_)->Apply(&context, request, &response);
    ASSERT_TRUE(applied.ok()) << applied.error_message();
  }
  // Empty = done; else the reason of the refusal.
  std::string Drain(const std::string& cluster, bool force) {
    v2::SetAdminStateRequest request;
    request.set_fqn(cluster);
    request.set_force(force);
    v2::Cluster drained;
    grpc::ClientContext context;
    const auto status = v2::ClusterOperations::NewStub(channel_)->DrainCluster(&context, request, &drained);
    return status.ok() ? "" : rpc::FromGrpc(status).reason;
  }
  // `weir status --wait`: answered within `seconds`, though 60 are allowed.
  v2::ResourceStatus Wait(const std::string& fqn, int seconds) {
    v2::GetStatusRequest request;
    request.set_fqn(fqn);
    request.set_wait("applied");
    v2::ResourceStatus status;
    grpc::ClientContext context;
    context.set_deadline(rpc::DeadlineIn(std::chrono::seconds(seconds)));
    EXPECT_TRUE(v2::Statuses::NewStub(channel_)->GetStatus(&context, request, &status).ok());
    return status;
  }
  v2::ResourceStatus StatusOf(const std::string& fqn) {
    v2::GetStatusRequest request;
    request.set_fqn(fqn);
    v2::ResourceStatus status;
    grpc::ClientContext context;
    EXPECT_TRUE(v2::Statuses::NewStub(channel_)->GetStatus(&context, request, &status).ok());
    return status;
  }
  v2::ClusterState ClusterState(const std::string& fqn) {
    v2::GetClusterRequest request;
    request.set_fqn(fqn);
    v2::Cluster cluster;
    grpc::ClientContext context;
    EXPECT_TRUE(v2::Clusters::NewStub(channel_)->GetCluster(&context, request, &cluster).ok());
    return cluster.state();
  }
  // The status, once `good` takes it; else as it is after 20 s.
  v2::ResourceStatus WaitForStatus(const std::string& fqn, const std::function<bool(const v2::ResourceStatus&)>& good) {
    v2::ResourceStatus status;
    EXPECT_TRUE(Eventually([&] { return good(status = StatusOf(fqn)); })) << status.ShortDebugString();
    return status;
  }

  std::string folder_;
  bootstrap::v1::Server bootstrap_;
  ManualClock manual_;
  const Clock* clock_ = &Clock::Real();
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<fleet::SmallAgent> agent_;
};

}  // namespace weir::server
