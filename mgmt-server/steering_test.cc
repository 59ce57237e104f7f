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

// The tier-1 gateways that sent there until now, whose list selects it no longer.
TEST_F(Steering, AWaitForALabelIsForThoseWhoSentThere) {
  const auto labelled = [](const std::string& name, const std::string& ring) {
    return "---\napiVersion: api.weir.dev/v2\nkind: Cluster\nmetadata: {name: " + name +
           ", organization: acme, labels: {ring: " + ring + "}}\n";
  };
  std::string shop = kTwoReceivers;
  shop = shop.substr(shop.rfind("apiVersion"));
  const std::string list = "[{name: c1, weight: 1}, {name: c2, weight: 1}]";
  shop.replace(shop.find(list), list.size(), "[{labels: {ring: beta}}]");
  Apply(labelled("c1", "beta") + labelled("c2", "beta") + "---\n" + shop);
  EXPECT_EQ(Wait(kShop, 20).state(), v2::ResourceStatus::READY);
  agent_.reset();
  JoinEdge();
  agent_->Run({"n/gw"}, {{"app", "t1"}});
  Apply(labelled("c1", "old"));
  v2::GetStatusRequest request;
  request.set_fqn(kC1);
  request.set_wait("applied");
  request.set_wait_seconds(1);
  v2::ResourceStatus status;
  grpc::ClientContext context;
  ASSERT_TRUE(v2::Statuses::NewStub(channel_)->GetStatus(&context, request, &status).ok());
  EXPECT_NE(status.state(), v2::ResourceStatus::READY) << "nobody acknowledged it";
  EXPECT_THAT(status.message(), ::testing::HasSubstr("tier1gateways/shop"));
  agent_->Acknowledge();
  EXPECT_EQ(Wait(kC1, 20).state(), v2::ResourceStatus::READY);
}

// What is pushed is behind what is stored for a moment, and two may ask at once.
TEST_F(Steering, OfTwoDrainsOneIsRefused) {
  for (int round = 0; round < 10; ++round) {
    std::string first, second;
    const bool at_once = round % 2 == 0;
    std::thread other([&] { first = Drain(kC1, false); });
    if (!at_once) other.join();
    second = Drain(kC2, false);
    if (at_once) other.join();
    EXPECT_NE(first.empty(), second.empty()) << round << " \"" << first << "\" \"" << second << "\"";
    Activate(kC1);
    Activate(kC2);
  }
}

}  // namespace
}  // namespace weir::server
