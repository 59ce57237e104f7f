// The real Server as `main` starts it, and agents of a few lines: what the parts do together, each wired as in
// production.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <thread>

#include "api/weir/bootstrap/v1/bootstrap.pb.h"
#include "api/weir/v2/cluster.grpc.pb.h"
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
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kEdge[] = "organizations/acme/clusters/edge";
constexpr char kShop[] = "organizations/acme/tenants/t/workspaces/w/gatewaygroups/g/tier1gateways/shop";
constexpr char kDocuments[] = R"(apiVersion: api.weir.dev/v2
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
    const auto status = v2::Clusters::NewStub(channel_)->DrainCluster(&context, request, &drained);
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

TEST_F(Assembly, IntentThatAnAgentRefusesIsFailedWithItsReason) {
  JoinEdge();
  agent_->Run({"n/gw"}, {{"app", "t1"}});
  agent_->Refuse("Host", "this agent cannot \x1b[31msay that");
  const auto failed = WaitForStatus(
      kShop, [](const v2::ResourceStatus& status) { return status.state() == v2::ResourceStatus::FAILED; });
  EXPECT_EQ(failed.reason(), "REJECTED");
  EXPECT_THAT(failed.message(), HasSubstr("the agent: this agent cannot \\x1b[31msay that"));
  ASSERT_EQ(failed.gateways_size(), 1);
  EXPECT_EQ(failed.gateways(0).workload(), "n/gw");
}

