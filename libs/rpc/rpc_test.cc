#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <future>
#include <thread>

#include "api/weir/agent/v1/agent.grpc.pb.h"
#include "libs/base/ids.h"
#include "libs/base/mutex.h"
#include "libs/identity/certificates.h"
#include "libs/identity/spiffe_id.h"
#include "libs/rpc/channel.h"
#include "libs/rpc/keep_awake.h"
#include "libs/rpc/run_on.h"
#include "libs/rpc/server.h"
#include "libs/rpc/status.h"
#include "libs/rpc/stream_writer.h"
#include "libs/rpc/time.h"
#include "tests/support/real_time.h"

namespace weir::rpc {
namespace {

using agent::v1::AgentMessage;
using agent::v1::ServerMessage;
using identity::Authority;

struct KeyedChain {
  std::string key;
  std::string chain;
};

KeyedChain Leaf(const Authority& issuer, const std::string& id, std::vector<std::string> dns) {
  KeyedChain leaf{identity::NewKey().value(), ""};
  identity::LeafRequest request;
  request.csr_pem = identity::MakeCsr(leaf.key).value();
  request.spiffe_id = id;
  request.dns_names = std::move(dns);
  leaf.chain = identity::SignLeaf(issuer, request).value() + issuer.certificate_pem;
  return leaf;
}

// Answers each message with three heartbeats, the way a busy stream would.
class Echo : public agent::v1::AgentReports::CallbackService {
 public:
  class Session : public grpc::ServerBidiReactor<AgentMessage, ServerMessage> {
   public:
    Session() { StartRead(&in_); }
    void OnReadDone(bool ok) override {
      if (!ok) return writer_.Close([this] { Finish(grpc::Status::OK); });
      for (int i = 0; i < 3; ++i) {
        ServerMessage out;
        out.mutable_heartbeat()->set_sequence(in_.heartbeat().sequence() * 10 + i);
        EXPECT_TRUE(writer_.Write(std::move(out)));
      }
      StartRead(&in_);
    }
    void OnWriteDone(bool ok) override { writer_.OnWriteDone(ok); }
    void OnDone() override { delete this; }

   private:
    AgentMessage in_;
    StreamWriter<ServerMessage, Session> writer_{this, 64};
  };
  grpc::ServerBidiReactor<AgentMessage, ServerMessage>* Report(grpc::CallbackServerContext*) override {
    return new Session;
  }
};

class WhoAmI : public agent::v1::WorkloadIdentity::CallbackService {
 public:
  grpc::ServerUnaryReactor* Sign(grpc::CallbackServerContext* context, const agent::v1::SignRequest*,
                                 agent::v1::SignResponse* response) override {
    return RunOn(pool_, "anybody", context, [context, response] {
      response->set_spiffe_id(PeerSpiffeId(*context));
      response->set_chain_pem(BearerToken(*context));
      response->set_root_pem(RequestId(*context));
      if (PeerSpiffeId(*context).empty() && BearerToken(*context).empty()) {
        return ToGrpc(Unauthenticated("NOBODY", "say who you are"), "r1");
      }
      return grpc::Status::OK;
    });
  }

