#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "api/weir/v2/cluster.pb.h"
#include "api/weir/v2/organization.pb.h"
#include "libs/base/fair_pool.h"
#include "libs/base/mutex.h"
#include "libs/rpc/server.h"
#include "mgmt-server/ca/ca.h"
#include "mgmt-server/ca/join_tokens.h"
#include "mgmt-server/fleet/fleet.h"
#include "mgmt-server/fleet/small_agent.h"
#include "mgmt-server/store/temp_store.h"
#include "tests/support/real_time.h"

namespace weir::fleet {
namespace {

const std::string kCluster = "organizations/acme/clusters/c1";
constexpr Duration kLook = std::chrono::milliseconds(500);

// A disk that can stop.
class Disk {
 public:
  void Stop() { Set(true); }
  void GoOn() { Set(false); }
  void Pass() {
    MutexLock lock(mutex_);
    ++held_;
    wake_.Wait(mutex_, [this]() WEIR_REQUIRES(mutex_) { return !stopped_; });
    --held_;
  }
  bool HoldsSomebody() {
    MutexLock lock(mutex_);
    return held_ > 0;
  }

 private:
  void Set(bool stopped) {
    MutexLock lock(mutex_);
    stopped_ = stopped;
    wake_.NotifyAll();
  }
  Mutex mutex_;
  CondVar wake_;
  bool stopped_ WEIR_GUARDED_BY(mutex_) = false;
  int held_ WEIR_GUARDED_BY(mutex_) = 0;
};

// A fleet with one agent, by a clock that the test moves.
class HeartTest : public testing::Test {
 protected:
  void SetUp() override {
    v2::Organization organization;
    organization.mutable_spec()->set_domain("acme.test");
    Put("Organization", "organizations/acme", organization);
    Put("Cluster", kCluster, v2::Cluster());
    const auto certificate = ca_->server_certificate();
    auto tls = rpc::RotatingServerTls::Open(
        store_.folder() + "/tls",
        {certificate.chain_pem, certificate.key_pem, ca_->mesh_roots_pem(), rpc::ClientCertificate::kOptional}, clock_);
    ASSERT_TRUE(tls.ok()) << tls.error().ToString();
    tls_ = std::move(tls).value();
    ASSERT_TRUE(fleet_.Start().ok());
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", tls_->credentials(), &port);
    builder.RegisterService(fleet_.join_service());
    builder.RegisterService(fleet_.reports_service());
    server_ = builder.BuildAndStart();
    auto agent = SmallAgent::Join("127.0.0.1:" + std::to_string(port), ca_->anchor_pem(), Token());
    ASSERT_TRUE(agent.ok()) << agent.error().ToString();
    agent_ = std::move(agent).value();
  }
  void TearDown() override {
    disk_.GoOn();
    agent_.reset();
    server_->Shutdown();
    fleet_.Stop();
  }
  void Put(const std::string& kind, const std::string& fqn, const google::protobuf::Message& message) {
    const auto put = store_->Write([&](store::Txn& txn) -> Status {
      WEIR_ASSIGN(const auto stored, txn.Put({kind, fqn, message.SerializeAsString(), {}, {}}));
      return {};
    });
    ASSERT_TRUE(put.ok()) << put.error().ToString();
  }
  std::string Token() {
    const auto minted = ca::MintJoinToken(kCluster, ca_->anchor_sha256(), clock_);
    EXPECT_TRUE(store_
                    ->Write([&](store::Txn& txn) {
                      return txn.PutJoinToken({minted.hash, txn.Get(kCluster)->uid, txn.now(), minted.expires, false});
                    })
                    .ok());
    return minted.text;
  }

  Disk disk_;
  struct Now : ManualClock {
    Now() { SetToPresent(*this); }  // gRPC judges certificates by the machine's clock.
  } clock_;
  store::TempStore store_{store::NoPolicy::Get(), clock_, [this](const store::Standing&) { disk_.Pass(); }};
  std::unique_ptr<ca::ServerCa> ca_ = *ca::ServerCa::Open(ca::FileBlobs(store_.folder()), {}, clock_);
  FairPool pool_{4, 64};
  Fleet fleet_{*store_, *ca_, pool_, {.clock = &clock_}};
  std::unique_ptr<rpc::RotatingServerTls> tls_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<SmallAgent> agent_;
};

// Each tenth beat stores when agents were heard of.
TEST_F(HeartTest, BeatsOnWhileTheDiskStandsStill) {
  disk_.Stop();
  for (const uint64_t beats = agent_->beats(); agent_->beats() < beats + 35;) {
    const uint64_t before = agent_->beats();
    ASSERT_TRUE(Eventually([&] {
      if (agent_->beats() == before) clock_.Advance(kLook);
      return agent_->beats() > before;
    })) << before
        << " beats";
  }
  EXPECT_TRUE(disk_.HoldsSomebody()) << "somebody waits for it";
  EXPECT_TRUE(fleet_.ClusterStateOf(kCluster).connected());
}

}  // namespace
}  // namespace weir::fleet
