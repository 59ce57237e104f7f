#include "libs/gateway/identity_keeper.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <semaphore>

#include "api/weir/agent/v1/agent.grpc.pb.h"
#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "libs/identity/spiffe_id.h"
#include "libs/identity/token.h"
#include "libs/rpc/server.h"
#include "libs/rpc/time.h"
#include "tests/support/full_disk.h"
#include "tests/support/real_time.h"

namespace weir::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kDomain = "edge.acme.weir.internal";
constexpr Duration kLife = std::chrono::hours(1);

// Signs leaves of an hour by the test's clock.
class Signer : public agent::v1::WorkloadIdentity::Service {
 public:
  explicit Signer(const Clock& clock) : clock_(clock), root(identity::NewRoot("acme", clock).value()) {
    cluster_.key_pem = identity::NewKey().value();
    cluster_.certificate_pem =
        identity::SignIntermediate(
            root, {identity::MakeCsr(cluster_.key_pem).value(), kDomain, {"uid", 1}, std::chrono::hours(24)}, clock)
            .value();
    identity::LeafRequest leaf;
    rpc::ServerTls tls;
    tls.key_pem = identity::NewKey().value();
    leaf.csr_pem = identity::MakeCsr(tls.key_pem).value();
    leaf.spiffe_id = identity::AgentSpiffeId(kDomain);
    leaf.dns_names = {identity::AgentDnsName(kDomain)};
    tls.chain_pem = identity::SignLeaf(cluster_, leaf, clock).value() + cluster_.certificate_pem;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", rpc::FixedServerTls(tls).value(), &port);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~Signer() override { server_->Shutdown(rpc::DeadlineIn(std::chrono::seconds(1))); }

  grpc::Status Sign(grpc::ServerContext*, const agent::v1::SignRequest* request,
                    agent::v1::SignResponse* response) override {
    ++asked;
    if (slow && !go.try_acquire_for(std::chrono::seconds(20))) return {grpc::StatusCode::INTERNAL, "never let go"};
    if (refuses) return {grpc::StatusCode::UNAVAILABLE, "not now"};
    identity::LeafRequest leaf;
    leaf.csr_pem = request->csr_pem();
    leaf.spiffe_id = identity::WorkloadSpiffeId(kDomain, "ingress", "t1");
    leaf.lifetime = kLife;
    response->set_chain_pem(identity::SignLeaf(cluster_, leaf, clock_).value() + cluster_.certificate_pem);
    return grpc::Status::OK;
  }

 private:
  const Clock& clock_;
  identity::Authority cluster_;
  std::unique_ptr<grpc::Server> server_;

 public:
  const identity::Authority root;
  int port = 0;
  std::atomic<int> asked = 0;
  std::atomic<bool> slow = false, refuses = false;
  std::counting_semaphore<> go{0};  // A slow one answers once for each.
};

class IdentityKeeperTest : public testing::Test {
 protected:
  IdentityKeeperTest() {
    SetToPresent(clock_);
    signer_ = std::make_unique<Signer>(clock_);
    EXPECT_TRUE(MakeFolders(folder_, 0700).ok());
    EXPECT_TRUE(identity::WriteSecretFile(folder_ + "/token", "secret\n").ok());
  }
  ~IdentityKeeperTest() override {
    keeper_.reset();
    std::filesystem::remove_all(folder_);
  }
  void Start() {
    Settings settings;
    settings.state_dir = folder_;
    settings.agent = "127.0.0.1:" + std::to_string(signer_->port);
    settings.agent_id = identity::AgentSpiffeId(kDomain);
    settings.root_pem = signer_->root.certificate_pem;
    settings.token_file = folder_ + "/token";
    const auto take = [this](const Leaf&) {
      ++taken_;
      return Status();
    };
    keeper_ = std::make_unique<IdentityKeeper>(settings, take, clock_);
    keeper_->Start();
  }
  // So many leaves were asked for, and the last of them is there.
  bool Has(int leaves) {
    return Eventually([&] { return taken_ >= leaves && keeper_->Current(); }) && taken_ == leaves &&
           signer_->asked == leaves;
  }

