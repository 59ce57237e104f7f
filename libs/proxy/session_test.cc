#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "libs/proxy/engine.h"
#include "libs/proxy/engine_test_peers.h"

// What becomes of a request whose cluster fails.

namespace weir::proxy {
namespace {

// A T1 over two T2s: "bad" answers as `second` says, "good" goes on to an echo.
class MoveTest : public testing::Test {
 protected:
  static constexpr char kT1[] = "spiffe://edge.acme/ns/t1/sa/t1", kT2[] = "spiffe://c1.acme/ns/t2/sa/t2";

  void StartT2(Engine& engine, Config config) {
    config.tls = DownstreamTls{true, {{kT1, false}}};
    config.server_names = {"a.example"};
    ASSERT_TRUE(engine.Start({}).ok());
    ASSERT_TRUE(engine.SetIdentity(IdentityOf(root, kT2)).ok());
    ASSERT_TRUE(ApplyAndWait(engine, config.Build()).ok());
  }
  void Run(Config bad) {
    StartT2(bad_t2, std::move(bad));
    StartT2(good_t2, Config({At("pods", 1, {good.backend.port})}));
    Config first({At("bad", 1, {bad_t2.Port("public")}, kT2), At("good", 1, {good_t2.Port("public")}, kT2)});
    first.destination->tls = UpstreamTls{"a.example", {}};
    first.actions[0].idempotent = idempotent;
    ASSERT_TRUE(t1.Start(options).ok());
    ASSERT_TRUE(t1.SetIdentity(IdentityOf(root, kT1)).ok());
    ASSERT_TRUE(ApplyAndWait(t1, first.Build()).ok());
  }
  // Status and body of one request.
  std::pair<std::string, std::string> Ask(const std::string& request) {
    Conn conn = Conn::To(t1.Port("public"));
    conn.Send(request);
    auto [head, body] = Response(conn);
    last_head = head;
    return {head.substr(9, 3), body};
  }
  static std::string Post(const std::string& body, const std::string& more = "") {
    return "POST / HTTP/1.1\r\nHost: a.example\r\n" + more + "Content-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
  }

  identity::Authority root = *identity::NewRoot("test root");
  Echo good{"good"};
  ManualClock clock;
  Engine t1, bad_t2, good_t2;
  bool idempotent = false;
  Options options;  // Of T1.
  std::string last_head;
};

// All of it was here before anybody was connected, so nothing more comes that would say that there is more to read.
TEST_F(EngineTest, TheRestOfALargeBodyGoesWhereItsBeginningWasMoved) {
  // Nobody is ever accepted there: the queue is full.
  const net::Fd full = *net::ListenShared(*net::Address::Parse("127.0.0.1", 0));
  ASSERT_EQ(listen(full.get(), 0), 0);
  const uint16_t nowhere = *net::BoundPort(full.get());
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(nowhere);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::vector<net::Fd> queued;
  for (int i = 0; i < 4; ++i) {
    queued.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    (void)connect(queued.back().get(), reinterpret_cast<sockaddr*>(&to), sizeof to);
  }
  Echo good("good");
  Config config({At("nowhere", 3, {nowhere}), At("good", 1, {good.backend.port})});
  config.destination->connect_timeout = 500ms;
  Start(config);
  // One of them goes to the good one at once and leaves a connection that is free when the others are moved.
  const std::string body(300'000, 'b');
  std::vector<std::future<bool>> answered;
  for (int i = 0; i < 4; ++i) {
    answered.push_back(std::async(std::launch::async, [&] {
      Conn conn = Conn::To(port);
      conn.Send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
                body);
      return Response(conn).second == "good" + body;
    }));
  }
  for (auto& one : answered) EXPECT_TRUE(one.get());
  EXPECT_GE(engine.GetStats().retries, 1u);
}

TEST_F(MoveTest, GoesElsewhereWhenTheNextTierSaysThatItCannotServe) {
  Run(Config({At("pods", 1, {ClosedPort()})}));
  for (int i = 0; i < 6; ++i) EXPECT_EQ(Ask(kGet).second, "good");
  EXPECT_GE(t1.GetStats().retries, 1u);
}

TEST_F(MoveTest, MovesWhateverReachedNobody) {
  Run(Config({At("pods", 1, {})}));
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(Ask("DELETE / HTTP/1.1\r\nHost: a.example\r\n\r\n").second, "good");
  }
}

// Its body was sent to the next tier, and by that to nobody: it goes on with it as long as it is kept.
TEST_F(MoveTest, MovesABodyThatReachedNobody) {
  Run(Config({At("pods", 1, {ClosedPort()})}));
  const std::string kept(60'000, 'k');
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Ask(Post("hello")).second, "goodhello");
    EXPECT_EQ(Ask(Post(kept)).second, "good" + kept);
  }
  EXPECT_GE(t1.GetStats().retries, 1u);
}