 private:
  FairPool pool_{2, 16};
};

class Rpc : public testing::Test {
 protected:
  static constexpr const char* kDomain = "a.acme.weir.internal";
  Rpc() {
    cluster_.key_pem = identity::NewKey().value();
    cluster_.certificate_pem =
        identity::SignIntermediate(
            root_, {identity::MakeCsr(cluster_.key_pem).value(), kDomain, {"uid", 1}, std::chrono::hours(24)})
            .value();
    const KeyedChain leaf = Leaf(anchor_, server_peer_.spiffe_id, {"localhost"});
    auto tls = RotatingServerTls::Open(testing::TempDir() + "weir-tls-" + RandomHex(6), Tls(leaf), Clock::Real(),
                                       [this](const std::string& chain, const Error&) {
                                         MutexLock lock(mutex_);
                                         refused_ = identity::ReadCertificate(chain)->spiffe_id;
                                       });
    EXPECT_TRUE(tls.ok()) << tls.error().ToString();
    tls_ = std::move(tls).value();
    grpc::ServerBuilder builder;
    ApplyDefaults(builder);
    AdmitCalls(*tls_->credentials(), [this](const CallHead& head) -> Status {
      ++asked_;
      if (head.token == "refused") return Unauthenticated("TOKEN_UNKNOWN", "who are you");
      return {};
    });
    builder.AddListeningPort("127.0.0.1:0", tls_->credentials(), &port_);
    builder.RegisterService(&echo_);
    builder.RegisterService(&who_);
    server_ = builder.BuildAndStart();
  }
  ServerTls Tls(const KeyedChain& leaf) {
    return {leaf.chain, leaf.key, root_.certificate_pem, ClientCertificate::kOptional};
  }
  ChannelOptions Options() {
    ChannelOptions options;
    options.target = "127.0.0.1:" + std::to_string(port_);
    options.peer = server_peer_;
    return options;
  }
  Result<agent::v1::SignResponse> Ask(const ChannelOptions& options) {
    WEIR_ASSIGN(const auto channel, MakeChannel(options));
    const auto stub = agent::v1::WorkloadIdentity::NewStub(channel);
    grpc::ClientContext context;
    context.set_deadline(DeadlineIn(std::chrono::seconds(10)));
    context.AddMetadata("x-request-id", "abc-1");
    agent::v1::SignResponse response;
    const grpc::Status status = stub->Sign(&context, {}, &response);
    if (!status.ok()) return FromGrpc(status);
    return response;
  }

