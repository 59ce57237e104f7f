#include "mgmt-server/authz/authz.h"
#include "mgmt-server/store/sqlite/sqlite_store.h"
#include "mgmt-server/test_assembly.h"

// What the server does while it knows nothing, and what it says of why.

namespace weir::server {
namespace {

using ::testing::HasSubstr;

// The server knows nothing of what gateways do right after its start, and of a cluster whose agent is away.
TEST_F(Assembly, ADrainWaitsForWhoKnowsWhetherAnybodyIsLeft) {
  const std::string c1 = "organizations/acme/clusters/c1";
  JoinEdge();
  agent_->Run({"n/gw"}, {{"app", "t1"}});
  agent_->ReportsHealth();
  agent_->Acknowledge();
  WaitForStatus(kShop, [](const auto& now) { return now.reason() == "NO_RECEIVER"; });
  EXPECT_EQ(Drain(c1, false), "HEALTH_UNKNOWN") << "its gateway has not reported yet";
  agent::v1::GatewayTraffic traffic;
  traffic.set_workload("n/gw");
  traffic.set_health_known(true);
  agent_->Report(traffic);
  std::string refused;
  EXPECT_TRUE(Eventually([&] { return (refused = Drain(c1, false)).empty(); })) << refused;
  v2::SetAdminStateRequest activate;
  activate.set_fqn(c1);
  v2::Cluster cluster;
  grpc::ClientContext context;
  ASSERT_TRUE(v2::ClusterOperations::NewStub(channel_)->ActivateCluster(&context, activate, &cluster).ok());
  agent_->Leave();
  WaitForStatus(kEdge, [](const auto& now) { return now.reason() == "DISCONNECTED"; });
  EXPECT_EQ(Drain(c1, false), "HEALTH_UNKNOWN");
  server_.reset();
  Start();
  EXPECT_EQ(Drain(c1, false), "HEALTH_UNKNOWN");
  EXPECT_EQ(Drain(c1, true), "");
}

TEST_F(Assembly, ARevokedClusterIsNamedAndToldHowToReturn) {
  JoinEdge();
  agent_->Run({"n/gw"}, {{"app", "t1"}});
  agent_->Acknowledge();
  WaitForStatus(kShop, [](const auto& now) { return now.gateways_size() == 1; });
  v2::RevokeClusterRequest request;
  request.set_fqn(kEdge);
  v2::Cluster cluster;
  grpc::ClientContext context;
  ASSERT_TRUE(v2::ClusterOperations::NewStub(channel_)->RevokeCluster(&context, request, &cluster).ok());
  auto status = WaitForStatus(kEdge, [](const auto& now) { return now.reason() == "REVOKED"; });
  EXPECT_THAT(status.message(), HasSubstr("weir cluster rejoin edge"));
  EXPECT_TRUE(ClusterState(kEdge).revoked());
  status = WaitForStatus(kShop, [](const auto& now) { return now.gateways(0).reason() == "REVOKED"; });
  agent_->Acknowledge();  // By another stream of intent.
  EXPECT_TRUE(Eventually([&] { return !agent_->AdsEnd().empty(); }));
  server_.reset();
  {
    const auto store = store::OpenSqlite({.path = bootstrap_.state_dir() + "/weir.db"}, authz::TenancyPolicy());
    ASSERT_TRUE(store.ok()) << store.error().ToString();
    const auto refused = (*store)->Audit({});
    ASSERT_TRUE(refused.ok());
    EXPECT_TRUE(std::any_of(refused->begin(), refused->end(), [](const store::AuditRow& row) {
      return row.action == "stream-refused" && row.fqn == kEdge;
    }));
  }
  Start();
  EXPECT_EQ(StatusOf(kEdge).reason(), "REVOKED") << "also after a restart";
  JoinEdge();
  WaitForStatus(kEdge, [](const auto& now) { return now.reason().empty(); });
  EXPECT_FALSE(ClusterState(kEdge).revoked());
}

}  // namespace
}  // namespace weir::server
