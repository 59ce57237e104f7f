#include "mgmt-server/test_receivers.h"

// Waits for what steers tier-1 gateways: drains and their end.

namespace weir::server {
namespace {

class Steering : public TwoReceivers {
 protected:
  void Revoke(const std::string& fqn) {
    v2::RevokeClusterRequest request;
    request.set_fqn(fqn);
    v2::Cluster cluster;
    grpc::ClientContext context;
    ASSERT_TRUE(v2::ClusterOperations::NewStub(channel_)->RevokeCluster(&context, request, &cluster).ok());
    WaitForStatus(fqn, [](const auto& now) { return now.reason() == "REVOKED"; });
  }
  void Activate(const std::string& fqn) {
    v2::SetAdminStateRequest request;
    request.set_fqn(fqn);
    v2::Cluster cluster;
    grpc::ClientContext context;
    ASSERT_TRUE(v2::ClusterOperations::NewStub(channel_)->ActivateCluster(&context, request, &cluster).ok());
  }
};

// The gateways of c2 let nobody new in, but a drain of c1 and its end ask nothing of them.
TEST_F(Steering, AWaitForOneClusterIsNotForWhatAnotherLacks) {
  Revoke(kC2);
  EXPECT_EQ(Drain(kC1, true), "");
  WaitForStatus(kShop, [](const auto& now) { return now.reason() == "REVOKED"; });  // What the whole object lacks.
  EXPECT_EQ(Wait(kC1, 20).reason(), "") << "the tier-1 gateways send nothing new there";
  Activate(kC1);
  const v2::ResourceStatus active = Wait(kC1, 20);
  EXPECT_EQ(active.state(), v2::ResourceStatus::READY) << active.ShortDebugString();
}

}  // namespace
}  // namespace weir::server
