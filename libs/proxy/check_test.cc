#include <semaphore>

#include "libs/net/socket.h"
#include "libs/proxy/health_test_tiers.h"

// How an endpoint is checked, and what requests prove beside it.

namespace weir::proxy {
namespace {

class CheckTest : public HealthTest {
 protected:
  // T1 in front of endpoint `port` ("c1") and the second pod ("c2"), both checked so.
  void StartChecked(uint16_t port, HealthCheck check) {
    Config config({At("c1", 1, {port}), At("c2", 1, {pod[1].backend.port})});
    config.destination->check = std::move(check);
    ASSERT_TRUE(t1.Start({}).ok());
    ASSERT_TRUE(ApplyAndWait(t1, config.Build()).ok());
  }
  std::string TextOf(const std::string& cluster) {
    const LocalityHealthReport report = Of(cluster);
    return report.evidence.empty() ? "" : report.evidence[0].text;
  }
  std::string SourceOf(const std::string& cluster) {
    const LocalityHealthReport report = Of(cluster);
    return report.evidence.empty() ? "" : report.evidence[0].source;
  }
  bool Healthy(const std::string& cluster) {
    const LocalityHealthReport report = Of(cluster);
    return report.evidence.empty() || report.evidence[0].healthy;
  }
};

// It takes the question along: asked again at once, it is not there.
TEST_F(CheckTest, AnAppThatDiesOverItsCheckIsFoundByIt) {
  auto listener = net::ListenShared(*net::Address::Parse("127.0.0.1", 0));
  ASSERT_TRUE(listener.ok());
  std::thread app([&] {
    pollfd wait{listener->get(), POLLIN, 0};
    poll(&wait, 1, 10'000);
    Conn conn(accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC));
    conn.TakeHead();
    conn.Send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    conn.TakeHead();
    *listener = net::Fd();
  });
  HealthCheck check = Check("/healthz");
  check.down_after = 100;
  StartChecked(*net::BoundPort(listener->get()), check);
  EXPECT_TRUE(Eventually(3s, [&] { return Out("c1", "no_endpoint"); }));
  app.join();
}

TEST_F(CheckTest, MayBeOnAPortOfItsOwn) {
  Pod apart("apart");
  HealthCheck check = Check("/healthz");
  check.port = apart.backend.port;
  StartChecked(pod[0].backend.port, check);
  ASSERT_TRUE(Eventually(3s, [&] { return Proven("c1") && Proven("c2"); }));
  pod[0].healthy = pod[1].healthy = false;  // Nobody asks these.
  EXPECT_EQ(Ask(4), (std::map<std::string, int>{{"1", 2}, {"2", 2}}));
  apart.healthy = false;
  EXPECT_TRUE(Eventually(3s, [&] { return Out("c1", "no_endpoint") && Out("c2", "no_endpoint"); }));
}

// Who was not asked yet, or has not answered yet, may serve, and nobody knows; who is never asked is not in doubt.
TEST_F(CheckTest, SaysOfWhomNothingIsFoundOutYet) {
  std::counting_semaphore<> go(0);
  Backend slow([&](Conn& conn) {
    if (conn.TakeHead().empty()) return;
    go.acquire();
    conn.Send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  });
  HealthCheck check = Check("/healthz");
  check.timeout = 60s;
  StartChecked(slow.port, check);
  ASSERT_TRUE(Eventually(3s, [&] { return Proven("c2"); }));
  EXPECT_FALSE(Of("c2").unchecked);
  EXPECT_TRUE(Of("c1").unchecked);
  EXPECT_TRUE(Of("c1").can_serve);
  go.release(100);
  EXPECT_TRUE(Eventually(3s, [&] { return !Of("c1").unchecked; }));
  EXPECT_TRUE(Of("c1").can_serve);
  Config config({At("c1", 1, {ClosedPort()})});
  ASSERT_TRUE(ApplyAndWait(t1, config.Build()).ok());
  EXPECT_FALSE(Of("c1").unchecked) << "without a check nothing will ever be found out";
}

TEST_F(CheckTest, AnAnswerWithoutEndIsBad) {
  Backend endless([](Conn& conn) {
    while (!conn.TakeHead().empty()) {
      if (!conn.Send("HTTP/1.1 200 OK\r\nX-A: " + std::string(20'000, 'a'))) return;
    }
  });
  StartChecked(endless.port, Check("/healthz"));
  ASSERT_TRUE(Eventually(3s, [&] { return Out("c1", "no_endpoint"); }));
  EXPECT_EQ(TextOf("c1"), "answer too long");
}

TEST_F(CheckTest, AConnectionIsAskedAgainOnlyIfItStays) {
  for (const bool stays : {true, false}) {
    std::atomic<int> asked{0};
    Backend app([&](Conn& conn) {
      while (!conn.TakeHead().empty()) {
        ++asked;
        conn.Send(fmt::format("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", stays ? "" : "connection: close\r\n"));
      }
    });
    Config config({At("c1", 1, {app.port})});
    config.destination->check = Check("/healthz");
    Engine engine;
    ASSERT_TRUE(engine.Start({}).ok());
    ASSERT_TRUE(ApplyAndWait(engine, config.Build()).ok());
    ASSERT_TRUE(Eventually(3s, [&] { return asked >= 3; }));
    if (stays) {
      EXPECT_EQ(app.connections, 1);
    } else {
      EXPECT_GE(app.connections, 3);
    }
  }
}

// What is not asked any more is not known any more.
TEST_F(CheckTest, WithoutItsCheckAnIllOneServesAgain) {
  StartChecked(pod[0].backend.port, Check("/healthz"));
  pod[0].healthy = false;
  ASSERT_TRUE(Eventually(3s, [&] { return Out("c1", "no_endpoint"); }));
  Config config({At("c1", 1, {pod[0].backend.port}), At("c2", 1, {pod[1].backend.port})});
  config.destination->hold = 0ms;
  config.destination->slow_return = 0ms;
  ASSERT_TRUE(ApplyAndWait(t1, config.Build()).ok());
  EXPECT_TRUE(Eventually(3s, [&] { return Of("c1").can_serve; }));
}

// ---- Evidence of requests

// A gateway that says what failed behind it is well itself: what stands there is judged there.
TEST_F(CheckTest, AGatewayIsNotToBlameForWhatItSaysOfThoseBehindIt) {
  StartTier2(0, {pod[0].backend.port});
  StartTier2(1, {pod[1].backend.port});
  auto unchecked = std::make_shared<Snapshot>(*Tier2(0, {ClosedPort()}, Digest::kOffered));
  auto destination = std::make_shared<DestinationSet>(*unchecked->destination_sets["backend"]);
  destination->check.reset();  // It finds out by the request.
  unchecked->destination_sets["backend"] = destination;
  ASSERT_TRUE(ApplyAndWait(*t2[0], unchecked).ok());
  StartTier1();
  ASSERT_TRUE(Eventually(3s, [&] { return SourceOf("c1") == "digest" && Proven("c2"); }));
  EXPECT_EQ(Ask(4), (std::map<std::string, int>{{"2", 4}}));
  EXPECT_GE(t1.GetStats().retries, 1u);
  EXPECT_FALSE(Eventually(300ms, [&] { return SourceOf("c1") != "digest"; })) << TextOf("c1");
}

// Five in a row, and an answer between them begins the row anew.
TEST_F(CheckTest, ARowOfLostRequestsIsAsLongAsItIs) {
  Config config({At("c1", 1, {pod[0].backend.port})});
  ASSERT_TRUE(t1.Start({}).ok());
  ASSERT_TRUE(ApplyAndWait(t1, config.Build()).ok());
  const auto lose = [&](int times) {
    for (int i = 0; i < times; ++i) {
      Conn conn = Conn::To(t1.Port("public"));
      conn.Send("GET /says/nothing HTTP/1.1\r\nHost: a.example\r\n\r\n");
      EXPECT_TRUE(Response(conn).first.starts_with("HTTP/1.1 502"));
    }
  };
  lose(4);
  EXPECT_EQ(Ask(1), (std::map<std::string, int>{{"1", 1}}));
  lose(4);
  EXPECT_FALSE(Eventually(200ms, [&] { return !Healthy("c1"); }));
  lose(1);
  EXPECT_TRUE(Eventually(500ms, [&] { return !Healthy("c1") && SourceOf("c1") == "ejected"; }));
  EXPECT_EQ(Ask(1), (std::map<std::string, int>{{"1", 1}}));  // An answer ends the doubt at once.
  EXPECT_TRUE(Eventually(700ms, [&] { return Healthy("c1"); }));
}

// Who answers others is not silent, however long one request takes.
TEST_F(CheckTest, WhoAnswersOthersIsNotSilent) {
  std::promise<void> over;
  const auto end = over.get_future().share();
  Backend app([&](Conn& conn) {
    for (std::string head = conn.TakeHead(); !head.empty(); head = conn.TakeHead()) {
      if (head.starts_with("GET /long")) return end.wait();
      conn.Send("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx");
    }
  });
  Config config({At("c1", 1, {app.port})});
  config.actions[0].timeout = 1'300ms;
  ASSERT_TRUE(t1.Start({}).ok());
  ASSERT_TRUE(ApplyAndWait(t1, config.Build()).ok());
  std::vector<Conn> longs;
  for (int i = 0; i < 4; ++i) {
    longs.push_back(Conn::To(t1.Port("public")));
    longs.back().Send("GET /long HTTP/1.1\r\nHost: a.example\r\n\r\n");
  }
  while (t1.GetStats().requests_in_flight < 4) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(Ask(1), (std::map<std::string, int>{{"x", 1}}));
  for (Conn& conn : longs) EXPECT_TRUE(Response(conn).first.starts_with("HTTP/1.1 504"));
  EXPECT_FALSE(Eventually(300ms, [&] { return !Healthy("c1"); })) << TextOf("c1");
  over.set_value();
}

// ---- What a session refuses

TEST_F(EngineTest, ASecondSlowHeadIsEndedToo) {
  Echo echo("x");
  Options options;
  options.limits.request_head = 200ms;  // The idle limit is far away.
  Start(Config({At("c1", 1, {echo.backend.port})}), options);
  Conn conn = Conn::To(port);
  conn.Send(kGet);
  Response(conn);
  const auto begun = std::chrono::steady_clock::now();
  conn.Send("GET / HTTP/1.1\r\nHost:");
  EXPECT_TRUE(conn.ToEnd().starts_with("HTTP/1.1 408 "));
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 5s);
}

TEST_F(EngineTest, WithoutAnIdentityNobodyIsLetIn) {
  Config config({At("c1", 1, {ClosedPort()})});
  config.tls = DownstreamTls{true, {}};
  Start(config);
  Conn conn = Conn::To(port);
  EXPECT_EQ(conn.ToEnd(), "");
  EXPECT_EQ(engine.GetStats().tls_failures, 1u);
}

}  // namespace
}  // namespace weir::proxy
