#include "libs/rpc/gate.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <filesystem>

#include "api/weir/agent/v1/agent.grpc.pb.h"
#include "libs/rpc/server.h"
#include "libs/rpc/time.h"
#include "tests/support/real_time.h"
#include "tests/support/stranger.h"

namespace weir::rpc {
namespace {

using agent::v1::AgentMessage;
using agent::v1::ServerMessage;

// Answers each message with a heartbeat.
class Echo : public agent::v1::AgentReports::CallbackService {
 public:
  class Session : public grpc::ServerBidiReactor<AgentMessage, ServerMessage> {
   public:
    Session() { StartRead(&in_); }
    void OnReadDone(bool ok) override {
      if (!ok) return Finish(grpc::Status::OK);
      out_.mutable_heartbeat()->set_sequence(in_.heartbeat().sequence());
      StartWrite(&out_);
    }
    void OnWriteDone(bool ok) override {
      if (ok) StartRead(&in_);
    }
    void OnDone() override { delete this; }

   private:
    AgentMessage in_;
    ServerMessage out_;
  };
  grpc::ServerBidiReactor<AgentMessage, ServerMessage>* Report(grpc::CallbackServerContext*) override {
    return new Session;
  }
};

size_t Descriptors() {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

class GateTest : public testing::Test {
 protected:
  static constexpr const char* kHere = "127.0.0.1";  // Where calls come from.
  static constexpr const char* kElsewhere = "127.0.0.2";
  ~GateTest() override { Stop(); }
  void Open(const GateBounds& bounds) {
    grpc::ServerBuilder builder;
    ApplyDefaults(builder);
    auto gate = Gate::Open("127.0.0.1:0", grpc::InsecureServerCredentials(), builder, bounds, clock_);
    ASSERT_TRUE(gate.ok()) << gate.error().ToString();
    gate_ = std::move(gate).value();
    builder.RegisterService(&echo_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }
  void Start(const GateBounds& bounds) {
    Open(bounds);
    gate_->Start();
  }
  void Stop() {
    if (gate_) gate_->Stop();
    if (server_) server_->Shutdown(DeadlineIn(std::chrono::seconds(1)));
    server_.reset();
  }
  Stranger Come(const char* source) {
    Stranger stranger(source, gate_->port());
    EXPECT_TRUE(stranger.connected());
    return stranger;
  }
  // A call that lasts.
  struct Talk {
    explicit Talk(int port)
        : stub(agent::v1::AgentReports::NewStub(
              grpc::CreateChannel("127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials()))) {
      context.set_deadline(DeadlineIn(std::chrono::seconds(60)));
      stream = stub->Report(&context);
    }
    bool Answers() {
      AgentMessage said;
      said.mutable_heartbeat()->set_sequence(7);
      ServerMessage answer;
      return stream->Write(said) && stream->Read(&answer) && answer.heartbeat().sequence() == 7;
    }
    bool Ends() { return stream->WritesDone() && stream->Finish().ok(); }
    std::unique_ptr<agent::v1::AgentReports::Stub> stub;
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReaderWriter<AgentMessage, ServerMessage>> stream;
  };

  ManualClock clock_;
  Echo echo_;
  std::unique_ptr<Gate> gate_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(GateTest, SilentOnesCostNobodyElseAPlaceAndFewDescriptors) {
  Start({.connections = 64, .per_source = 16});
  const size_t before = Descriptors();
  std::vector<Stranger> strangers;
  strangers.reserve(300);
  for (int i = 0; i < 300; ++i) strangers.push_back(Come(kElsewhere));
  EXPECT_TRUE(Eventually([&] { return gate_->connections() == 16 && strangers[283].Closed(); }));
  EXPECT_FALSE(strangers[284].Closed()) << "those that were silent longest went";
  EXPECT_LE(Descriptors(), before + 300 + 16) << "a silent one costs one descriptor";
  Talk talk(gate_->port());
  EXPECT_TRUE(talk.Answers());
}

TEST_F(GateTest, WhoeverSpeaksWithoutACallIsSilentTooAndACallIsNot) {
  Start({.connections = 64, .per_source = 4});
  Talk talk(gate_->port());
  ASSERT_TRUE(talk.Answers());
  std::vector<Stranger> strangers;
  for (int i = 0; i < 40; ++i) {
    strangers.push_back(Come(kHere));
    strangers.back().Say("PRI");  // As far as that, and gRPC has it.
    EXPECT_LE(gate_->connections(), 4u);
  }
  EXPECT_TRUE(Eventually([&] { return gate_->connections() == 4 && strangers[36].Closed(); }));
  EXPECT_FALSE(strangers[37].Closed());
  EXPECT_TRUE(talk.Answers());
}

TEST_F(GateTest, WhenItsCallIsOverAConnectionIsSilentAgain) {
  Start({.connections = 64, .per_source = 1});
  Talk talk(gate_->port());
  ASSERT_TRUE(talk.Answers());
  {
    const Stranger stranger = Come(kHere);
    EXPECT_TRUE(Eventually([&] { return stranger.Closed(); })) << "nobody is silent but the newcomer";
  }
  EXPECT_TRUE(talk.Answers());
  EXPECT_TRUE(talk.Ends());
  EXPECT_TRUE(Eventually([&] {  // gRPC lets go of a call when it wants.
    const Stranger stranger = Come(kHere);
    EXPECT_TRUE(Eventually([&] { return gate_->connections() == 1 || stranger.Closed(); }));
    return !Eventually([&] { return stranger.Closed(); }, std::chrono::milliseconds(50));
  }));
}

TEST_F(GateTest, WhoDoesNotSpeakInTimeGoesAndAPlaceIsFreeWhenItsHolderHasGone) {
  Start({.connections = 64, .per_source = 16});
  Talk talk(gate_->port());
  ASSERT_TRUE(talk.Answers());
  const Stranger stranger = Come(kElsewhere);
  ASSERT_TRUE(Eventually([&] { return gate_->connections() == 2; }));
  clock_.Advance(std::chrono::milliseconds(9'900));
  EXPECT_FALSE(Eventually([&] { return stranger.Closed(); }, std::chrono::milliseconds(20)));
  clock_.Advance(std::chrono::milliseconds(200));
  EXPECT_TRUE(Eventually([&] { return stranger.Closed() && gate_->connections() == 1; }));
  EXPECT_TRUE(talk.Answers());
  {
    const Stranger mute = Come(kElsewhere);
    Stranger spoke = Come(kElsewhere);
    spoke.Say("PRI * HTTP/2.0");
    EXPECT_TRUE(Eventually([&] { return gate_->connections() == 3; }));
  }
  EXPECT_TRUE(Eventually([&] { return gate_->connections() == 1; }));
}

// The soft limit of descriptors, for a while.
class Limit {
 public:
  explicit Limit(size_t most) {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit low = before_;
    low.rlim_cur = most;
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  }
  ~Limit() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

TEST_F(GateTest, TakesNoMoreThanItsPartOfTheDescriptors) {
  {
    const Limit limit(512);
    Start({.connections = 4096, .per_source = 4096, .divisor = 16});
  }
  std::vector<Stranger> strangers;
  strangers.reserve(60);
  for (int i = 0; i < 60; ++i) strangers.push_back(Come(kElsewhere));
  EXPECT_TRUE(Eventually([&] { return gate_->connections() == 512 / 16 / 2 && strangers[43].Closed(); }));
  EXPECT_FALSE(strangers[44].Closed());
}

TEST_F(GateTest, WhereNoDescriptorIsLeftTheLongestSilentOneGivesItsOwn) {
  Open({});
  std::vector<Stranger> strangers;
  strangers.reserve(20);
  for (int i = 0; i < 20; ++i) strangers.push_back(Come(kElsewhere));
  size_t next = 0;
  {
    const Stranger free(kElsewhere, gate_->port());
    next = static_cast<size_t>(free.fd());
  }
  {
    const Limit limit(next + 5);
    gate_->Start();
    EXPECT_TRUE(Eventually([&] { return strangers[0].Closed(); }));
    EXPECT_FALSE(strangers[1].Closed()) << "one at a time, with a pause";
    EXPECT_TRUE(Eventually([&] {
      clock_.Advance(std::chrono::milliseconds(50));
      return strangers[15].Closed();
    }));
  }
  EXPECT_FALSE(strangers[19].Closed());
}

TEST_F(GateTest, LetsNobodyInAnyMoreWhenItIsStopped) {
  Start({});
  Talk talk(gate_->port());
  ASSERT_TRUE(talk.Answers());
  const Stranger mute = Come(kElsewhere);
  ASSERT_TRUE(Eventually([&] { return gate_->connections() == 2; }));
  gate_->Stop();
  EXPECT_TRUE(mute.Closed());
  EXPECT_FALSE(Stranger(kHere, gate_->port()).connected());
  EXPECT_TRUE(talk.Answers()) << "calls that run are the server's to end";
}

TEST_F(GateTest, SaysWhyItCannotListen) {
  Start({});
  grpc::ServerBuilder builder;
  const auto open = [&](const std::string& where) {
    const auto gate = Gate::Open(where, grpc::InsecureServerCredentials(), builder);
    return gate.ok() ? "" : gate.error().reason;
  };
  EXPECT_EQ(open("127.0.0.1:" + std::to_string(gate_->port())), "ADDRESS_IN_USE");
  EXPECT_EQ(open("192.0.2.1:0"), "LISTEN_FAILED");
  EXPECT_EQ(open("127.0.0.1"), "LISTEN_FAILED");
}

}  // namespace
}  // namespace weir::rpc
