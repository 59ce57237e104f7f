// The service and the client over real connections on loopback.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "envoy/service/discovery/v3/ads.grpc.pb.h"
#include "libs/base/mutex.h"
#include "libs/identity/certificates.h"
#include "libs/rpc/keep_awake.h"
#include "libs/rpc/server.h"
#include "libs/rpc/time.h"
#include "libs/xds/grpc/ads_client.h"
#include "libs/xds/grpc/ads_service.h"
#include "tests/support/real_time.h"

namespace weir::xds {
namespace {

SnapshotPtr Make(const std::map<std::string, std::string>& clusters) {
  auto snapshot = std::make_shared<Snapshot>();
  auto map = std::make_shared<Resources>();
  for (const auto& [name, value] : clusters) (*map)[name] = MakeResource(name, value);
  snapshot->types[std::string(kCluster)] = std::move(map);
  snapshot->types[std::string(kListener)] = std::make_shared<Resources>();
  return snapshot;
}

// Waits for a condition that other threads bring about.
class Watch {
 public:
  template <typename Change>
  void Do(Change&& change) {
    MutexLock lock(mutex_);
    change();
    wake_.NotifyAll();
  }
  template <typename Condition>
  bool Until(Condition&& condition, std::chrono::seconds limit = std::chrono::seconds(20)) {
    MutexLock lock(mutex_);
    return wake_.WaitRealTime(mutex_, limit, condition);
  }

 private:
  Mutex mutex_;
  CondVar wake_;
};

class AdsTest : public testing::Test, public AdsHandler, public AdsClientHandler {
 protected:
  void SetUp() override {
    const auto root = identity::NewServerAnchor().value();
    peer_ = identity::ServerPeer(root.certificate_pem).value();
    identity::LeafRequest request;
    key_pem_ = identity::NewKey().value();
    request.csr_pem = identity::MakeCsr(key_pem_).value();
    request.spiffe_id = peer_.spiffe_id;
    request.dns_names = {"localhost"};
    chain_pem_ = identity::SignLeaf(root, request).value() + root.certificate_pem;
    StartServer(0);
  }
  void TearDown() override {
    StopClient();
    StopServer();
  }
  void StartServer(int port) {
    auto rules = std::make_shared<ServerRules>(EnvoyRules());
    rules->heartbeat_interval = heartbeat_;
    AdsServiceOptions options;
    options.rules = rules;
    options.clock = clock_;
    options.streams_per_principal = 2;
    options.max_streams = 3;
    service_ = std::make_unique<AdsService>(*this, std::move(options));
    grpc::ServerBuilder builder;
    rpc::ApplyDefaults(builder);
    builder.AddListeningPort("127.0.0.1:" + std::to_string(port), ServerCredentials(), &port_);
    builder.RegisterService(service_->service());
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }
  Result<AdsGrant> Authenticate(const AdsPeer& peer) override {
    const auto token = peer.metadata.find("authorization");
    if (token == peer.metadata.end()) return Unauthenticated("TOKEN_MISSING", "who are you");
    if (token->second == "Bearer secret") return AdsGrant{"key"};
    if (token->second == "Bearer other") return AdsGrant{"other"};
    return Unauthenticated("TOKEN_UNKNOWN", "who are you");
  }
  void OnAck(const std::string& key, uint64_t, const AckEvent& event) override {
    watch_.Do([&] {
      EXPECT_TRUE(key == "key" || key == "other") << key;
      if (opened_ == 0) ++early_acks_;
      acks_.push_back(event);
    });
  }
  void OnStream(const AdsStreamEvent& event) override {
    if (event.kind == AdsStreamEvent::Kind::kOpened && while_opening_) while_opening_();
    watch_.Do([&] { (event.kind == AdsStreamEvent::Kind::kOpened ? opened_ : closed_)++; });
  }
  void StopServer() {
    if (service_) service_->Shutdown();
    if (server_) server_->Shutdown(rpc::DeadlineIn(std::chrono::seconds(2)));
    server_.reset();
    service_.reset();
  }
  std::shared_ptr<grpc::ServerCredentials> ServerCredentials() {
    rpc::ServerTls tls;
    tls.chain_pem = chain_pem_;
    tls.key_pem = key_pem_;
    return rpc::FixedServerTls(tls).value();
  }
  void StartClient(const std::string& token = "secret", Duration stall = std::chrono::seconds(12)) {
    AdsClientOptions options;
    token_ = token;
    options.node.id = "node";
    options.types = {std::string(kListener), std::string(kCluster)};
    options.stall_timeout = stall;
    options.backoff_max = std::chrono::milliseconds(200);
    client_ = std::make_unique<AdsClient>(*this, std::move(options));
    client_->Start();
  }
  rpc::ChannelOptions Channel() override {
    rpc::ChannelOptions channel;
    channel.target = "127.0.0.1:" + std::to_string(port_);
    channel.peer = peer_;
    channel.bearer_token = token_;
    return channel;
  }
  void OnUpdate(const Update& update) override {
    std::string reject;
    watch_.Do([&] {
      views_.push_back(update.view);
      reject = reject_;
    });
    reject.empty() ? client_->Accept(update.id) : client_->Reject(update.id, reject);
  }
  void OnState(bool up, const std::string& reason) override {
    watch_.Do([&] {
      up_ = up;
      if (!up) ++losses_;
      reason_ = reason;
    });
  }
  // Its callbacks use client_, so they end before the pointer does.
  void StopClient() {
    if (client_ != nullptr) client_->Stop();
    client_.reset();
  }
  bool Seen(const std::string& name, const std::string& value) {
    return watch_.Until([&] {
      const Resource* found = views_.empty() ? nullptr : views_.back()->Find(kCluster, name);
      return found != nullptr && found->value == value;
    });
  }

