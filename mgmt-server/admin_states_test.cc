#include "mgmt-server/test_assembly.h"

namespace weir::server {
namespace {

constexpr char kC1[] = "organizations/acme/clusters/c1";

// By a clock that only the test turns.
class AdminStates : public Assembly {
 protected:
  void SetUp() override {
    SetToPresent(hands_);
    clock_ = &hands_;
    Assembly::SetUp();
  }
  void TearDown() override {
    Assembly::TearDown();
    clock_ = &Clock::Real();
  }
  void DrainFor(int64_t seconds) {
    v2::SetAdminStateRequest request;
    request.set_fqn(kC1);
    request.set_force(true);
    request.set_reason("new disks");
    request.set_ttl_seconds(seconds);
    v2::Cluster drained;
    grpc::ClientContext context;
    const auto status = v2::ClusterOperations::NewStub(channel_)->DrainCluster(&context, request, &drained);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(drained.spec().admin_state(), v2::DRAINING);
  }
  v2::AdminState Now() {
    v2::GetClusterRequest request;
    request.set_fqn(kC1);
    v2::Cluster cluster;
    grpc::ClientContext context;
    EXPECT_TRUE(v2::Clusters::NewStub(channel_)->GetCluster(&context, request, &cluster).ok());
    return cluster.spec().admin_state();
  }

  ManualClock hands_;
};

TEST_F(AdminStates, EndByThemselves) {
  DrainFor(600);
  hands_.Advance(std::chrono::seconds(590));
  EXPECT_EQ(Now(), v2::DRAINING);
  hands_.Advance(std::chrono::seconds(11));
  EXPECT_TRUE(Eventually([&] { return Now() == v2::ACTIVE; }));
}

TEST_F(AdminStates, EndThoughNoServerRanWhenTheirTimeCame) {
  DrainFor(600);
  channel_.reset();
  server_.reset();
  hands_.Advance(std::chrono::seconds(601));
  Start();
  hands_.Advance(std::chrono::seconds(2));
  EXPECT_TRUE(Eventually([&] { return Now() == v2::ACTIVE; }));
}

}  // namespace
}  // namespace weir::server