TEST_F(MoveTest, SaysThatABodyTooLargeToBeKeptReachedNobody) {
  Run(Config({At("pods", 1, {ClosedPort()})}));
  int refused = 0;
  for (int i = 0; i < 2; ++i) {  // The first of them goes there, or the second.
    if (Ask(Post(std::string(200'000, 'l'))).first == "200") continue;
    ++refused;
    EXPECT_EQ(Header(last_head, "x-weir-reason"), "connect_failed");
    EXPECT_EQ(Header(last_head, "retry-after"), "1") << "nobody got it";
  }
  EXPECT_EQ(refused, 1);
}

TEST_F(MoveTest, RepeatsABodyThatMayBeRepeatedAndNoOther) {
  Backend dying([](Conn& conn) {
    conn.TakeHead();
    conn.Take(5);
  });
  Run(Config({At("pods", 1, {dying.port})}));
  int refused = 0;
  for (int i = 0; i < 6; ++i) EXPECT_EQ(Ask(Post("hello", "Idempotency-Key: k\r\n")).second, "goodhello");
  for (int i = 0; i < 6; ++i) {
    refused += Ask(Post("hello")).first == "502";
    if (last_head.starts_with("HTTP/1.1 502")) {
      EXPECT_EQ(Header(last_head, "x-weir-reason"), "upstream_closed");
      EXPECT_EQ(Header(last_head, "retry-after"), "");
    }
  }
  EXPECT_GE(refused, 1);
  EXPECT_LE(refused, 3);
}

TEST_F(MoveTest, ARouteMaySayThatItIsIdempotent) {
  Backend dying([](Conn& conn) { conn.TakeHead(); });
  idempotent = true;
  Run(Config({At("pods", 1, {dying.port})}));
  for (int i = 0; i < 6; ++i) EXPECT_EQ(Ask(Post("hello")).second, "goodhello");
}

// The application has run, and what it says is wrong the next time too. T1's log says what T2 said.
TEST_F(MoveTest, AsksNobodyElseAfterAMalformedAnswer) {
  Backend bad([](Conn& conn) {
    while (!conn.TakeHead().empty()) conn.Send("HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n");
  });
  options.access_log = testing::TempDir() + "/weir_move_" + std::to_string(getpid());
  options.clock = &clock;  // The log is written within a second.
  Run(Config({At("pods", 1, {bad.port})}));
  int refused = 0;
  for (int i = 0; i < 4; ++i) {
    if (Ask(kGet).first != "502") continue;
    ++refused;
    EXPECT_EQ(Header(last_head, "x-weir-reason"), "bad_answer");
  }
  EXPECT_GE(refused, 1);
  EXPECT_EQ(t1.GetStats().retries, 0u);
  Pass(clock, {&t1}, 1'050ms);
  std::stringstream log;
  log << std::ifstream(options.access_log).rdbuf();
  unlink(options.access_log.c_str());
  EXPECT_NE(log.str().find("\"reason\":\"bad_answer\""), std::string::npos) << log.str();
}

TEST_F(MoveTest, RetriesOfAnswersAreBudgeted) {
  Backend dying([](Conn& conn) { conn.TakeHead(); });
  Run(Config({At("pods", 1, {dying.port})}));
  Config down({At("pods", 1, {dying.port})});
  down.tls = DownstreamTls{true, {{kT1, false}}};
  down.server_names = {"a.example"};
  ASSERT_TRUE(ApplyAndWait(good_t2, down.Build()).ok());
  for (int i = 0; i < 30; ++i) {
    const std::string status = Ask(kGet).first;
    EXPECT_TRUE(status == "502" || status == "503") << status;
    EXPECT_NE(Header(last_head, "x-weir-reason"), "");
  }
  EXPECT_LE(t1.GetStats().retries, 3u + 30 / 5);
}

TEST_F(MoveTest, BelievesNoReasonOfAnApp) {
  Backend app([](Conn& conn) {
    while (!conn.TakeHead().empty()) {
      conn.Send(
          "HTTP/1.1 503 Service Unavailable\r\nx-weir-reason: connect_failed\r\nX-Weir-Other: 1\r\n"
          "content-length: 3\r\n\r\napp");
    }
  });
  Run(Config({At("pods", 1, {app.port})}));
  std::map<std::string, int> bodies;
  for (int i = 0; i < 8; ++i) {
    ++bodies[Ask(kGet).second];
    EXPECT_EQ(Header(last_head, "x-weir-reason"), "");
    EXPECT_EQ(Header(last_head, "X-Weir-Other"), "");
  }
  EXPECT_EQ(bodies["app"], 4);
  EXPECT_EQ(t1.GetStats().retries, 0u);
}

// As a T2 before two pods: there is only one cluster, but another endpoint in it.
TEST_F(MoveTest, TriesAnotherEndpointWhenThereIsNoOtherCluster) {
  StartT2(bad_t2, Config({At("pods", 1, {ClosedPort()})}));
  StartT2(good_t2, Config({At("pods", 1, {good.backend.port})}));
  Config first({At("c1", 1, {bad_t2.Port("public"), good_t2.Port("public")}, kT2)});
  first.destination->tls = UpstreamTls{"a.example", {}};
  ASSERT_TRUE(t1.Start({}).ok());
  ASSERT_TRUE(t1.SetIdentity(IdentityOf(root, kT1)).ok());
  ASSERT_TRUE(ApplyAndWait(t1, first.Build()).ok());
  for (int i = 0; i < 6; ++i) EXPECT_EQ(Ask(kGet).second, "good");
}

class LostTest : public EngineTest {};

TEST_F(LostTest, SendsWhatWasNotSentYetElsewhere) {
  Echo alive("alive");
  Start(Config({At("dead", 1, {ClosedPort()}), At("c2", 1, {alive.backend.port})}));
  const std::string body(100'000, 'b');
  Conn conn = Conn::To(port);
  for (int i = 0; i < 4; ++i) {
    conn.Send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
              body);
    EXPECT_EQ(Response(conn).second, "alive" + body);
  }
}

TEST_F(LostTest, RepeatsNothingThatIsTooLargeToKeep) {
  Backend dying([](Conn& conn) {
    conn.TakeHead();
    conn.Take(100'000);
  });
  Start(Config({At("dying", 1, {dying.port}), At("none", 0, {ClosedPort()})}));
  const std::string body(200'000, 'b');
  Conn conn = Conn::To(port);
  conn.Send("POST / HTTP/1.1\r\nHost: a.example\r\nIdempotency-Key: k\r\nContent-Length: 200000\r\n\r\n" + body);
  EXPECT_TRUE(conn.TakeHead().starts_with("HTTP/1.1 502 "));
  EXPECT_EQ(engine.GetStats().retries, 0u);
}

}  // namespace
}  // namespace weir::proxy