  // One that speaks the protocol by hand.
  struct Raw {
    std::unique_ptr<envoy::service::discovery::v3::AggregatedDiscoveryService::Stub> stub;
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReaderWriter<envoy::service::discovery::v3::DeltaDiscoveryRequest,
                                             envoy::service::discovery::v3::DeltaDiscoveryResponse>>
        stream;

    bool Ask(std::string_view type, const std::map<std::string, std::string>& has = {}) {
      envoy::service::discovery::v3::DeltaDiscoveryRequest request;
      request.mutable_node()->set_id("n");
      request.mutable_node()->set_user_agent_name("envoy");
      request.set_type_url(std::string(type));
      request.add_resource_names_subscribe("*");
      for (const auto& [name, version] : has) (*request.mutable_initial_resource_versions())[name] = version;
      return stream->Write(request);
    }
    bool Answered() {
      envoy::service::discovery::v3::DeltaDiscoveryResponse response;
      return stream->Read(&response);
    }
  };
  std::unique_ptr<Raw> Open(const std::string& token) {
    const grpc::SslCredentialsOptions tls{peer_.anchors_pem, "", ""};
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride("localhost");
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    auto raw = std::make_unique<Raw>();
    raw->stub = envoy::service::discovery::v3::AggregatedDiscoveryService::NewStub(
        grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(port_), grpc::SslCredentials(tls), arguments));
    if (!token.empty()) raw->context.AddMetadata("authorization", "Bearer " + token);
    raw->context.set_deadline(rpc::DeadlineIn(std::chrono::seconds(30)));
    raw->stream = raw->stub->DeltaAggregatedResources(&raw->context);
    return raw;
  }