  Authority anchor_ = identity::NewServerAnchor().value();
  identity::PeerRule server_peer_ = identity::ServerPeer(anchor_.certificate_pem).value();
  Authority root_ = identity::NewRoot("acme").value();
  Authority cluster_;
  Echo echo_;
  WhoAmI who_;
  std::unique_ptr<RotatingServerTls> tls_;
  int port_ = 0;
  std::atomic<int> asked_ = 0;
  Mutex mutex_;
  std::string refused_ WEIR_GUARDED_BY(mutex_);  // Whose certificate.
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(Rpc, TheServerKnowsThePeersVerifiedId) {
  const std::string id = identity::AgentSpiffeId(kDomain);
  const KeyedChain leaf = Leaf(cluster_, id, {identity::AgentDnsName(kDomain)});
  ChannelOptions options = Options();
  options.chain_pem = leaf.chain;
  options.key_pem = leaf.key;
  const auto answer = Ask(options);
  ASSERT_TRUE(answer.ok()) << answer.error().ToString();
  EXPECT_EQ(answer->spiffe_id(), id);
  EXPECT_EQ(answer->root_pem(), "abc-1");
}

TEST_F(Rpc, AForeignCertificateDoesNotPassTheHandshake) {
  const Authority other = identity::NewRoot("other").value();
  const KeyedChain leaf = Leaf(other, identity::AgentSpiffeId(kDomain), {});
  ChannelOptions options = Options();
  options.chain_pem = leaf.chain;
  options.key_pem = leaf.key;
  EXPECT_FALSE(Ask(options).ok());
  // Of the right root, but signed by a cluster that may not speak for that name.
  const KeyedChain stolen = Leaf(cluster_, identity::AgentSpiffeId("b.acme.weir.internal"), {});
  options.chain_pem = stolen.chain;
  options.key_pem = stolen.key;
  EXPECT_FALSE(Ask(options).ok());
  EXPECT_EQ(asked_, 0);
  MutexLock lock(mutex_);
  EXPECT_EQ(refused_, identity::AgentSpiffeId("b.acme.weir.internal")) << "who calls himself what is told";
}

TEST_F(Rpc, ABearerTokenTravelsWithEachCall) {
  ChannelOptions options = Options();
  options.bearer_token = "t0ken";
  const auto answer = Ask(options);
  ASSERT_TRUE(answer.ok()) << answer.error().ToString();
  EXPECT_EQ(answer->chain_pem(), "t0ken");
  EXPECT_EQ(answer->spiffe_id(), "");
}

// gRPC reads the request of a unary call before its handler is called; who has no right to call sends none at all.
TEST_F(Rpc, ATokenIsJudgedBeforeTheMessageIsThere) {
  ChannelOptions options = Options();
  options.bearer_token = "refused";
  grpc::GenericStub stub(MakeChannel(options).value());
  grpc::ClientContext context;
  context.set_deadline(DeadlineIn(std::chrono::seconds(20)));
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareCall(&context, "/weir.agent.v1.WorkloadIdentity/Sign", &queue);
  call->StartCall(nullptr);  // The headers alone: no message ever follows.
  grpc::Status status;
  int done = 0;
  call->Finish(&status, &done);
  void* tag = nullptr;
  bool ok = false;
  while (queue.Next(&tag, &ok) && tag != &done) {
  }
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED) << status.error_message();
  EXPECT_EQ(asked_, 1);
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
}

TEST_F(Rpc, TwoTokensAreNobodys) {
  agent::v1::SignResponse response;
  const auto stub = agent::v1::WorkloadIdentity::NewStub(MakeChannel(Options()).value());
  grpc::ClientContext one, two;
  one.AddMetadata("authorization", "Bearer a");
  EXPECT_TRUE(stub->Sign(&one, {}, &response).ok());
  two.AddMetadata("authorization", "Bearer a");
  two.AddMetadata("authorization", "Bearer b");
  const Error refused = FromGrpc(stub->Sign(&two, {}, &response));
  EXPECT_EQ(refused.code, Code::kInvalidArgument);
  EXPECT_EQ(refused.reason, "BAD_METADATA");
}

TEST(KeepAwakeTest, BeatsWhileAnybodyHoldsItAndStopsWithTheLast) {
  ASSERT_EQ(KeepAwake::Holders(), 0u);
  auto first = std::make_unique<KeepAwake>();
  auto second = std::make_unique<KeepAwake>();
  const uint64_t before = KeepAwake::Beats();
  EXPECT_TRUE(Eventually([&] { return KeepAwake::Beats() >= before + 2; }));
  first.reset();
  const uint64_t one_left = KeepAwake::Beats();
  EXPECT_TRUE(Eventually([&] { return KeepAwake::Beats() >= one_left + 2; }));
  second.reset();
  EXPECT_EQ(KeepAwake::Holders(), 0u);
  // The one that was on its way still arrives; no other is to come.
  EXPECT_TRUE(Eventually([] { return !KeepAwake::Beating(); }));
  const uint64_t last = KeepAwake::Beats();
  const KeepAwake again;
  EXPECT_TRUE(KeepAwake::Beating());
  EXPECT_TRUE(Eventually([&] { return KeepAwake::Beats() > last; }));
}

TEST(KeepAwakeTest, ComesAndGoesQuicklyWithoutHarm) {
  for (int i = 0; i < 1000; ++i) {
    const KeepAwake one;
    if (i % 100 == 0) std::this_thread::yield();
  }
  const uint64_t before = KeepAwake::Beats();
  const KeepAwake again;
  EXPECT_TRUE(Eventually([&] { return KeepAwake::Beats() > before; }));
}

TEST_F(Rpc, AnErrorArrivesWithItsReason) {
  const auto answer = Ask(Options());
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code, Code::kUnauthenticated);
  EXPECT_EQ(answer.error().reason, "NOBODY");
}

TEST_F(Rpc, TheClientRefusesAServerWithAnotherIdentity) {
  ChannelOptions options = Options();
  options.bearer_token = "t0ken";
  ASSERT_TRUE(Ask(options).ok());
  options.peer.spiffe_id += "2";
  const auto refused = Ask(options);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kUnavailable);
  EXPECT_NE(refused.error().message.find("PEER_REFUSED"), std::string::npos) << refused.error().message;
}