  const std::string folder_ = testing::TempDir() + "weir-keeper-" + RandomHex(6);
  ManualClock clock_;
  std::unique_ptr<Signer> signer_;
  std::atomic<int> taken_ = 0;
  std::unique_ptr<IdentityKeeper> keeper_;
};

TEST_F(IdentityKeeperTest, AsksAgainAtHalfOfALifeAndNotBefore) {
  Start();
  ASSERT_TRUE(Has(1));
  const Duration renew_in = keeper_->Current()->renew_at - clock_.Now();
  EXPECT_GE(renew_in, kLife * 2 / 5);
  EXPECT_LE(renew_in, kLife * 3 / 5);
  clock_.Advance(renew_in - std::chrono::seconds(1));
  EXPECT_TRUE(Has(1));
  clock_.Advance(std::chrono::seconds(1));
  EXPECT_TRUE(Has(2));
  EXPECT_TRUE(Eventually([&] { return keeper_->Current()->renew_at > clock_.Now(); }));
}

TEST_F(IdentityKeeperTest, RenewNowAsksThoughTheLeafLivesForLong) {
  Start();
  ASSERT_TRUE(Has(1));
  keeper_->RenewNow();
  EXPECT_TRUE(Has(2));
  keeper_->RenewNow();
  EXPECT_TRUE(Has(3));
}

// What is being signed may be of the membership that has just ended: it is taken, and another one asked for.
TEST_F(IdentityKeeperTest, RenewNowWhileALeafIsBeingSignedIsNotForgotten) {
  Start();
  ASSERT_TRUE(Has(1));
  signer_->slow = true;
  keeper_->RenewNow();
  ASSERT_TRUE(Eventually([&] { return signer_->asked == 2; }));
  keeper_->RenewNow();
  signer_->go.release();
  ASSERT_TRUE(Eventually([&] { return signer_->asked == 3; })) << "no time passed, and no leaf was due";
  signer_->go.release();
  EXPECT_TRUE(Has(3));
}

TEST_F(IdentityKeeperTest, AnAgentThatRefusesIsAskedAgainWithPauses) {
  signer_->refuses = true;
  Start();
  ASSERT_TRUE(Eventually([&] { return signer_->asked == 1; }));
  ASSERT_TRUE(Eventually([&] {
    clock_.Advance(std::chrono::milliseconds(50));
    return signer_->asked >= 5;
  }));
  signer_->refuses = false;
  EXPECT_TRUE(Eventually([&] {
    clock_.Advance(std::chrono::milliseconds(50));
    return taken_ == 1;
  }));
}

TEST_F(IdentityKeeperTest, SaysThatRenewalIsOverdueAndGoesOnAsking) {
  Start();
  ASSERT_TRUE(Has(1));
  signer_->refuses = true;
  clock_.Advance(kLife * 3 / 5);
  ASSERT_TRUE(Eventually([&] { return signer_->asked >= 2; }));
  EXPECT_THAT(keeper_->Problems(), IsEmpty());
  clock_.Advance(kLife * 3 / 10);
  EXPECT_THAT(keeper_->Problems(), ElementsAre(HasSubstr("could not be renewed and runs out")));
  clock_.Advance(kLife / 5);
  EXPECT_THAT(keeper_->Problems(), ElementsAre(HasSubstr("ran out")));
  signer_->refuses = false;
  EXPECT_TRUE(Eventually([&] {
    clock_.Advance(std::chrono::milliseconds(50));
    return taken_ == 2;
  }));
  EXPECT_TRUE(Eventually([&] { return keeper_->Problems().empty(); }));
}

TEST_F(IdentityKeeperTest, SaysThatALeafIsNotOnDiskUntilItIs) {
  {
    const test::FullDisk full;
    Start();
    ASSERT_TRUE(Has(1)) << "it serves all the same";
    EXPECT_TRUE(Eventually([&] { return !keeper_->Problems().empty(); }));
    EXPECT_THAT(keeper_->Problems(), ElementsAre(HasSubstr("not kept for a restart")));
  }
  int minutes = 0;
  EXPECT_TRUE(Eventually([&] {
    if (++minutes < 20) clock_.Advance(std::chrono::minutes(1));  // Not to the renewal; tried each minute.
    return keeper_->Problems().empty();
  }));
  EXPECT_EQ(taken_, 1) << "without another one";
}

}  // namespace
}  // namespace weir::gateway