  std::function<void()> while_opening_;
  const Clock* clock_ = &Clock::Real();
  Duration heartbeat_ = std::chrono::seconds(3);
  identity::PeerRule peer_;
  std::string chain_pem_, key_pem_;
  int port_ = 0;
  std::unique_ptr<AdsService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<AdsClient> client_;
  Watch watch_;
  std::vector<AckEvent> acks_;
  std::vector<SnapshotPtr> views_;
  std::string token_, reject_, reason_;
  bool up_ = false;
  int early_acks_ = 0;
  int opened_ = 0, closed_ = 0, losses_ = 0;
};

TEST_F(AdsTest, CarriesChangesAndTheirAcknowledgements) {
  service_->SetSnapshot("key", Make({{"a", "1"}}));
  StartClient();
  ASSERT_TRUE(Seen("a", "1"));
  service_->SetSnapshot("key", Make({{"a", "2"}, {"b", "1"}}));
  ASSERT_TRUE(Seen("b", "1"));
  ASSERT_TRUE(watch_.Until(
      [&] { return !acks_.empty() && acks_.back().accepted && acks_.back().accepted_resources.size() == 2; }));
  // The empty answer about listeners may still be on its way: nobody is told of its end.
  EXPECT_TRUE(Eventually([&] { return client_->Complete(); }));
  EXPECT_TRUE(client_->Connected());
  EXPECT_GE(rpc::KeepAwake::Holders(), 2u)
      << "else a change after a quiet second waits until gRPC's threads have slept";
}

TEST_F(AdsTest, AClientThatComesBeforeTheSnapshotWaits) {
  StartClient();
  ASSERT_TRUE(watch_.Until([&] { return opened_ == 1 && up_; })) << "the heartbeat is answered without a snapshot";
  EXPECT_TRUE(views_.empty());
  service_->SetSnapshot("key", Make({{"a", "1"}}));
  ASSERT_TRUE(Seen("a", "1"));
}

TEST_F(AdsTest, ARejectionReachesTheObserverWithItsReason) {
  reject_ = "cluster a: not supported";
  service_->SetSnapshot("key", Make({{"a", "1"}}));
  StartClient();
  ASSERT_TRUE(watch_.Until([&] {
    for (const auto& ack : acks_) {
      if (!ack.accepted && ack.error == "cluster a: not supported" && !ack.rejected_resources.empty()) return true;
    }
    return false;
  }));
}

// Somebody who counts answers by stream would forget them.
TEST_F(AdsTest, NoAnswerIsToldBeforeItsStream) {
  while_opening_ = [this] { service_->SetSnapshot("key", Make({{"a", "1"}, {"b", "1"}})); };
  const auto raw = Open("secret");
  ASSERT_TRUE(raw->Ask(kCluster, {{"a", ContentVersion("1")}}) && raw->Answered());
  ASSERT_TRUE(watch_.Until([&] { return opened_ == 1 && !acks_.empty(); }));
  EXPECT_EQ(early_acks_, 0);
  EXPECT_EQ(acks_.front().accepted_resources, (std::vector<NamedVersion>{{"a", ContentVersion("1")}}));
}

TEST_F(AdsTest, AWrongTokenIsRefused) {
  service_->SetSnapshot("key", Make({{"a", "1"}}));
  StartClient("wrong");
  ASSERT_TRUE(watch_.Until([&] { return losses_ >= 2; }));
  EXPECT_NE(reason_.find("who are you"), std::string::npos) << reason_;
  EXPECT_TRUE(views_.empty());
}

TEST_F(AdsTest, WhoIsNobodyIsRefusedBeforeItHasSaidAWord) {
  for (const char* token : {"", "wrong"}) {
    const auto raw = Open(token);
    EXPECT_FALSE(raw->Answered());  // Nothing was written.
    EXPECT_EQ(raw->stream->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  }
  EXPECT_EQ(service_->StreamCount(), 0u);
  EXPECT_EQ(opened_, 0);
}

TEST_F(AdsTest, ANewerStreamOfAPrincipalTakesThePlaceOfItsOldestAndOfNobodyElse) {
  service_->SetSnapshot("key", Make({{"a", "1"}}));
  service_->SetSnapshot("other", Make({{"a", "1"}}));
  const auto other = Open("other");
  ASSERT_TRUE(other->Ask(kCluster) && other->Answered());
  std::vector<std::unique_ptr<Raw>> streams;
  for (int i = 0; i < 4; ++i) {
    streams.push_back(Open("secret"));
    ASSERT_TRUE(streams.back()->Ask(kCluster) && streams.back()->Answered()) << i;
  }
  for (int i = 0; i < 2; ++i) {
    EXPECT_FALSE(streams[i]->Answered());
    EXPECT_EQ(streams[i]->stream->Finish().error_code(), grpc::StatusCode::ABORTED) << i;
  }
  service_->SetSnapshot("key", Make({{"a", "2"}}));
  EXPECT_TRUE(Eventually([&] { return service_->StreamCount("key") == 2; })) << "forgotten after its client has heard";
  EXPECT_EQ(service_->StreamCount("other"), 1u);
  // The bound of all (3) is reached: another one of somebody who has room of its own is refused.
  const auto late = Open("other");
  EXPECT_FALSE(late->Answered());
  EXPECT_EQ(late->stream->Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(service_->StreamCount(), 3u);  // It was never one of them.
}

TEST_F(AdsTest, KeepsEverythingWhileTheServerIsGoneAndCatchesUpAfter) {
  service_->SetSnapshot("key", Make({{"a", "1"}}));
  StartClient();
  ASSERT_TRUE(Seen("a", "1"));
  StopServer();
  ASSERT_TRUE(watch_.Until([&] { return !up_ && losses_ >= 1; }));
  EXPECT_EQ(client_->Accepted()->Find(kCluster, "a")->value, "1");
  StartServer(port_);
  EXPECT_EQ(client_->Accepted()->Count(), 1u);
  service_->SetSnapshot("key", Make({{"a", "1"}, {"b", "2"}}));
  ASSERT_TRUE(Seen("b", "2"));
}

TEST_F(AdsTest, ManyChangesInARowEndWithTheLast) {
  service_->SetSnapshot("key", Make({{"a", "0"}}));
  StartClient();
  for (int i = 1; i <= 500; ++i) service_->SetSnapshot("key", Make({{"a", std::to_string(i)}}));
  ASSERT_TRUE(Seen("a", "500"));
}

TEST_F(AdsTest, ClosesTheStreamsOfAKeyThatIsRemoved) {
  service_->SetSnapshot("key", Make({{"a", "1"}}));
  StartClient();
  ASSERT_TRUE(Seen("a", "1"));
  service_->Remove("key", "deleted");
  ASSERT_TRUE(watch_.Until([&] { return closed_ >= 1 && losses_ >= 1; }));
  EXPECT_NE(client_->Accepted()->Find(kCluster, "a"), nullptr);
}

// A server that takes the stream and never says a word: what a stopped process looks like.
class Mute : public envoy::service::discovery::v3::AggregatedDiscoveryService::Service {
 public:
  grpc::Status DeltaAggregatedResources(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<envoy::service::discovery::v3::DeltaDiscoveryResponse,
                               envoy::service::discovery::v3::DeltaDiscoveryRequest>* stream) override {
    envoy::service::discovery::v3::DeltaDiscoveryRequest request;
    while (!context->IsCancelled() && stream->Read(&request)) {
    }
    return grpc::Status::OK;
  }
};

TEST_F(AdsTest, DialsAnewWhenTheStreamIsOpenButSilent) {
  StopServer();
  Mute mute;
  grpc::ServerBuilder builder;
  rpc::ApplyDefaults(builder);
  builder.AddListeningPort("127.0.0.1:0", ServerCredentials(), &port_);
  builder.RegisterService(&mute);
  auto server = builder.BuildAndStart();
  StartClient("secret", std::chrono::milliseconds(200));
  ASSERT_TRUE(watch_.Until([&] { return losses_ >= 2; }));
  EXPECT_NE(reason_.find("stalled"), std::string::npos) << reason_;
  StopClient();
  server->Shutdown(rpc::DeadlineIn({}));
}

class ManualTimeTest : public AdsTest {
 protected:
  void SetUp() override {
    clock_ = &manual_;
    AdsTest::SetUp();
  }
  ManualClock manual_;
};

TEST_F(ManualTimeTest, AStreamThatNeverReadsIsEndedWhenItsTimeToReadIsOver) {
  service_->SetSnapshot("key", Make({{"a", std::string(30'000'000, 'a')}}));
  const auto raw = Open("secret");
  ASSERT_TRUE(raw->Ask(kCluster));
  ASSERT_TRUE(watch_.Until([&] { return opened_ == 1; }));
  // Its clock goes on until the write is late: when it began is known to the service alone.
  EXPECT_TRUE(Eventually([&] {
    manual_.Advance(std::chrono::seconds(1));
    return service_->StreamCount() == 0;
  }));
  ASSERT_TRUE(watch_.Until([&] { return closed_ == 1; }));
  EXPECT_EQ(service_->StreamCount(), 0u);
}

TEST_F(ManualTimeTest, AStreamThatSaysNothingIsEnded) {
  const auto raw = Open("secret");
  ASSERT_TRUE(Eventually([&] { return service_->StreamCount() == 1; }));
  manual_.Advance(std::chrono::seconds(11));
  EXPECT_FALSE(raw->Answered());
  EXPECT_EQ(raw->stream->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
}

class FastHeartbeatTest : public AdsTest {
 protected:
  void SetUp() override {
    heartbeat_ = std::chrono::milliseconds(100);
    AdsTest::SetUp();
  }
};

// Speaks first, then never reads nor answers again.
TEST_F(FastHeartbeatTest, AClientThatAnswersNoHeartbeatIsClosed) {
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = peer_.anchors_pem;
  grpc::ChannelArguments arguments;
  arguments.SetSslTargetNameOverride("localhost");
  const auto channel =
      grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(port_), grpc::SslCredentials(tls), arguments);
  const auto stub = envoy::service::discovery::v3::AggregatedDiscoveryService::NewStub(channel);
  grpc::ClientContext context;
  context.AddMetadata("authorization", "Bearer secret");
  const auto stream = stub->DeltaAggregatedResources(&context);
  envoy::service::discovery::v3::DeltaDiscoveryRequest request;
  request.mutable_node()->set_id("n");
  request.set_type_url(std::string(kHeartbeat));
  request.add_resource_names_subscribe("*");
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(watch_.Until([&] { return closed_ == 1; }));
  envoy::service::discovery::v3::DeltaDiscoveryResponse response;
  while (stream->Read(&response)) {
  }
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace weir::xds