TEST_F(Rpc, AChannelWithoutAnExpectedPeerIsNotMade) {
  ChannelOptions options = Options();
  options.peer.spiffe_id = "";
  EXPECT_EQ(MakeChannel(options).error().reason, "CHANNEL_OPTIONS");
  options.peer = {"", server_peer_.spiffe_id};
  EXPECT_EQ(MakeChannel(options).error().reason, "CHANNEL_OPTIONS");
  options.peer = {root_.certificate_pem, "spiffe://a.acme.weir.internal"};  // A whole trust domain is nobody.
  EXPECT_EQ(MakeChannel(options).error().reason, "CHANNEL_OPTIONS");
}

TEST_F(Rpc, TheAnchorIsFoundByItsHashAndNothingElse) {
  const auto anchor = FetchAnchor(Options().target, identity::CertificateSha256(anchor_.certificate_pem).value());
  ASSERT_TRUE(anchor.ok()) << anchor.error().ToString();
  EXPECT_EQ(*anchor, anchor_.certificate_pem);
  EXPECT_EQ(FetchAnchor(Options().target, std::string(64, '0')).error().reason, "ANCHOR_MISMATCH");
}

TEST_F(Rpc, ANewCertificateIsServedWithoutARestart) {
  ChannelOptions options = Options();
  options.peer.spiffe_id += "-renamed";
  ASSERT_TRUE(tls_->Replace(Tls(Leaf(anchor_, options.peer.spiffe_id, {}))).ok());
  options.bearer_token = "t";
  EXPECT_TRUE(Eventually([&] { return Ask(options).ok(); })) << "the new certificate was never served";
}

TEST_F(Rpc, WritesQueueBehindTheOneInFlight) {
  const auto stub = agent::v1::AgentReports::NewStub(MakeChannel(Options()).value());
  grpc::ClientContext context;
  const auto stream = stub->Report(&context);
  std::vector<uint64_t> seen;
  for (uint64_t i = 1; i <= 5; ++i) {
    AgentMessage message;
    message.mutable_heartbeat()->set_sequence(i);
    ASSERT_TRUE(stream->Write(message));
  }
  stream->WritesDone();
  ServerMessage message;
  while (stream->Read(&message)) seen.push_back(message.heartbeat().sequence());
  EXPECT_TRUE(stream->Finish().ok());
  ASSERT_EQ(seen.size(), 15u);
  EXPECT_EQ(seen.front(), 10u);
  EXPECT_EQ(seen.back(), 52u);
}

struct FakeReactor {
  std::vector<const int*> started;
  void StartWrite(const int* message) { started.push_back(message); }
};

TEST(StreamWriter, DropsWhatIsBeyondItsBound) {
  FakeReactor reactor;
  StreamWriter<int, FakeReactor> writer(&reactor, 2);
  EXPECT_TRUE(writer.Write(1));
  EXPECT_TRUE(writer.Write(2));
  EXPECT_FALSE(writer.Write(3));
  EXPECT_EQ(reactor.started.size(), 1u);
  writer.OnWriteDone(true);
  EXPECT_EQ(reactor.started.size(), 2u);
  EXPECT_TRUE(writer.Write(4));
}

TEST(StreamWriter, FinishesAfterTheLastWrite) {
  FakeReactor reactor;
  StreamWriter<int, FakeReactor> writer(&reactor, 8);
  bool finished = false;
  writer.Write(1);
  writer.Write(2);
  writer.Close([&] { finished = true; });
  EXPECT_FALSE(writer.Write(3));
  writer.OnWriteDone(true);
  EXPECT_FALSE(finished);
  writer.OnWriteDone(true);
  EXPECT_TRUE(finished);
}

TEST(StreamWriter, ABrokenStreamFinishesAtOnce) {
  FakeReactor reactor;
  StreamWriter<int, FakeReactor> writer(&reactor, 8);
  writer.Write(1);
  writer.Write(2);
  writer.OnWriteDone(false);
  EXPECT_FALSE(writer.Write(3));
  bool finished = false;
  writer.Close([&] { finished = true; });
  EXPECT_TRUE(finished);
  EXPECT_EQ(reactor.started.size(), 1u);
}

}  // namespace
}  // namespace weir::rpc