TEST_F(Assembly, OneBadFactTakesNoGoodOneAlongAndIsNamed) {
  JoinEdge();
  const std::vector<std::pair<std::string, std::function<void(agent::v1::Workload&)>>> bad = {
      {"address", [](auto& w) { w.set_addresses(0, "not-an-ip"); }},
      {"empty", [](auto& w) { w.set_addresses(0, ""); }},
      {"line", [](auto& w) { w.set_addresses(0, "127.0.0.1\n"); }},
      {"path", [](auto& w) { w.set_addresses(0, "/tmp/x"); }},
      {"long", [](auto& w) { w.set_addresses(0, std::string(100'000, '1')); }},
      {"port", [](auto& w) { (*w.mutable_ports())[80] = 70'000; }},
      {"slash", [](auto& w) { w.set_name("a/b"); }},
      {"nul", [](auto& w) { w.set_name(std::string("a\0b", 3)); }},
      {"account", [](auto& w) { w.set_service_account("x/../y"); }},
      {"label", [](auto& w) { (*w.mutable_labels())["a"] = std::string(100'000, 'x'); }},
  };
  for (const auto& [name, spoil] : bad) {
    agent::v1::FactsDelta facts;
    facts.set_full(true);
    for (int i = 0; i < 20; ++i) {
      auto& workload = *facts.add_workloads();
      workload.set_namespace_("n");
      workload.set_name(i == 10 ? "bad" : "good" + std::to_string(i));
      workload.add_addresses("127.0.0.1");
      if (i == 10) spoil(workload);
    }
    agent_->Say(facts);
    v2::ClusterState state;
    ASSERT_TRUE(Eventually([&] {
      state = ClusterState(kEdge);
      return state.workloads() == 19 && state.problems_size() == 1;
    })) << name
        << ": " << state.ShortDebugString();
    EXPECT_EQ(state.problems(0).source(), "facts");
    EXPECT_LT(state.problems(0).text().size(), 1024u);
    EXPECT_EQ(state.problems(0).text().find_first_of(std::string("\0\n\x1b", 3)), std::string::npos);
    facts.mutable_workloads()->DeleteSubrange(10, 1);
    agent_->Say(facts);  // Cured: the problem goes with it.
    ASSERT_TRUE(Eventually([&] {
      state = ClusterState(kEdge);
      return state.workloads() == 19 && state.problems().empty();
    })) << name
        << ": " << state.ShortDebugString();
  }
}

// A message has 4 MiB on the agents' port; what a cluster holds may be more.
TEST_F(Assembly, FactsComeInPartsAndCountTogether) {
  JoinEdge();
  const auto some = [](int part, bool more) {
    agent::v1::FactsDelta facts;
    facts.set_full(true);
    facts.set_more(more);
    for (int i = 0; i < 1000; ++i) {
      auto& workload = *facts.add_workloads();
      workload.set_namespace_("n");
      workload.set_name("w" + std::to_string(part * 1000 + i));
      workload.add_addresses("127.0.0.1");
      for (int label = 0; label < 10; ++label)
        (*workload.mutable_labels())["l" + std::to_string(label)] = std::string(200, 'x');
    }
    return facts;
  };
  const auto workloads = [&] { return ClusterState(kEdge).workloads(); };
  for (const int part : {0, 1, 2}) agent_->Say(some(part, part < 2));
  EXPECT_TRUE(Eventually([&] { return workloads() == 3000; })) << workloads();
  agent_->Say(some(0, false));
  EXPECT_TRUE(Eventually([&] { return workloads() == 1000; })) << "a full one replaces all parts of the one before";
}

TEST_F(Assembly, ASecondAgentWithTheSameIdentityIsRefusedWhileTheFirstLives) {
  JoinEdge();
  agent_->Run({"n/gw"}, {{"app", "t1"}});
  agent_->Acknowledge();
  WaitForStatus(kShop, [](const v2::ResourceStatus& status) { return !status.gateways().empty(); });
  const auto clone = agent_->Clone();
  ASSERT_FALSE(clone.ok());
  EXPECT_EQ(clone.error().reason, "DUPLICATE_AGENT");
  EXPECT_THAT(clone.error().message, HasSubstr("ipv4:127.0.0.1"));
  const v2::ResourceStatus status = StatusOf(kEdge);
  EXPECT_EQ(status.reason(), "DUPLICATE_AGENT") << status.ShortDebugString();
  EXPECT_NE(status.state(), v2::ResourceStatus::READY);
  EXPECT_TRUE(ClusterState(kEdge).connected());
  EXPECT_EQ(ClusterState(kEdge).workloads(), 1) << "the first one's facts stand";

  // The first one ends: a start of another process with this identity takes over at once.
  agent_->Leave();
  std::unique_ptr<fleet::SmallAgent> next;
  ASSERT_TRUE(Eventually([&] {
    auto again = agent_->Clone();
    if (again.ok()) next = std::move(again).value();
    return next != nullptr;
  }));
  EXPECT_TRUE(ClusterState(kEdge).connected());
  next->Leave();
}

TEST_F(Assembly, ReadyMeansThatARequestWouldBeAnswered) {
  const auto is = [](const std::string& reason) {
    return [reason](const v2::ResourceStatus& status) { return status.reason() == reason; };
  };
  const std::string c1 = "organizations/acme/clusters/c1";
  EXPECT_EQ(Wait(kShop, 20).reason(), "NO_WORKLOAD") << "nobody to wait for, and it says so";
  JoinEdge();
  agent_->Run({"n/gw"}, {{"app", "t1"}});
  agent_->Acknowledge();
  auto status = WaitForStatus(kShop, is("NO_RECEIVER"));
  EXPECT_EQ(status.state(), v2::ResourceStatus::ACCEPTED);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("shop.example.com"), HasSubstr("c1: no tier-2 gateway")));
  EXPECT_EQ(Wait(kShop, 20).reason(), "NO_RECEIVER");

  auto receiver = Join(c1);
  ASSERT_TRUE(receiver.ok()) << receiver.error().ToString();
  fleet::SmallAgent& tier2 = **receiver;
  tier2.Run({"t2/gw"}, {{"app", "t2"}});
  tier2.Acknowledge();
  Apply(R"(apiVersion: gateway.weir.dev/v2
kind: Gateway
metadata: {name: shop2, organization: acme, tenant: t, workspace: w, group: g}
spec:
  workloadSelector: {namespace: t2, labels: {app: t2}}
  http:
  - name: s
    hostname: shop.example.com
    port: 80
    routing: {rules: [{route: {serviceDestination: {host: app/web.app.svc.cluster.local, port: 8080}}}]}
)");
  WaitForStatus(kShop, is("SERVICE_MISSING"));
  agent::v1::FactsDelta facts;
  auto& service = *facts.add_services();
  service.set_namespace_("app");
  service.set_name("web");
  service.add_ports(80);
  (*service.mutable_selector())["app"] = "web";
  tier2.Say(facts);
  WaitForStatus(kShop, is("PORT_MISSING"));
  facts.mutable_services(0)->set_ports(0, 8080);
  tier2.Say(facts);
  WaitForStatus(kShop, is("NO_ENDPOINT"));
  EXPECT_EQ(Drain(c1, false), "") << "it serves nobody anyway";
  {
    v2::SetAdminStateRequest activate;
    activate.set_fqn(c1);
    v2::Cluster cluster;
    grpc::ClientContext context;
    ASSERT_TRUE(v2::Clusters::NewStub(channel_)->ActivateCluster(&context, activate, &cluster).ok());
  }
  auto& pod = *facts.add_workloads();
  pod.set_namespace_("app");
  pod.set_name("web-1");
  (*pod.mutable_labels())["app"] = "web";
  pod.add_addresses("127.0.2.21");
  tier2.Say(facts);
  status = WaitForStatus(kShop, [](const auto& now) { return now.state() == v2::ResourceStatus::READY; });
  EXPECT_EQ(Wait(kShop, 20).state(), v2::ResourceStatus::READY);

  EXPECT_EQ(Drain(c1, false), "LAST_RECEIVER");
  EXPECT_EQ(StatusOf(c1).reason(), "");
  EXPECT_EQ(Drain(c1, true), "");
  status = WaitForStatus(kShop, is("ALL_DRAINED"));
  EXPECT_THAT(status.message(), HasSubstr("shop.example.com"));
  EXPECT_EQ(StatusOf(c1).reason(), "DRAINING");
  EXPECT_EQ(Wait(c1, 20).reason(), "ALL_DRAINED") << "a wait for the drain says whom it leaves alone";
}

TEST_F(Assembly, TellsWhenAnAgentWasLastHeardOfAlsoAfterARestart) {
  server_.reset();
  clock_ = &manual_;
  SetToPresent(manual_);
  Start();
  EXPECT_EQ(StatusOf(kEdge).reason(), "NEVER_JOINED");
  EXPECT_EQ(StatusOf(kEdge).state(), v2::ResourceStatus::ACCEPTED);
  const WallTime heard = manual_.Wall();
  JoinEdge();
  WaitForStatus(kEdge, [](const auto& status) { return status.reason().empty(); });
  server_.reset();
  manual_.Advance(std::chrono::hours(1));
  agent_.reset();
  Start();
  const v2::ResourceStatus status = StatusOf(kEdge);
  EXPECT_EQ(status.reason(), "DISCONNECTED");
  EXPECT_EQ(status.state(), v2::ResourceStatus::PARTIAL);
  const auto seen = ClusterState(kEdge).last_seen();
  const auto time = std::chrono::system_clock::time_point(std::chrono::seconds(seen.seconds()) +
                                                          std::chrono::microseconds(seen.nanos() / 1000));
  EXPECT_GE(time + std::chrono::seconds(1), heard);
  EXPECT_LE(time, heard) << "that this server began says nothing of when the agent was last heard of";
  EXPECT_THAT(status.message(), HasSubstr("last heard of at " + Rfc3339(time).substr(0, 19)));
}

TEST_F(Assembly, AProblemEndsWhenItsAgentSaysSo) {
  JoinEdge();
  agent_->Say({{"discovery", "line 3 is no \x1b[31mYAML"}});
  const auto status = WaitForStatus(kEdge, [](const auto& now) { return now.reason() == "AGENT_PROBLEM"; });
  EXPECT_EQ(status.message(), "discovery: line 3 is no \\x1b[31mYAML");
  agent_->Say(std::vector<std::pair<std::string, std::string>>{});
  WaitForStatus(kEdge, [](const auto& now) { return now.reason().empty(); });
}

}  // namespace
}  // namespace weir::server
