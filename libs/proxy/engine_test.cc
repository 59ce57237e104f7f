#include "libs/proxy/engine.h"

#include <atomic>
#include <fstream>
#include <future>
#include <map>
#include <sstream>
#include <thread>

#include "libs/proxy/engine_test_peers.h"

namespace weir::proxy {
namespace {

TEST_F(EngineTest, KeepsConnectionsOnBothSides) {
  Echo echo("hello");
  Start(Config({At("c1", 1, {echo.backend.port})}));
  Conn conn = Conn::To(port);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(conn.Send(kGet));
    const auto [head, body] = Response(conn);
    ASSERT_TRUE(head.starts_with("HTTP/1.1 200 OK\r\n")) << head;
    ASSERT_EQ(body, "hello");
  }
  EXPECT_EQ(echo.backend.connections, 1);
  const Stats stats = engine.GetStats();
  EXPECT_EQ(stats.requests, 100u);
  EXPECT_EQ(stats.connections_open, 1u);
  std::string metrics;
  engine.RenderMetrics(metrics);
  EXPECT_NE(metrics.find("weir_traffic_requests_total{cluster=\"c1\",code=\"200\",host=\"a.example\"} 100"),
            std::string::npos)
      << metrics;
}

TEST_F(EngineTest, CleansWhatComesFromOutside) {
  Echo echo("x");
  Start(Config({At("c1", 1, {echo.backend.port})}));
  Conn conn = Conn::To(port);
  conn.Send(
      "GET /a/../b?q HTTP/1.1\r\nHost: a.example\r\nX-Weir-Role: admin\r\nX-Envoy-Original-Path: /admin\r\n"
      "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Client-Cert: me\r\n"
      "X-Request-Id: mine\r\nConnection: x-drop\r\nX-Drop: 1\r\nTE: trailers\r\nUpgrade: websocket\r\nX-Stay: "
      "1\r\n\r\n");
  Response(conn);
  const std::string head = echo.LastHead();
  EXPECT_TRUE(head.starts_with("GET /b?q HTTP/1.1\r\n")) << head;
  EXPECT_EQ(Header(head, "x-forwarded-for"), "127.0.0.1");
  EXPECT_EQ(Header(head, "x-forwarded-proto"), "http");
  EXPECT_EQ(Header(head, "x-request-id").size(), 36u);
  EXPECT_EQ(Header(head, "X-Stay"), "1");
  for (const char* gone : {"X-Weir-Role", "X-Envoy-Original-Path", "6.6.6.6", "Client-Cert", "mine", "X-Drop",
                           "TE:", "Upgrade", "Connection"}) {
    EXPECT_EQ(head.find(gone), std::string::npos) << gone << "\n" << head;
  }
}

TEST_F(EngineTest, AnswersPipelinedRequestsInOrder) {
  Echo echo("");
  Start(Config({At("c1", 1, {echo.backend.port})}));
  Conn conn = Conn::To(port);
  std::string burst;
  for (int i = 0; i < 20; ++i) {
    const std::string body = std::to_string(i + 100);
    burst += "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\n" + body;
  }
  conn.Send(burst);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Response(conn).second, std::to_string(i + 100));
}

TEST_F(EngineTest, TakesAHeadByteByByte) {
  Echo echo("slow");
  Start(Config({At("c1", 1, {echo.backend.port})}));
  Conn conn = Conn::To(port);
  for (const char c : std::string(kGet)) conn.Send(std::string(1, c));
  EXPECT_EQ(Response(conn).second, "slow");
}

TEST_F(EngineTest, ForwardsChunkedBodiesBothWays) {
  Backend backend([](Conn& conn) {
    const std::string head = conn.TakeHead();
    conn.Until("0\r\n\r\n");
    conn.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + std::exchange(conn.in, {}));
    conn.More();
  });
  Start(Config({At("c1", 1, {backend.port})}));
  Conn conn = Conn::To(port);
  conn.Send("POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel");
  conn.Send("lo\r\n6\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n");
  EXPECT_NE(conn.TakeHead().find("Transfer-Encoding: chunked"), std::string::npos);
  EXPECT_EQ(conn.Take(26), "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
}

TEST_F(EngineTest, UnchunksForHttp10) {
  Backend backend([](Conn& conn) {
    conn.TakeHead();
    conn.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n");
    conn.More();
  });
  Start(Config({At("c1", 1, {backend.port})}));
  Conn conn = Conn::To(port);
  conn.Send("GET / HTTP/1.0\r\nHost: a.example\r\n\r\n");
  const std::string all = conn.ToEnd();
  EXPECT_TRUE(all.ends_with("\r\n\r\nhello!")) << all;
  EXPECT_EQ(all.find("chunked"), std::string::npos);
}

TEST_F(EngineTest, KnowsBodilessResponses) {
  Backend backend([](Conn& conn) {
    while (true) {
      const std::string head = conn.TakeHead();
      if (head.empty()) return;
      if (head.starts_with("HEAD")) conn.Send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
      if (head.starts_with("DELETE")) conn.Send("HTTP/1.1 204 No Content\r\n\r\n");
      if (head.starts_with("GET")) conn.Send("HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n");
    }
  });
  Start(Config({At("c1", 1, {backend.port})}));
  Conn conn = Conn::To(port);
  for (const std::string method : {"HEAD", "DELETE", "GET", "HEAD"}) {
    conn.Send(method + " / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    EXPECT_TRUE(conn.TakeHead().starts_with("HTTP/1.1 ")) << method;
    EXPECT_EQ(conn.in, "");
  }
  EXPECT_EQ(backend.connections, 1);
}

TEST_F(EngineTest, PassesContinueOn) {
  Backend backend([](Conn& conn) {
    conn.TakeHead();
    conn.Send("HTTP/1.1 100 Continue\r\n\r\n");
    const std::string body = conn.Take(5);
    conn.Send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n" + body);
    conn.More();
  });
  Start(Config({At("c1", 1, {backend.port})}));
  Conn conn = Conn::To(port);
  conn.Send("POST / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  EXPECT_TRUE(conn.TakeHead().starts_with("HTTP/1.1 100"));
  conn.Send("hello");
  EXPECT_EQ(Response(conn).second, "hello");
}

TEST_F(EngineTest, EndsWithTheConnectionWhenTheUpstreamDoes) {
  Backend backend([](Conn& conn) {
    conn.TakeHead();
    conn.Send("HTTP/1.1 200 OK\r\n\r\nall there is");
  });
  Start(Config({At("c1", 1, {backend.port})}));
  Conn conn = Conn::To(port);
  conn.Send("GET / HTTP/1.0\r\nHost: a.example\r\n\r\n");
  const std::string all = conn.ToEnd();
  EXPECT_TRUE(all.ends_with("\r\n\r\nall there is")) << all;
  EXPECT_NE(all.find("connection: close"), std::string::npos);
}

TEST_F(EngineTest, HoldsBackFastSenders) {
  constexpr size_t kSize = 24 << 20;
  Backend backend([](Conn& conn) {
    const std::string head = conn.TakeHead();
    size_t left = std::stoul(Header(head, "Content-Length"));
    while (left > 0) {
      if (conn.in.empty() && !conn.More()) return;
      left -= std::min(left, conn.in.size());
      conn.in.clear();
    }
    conn.Send("HTTP/1.1 200 OK\r\ncontent-length: " + std::to_string(kSize) + "\r\n\r\n");
    const std::string block(1 << 20, 'b');
    for (size_t sent = 0; sent < kSize && conn.Send(block); sent += block.size()) {
    }
    conn.More();
  });
  Start(Config({At("c1", 1, {backend.port})}));
  Conn conn = Conn::To(port);
  conn.Send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: " + std::to_string(kSize) + "\r\n\r\n");
  const std::string block(1 << 20, 'a');
  for (size_t sent = 0; sent < kSize; sent += block.size()) ASSERT_TRUE(conn.Send(block));
  ASSERT_TRUE(conn.TakeHead().starts_with("HTTP/1.1 200"));
  size_t got = conn.in.size();
  while (got < kSize) {
    conn.in.clear();
    ASSERT_TRUE(conn.More());
    got += conn.in.size();
  }
  EXPECT_EQ(got, kSize);
}

TEST_F(EngineTest, RefusesSmugglingAndForwardsNothing) {
  Echo echo("x");
  Start(Config({At("c1", 1, {echo.backend.port})}));
  for (const std::string bad :
       {"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x "
        "HTTP/1.1\r\n\r\n",
        "GET /%2e%2e%2fadmin HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET / HTTP/1.1\r\nHost: a.example\r\nX : 1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5 ext\r\nhello\r\n0\r\n\r\n"}) {
    Conn conn = Conn::To(port);
    conn.Send(bad);
    const std::string all = conn.ToEnd();
    EXPECT_TRUE(all.starts_with("HTTP/1.1 400 ")) << bad << "\n" << all;
    EXPECT_NE(all.find("connection: close"), std::string::npos);
  }
  EXPECT_EQ(echo.LastHead(), "");
}

TEST_F(EngineTest, AnswersItselfWhereRoutesSaySo) {
  Echo echo("x");
  Config setup({At("c1", 1, {echo.backend.port})});
  setup.rules = {{traffic::PathKind::kExact, "/old", 1},
                 {traffic::PathKind::kExact, "/hi", 2},
                 {traffic::PathKind::kPrefix, "/app", 0}};
  setup.actions.resize(3);
  setup.actions[1].redirect = Redirect{"https", "", "/new", 308};
  setup.actions[2].direct_response = DirectResponse{200, "hi there"};
  Start(setup);
  Conn conn = Conn::To(port);
  conn.Send("GET /old HTTP/1.1\r\nHost: a.example\r\n\r\n");
  EXPECT_EQ(Header(Response(conn).first, "location"), "https://a.example/new");
  conn.Send("GET /hi HTTP/1.1\r\nHost: a.example\r\n\r\n");
  EXPECT_EQ(Response(conn).second, "hi there");
  conn.Send("GET /none HTTP/1.1\r\nHost: a.example\r\n\r\n");
  EXPECT_EQ(Header(Response(conn).first, "x-weir-reason"), "no_such_route");
  conn.Send("GET / HTTP/1.1\r\nHost: b.example\r\n\r\n");
  EXPECT_EQ(Header(Response(conn).first, "x-weir-reason"), "no_such_host");
  conn.Send("GET /app HTTP/1.1\r\nHost: a.example\r\n\r\n");
  EXPECT_EQ(Response(conn).second, "x");
}

TEST_F(EngineTest, SplitsByWeightExactly) {
  Echo one("1"), two("2");
  Start(Config({At("c1", 75, {one.backend.port}), At("c2", 25, {two.backend.port})}));
  Conn conn = Conn::To(port);
  std::map<std::string, int> counts;
  for (int i = 0; i < 100; ++i) {
    conn.Send(kGet);
    ++counts[Response(conn).second];
  }
  EXPECT_EQ(counts["1"], 75);
  EXPECT_EQ(counts["2"], 25);
}

TEST_F(EngineTest, MovesToAnotherClusterWhenAConnectFails) {
  Echo alive("alive");
  Start(Config({At("dead", 75, {ClosedPort()}), At("c2", 25, {alive.backend.port})}));
  Conn conn = Conn::To(port);
  for (int i = 0; i < 50; ++i) {
    conn.Send(kGet);
    ASSERT_EQ(Response(conn).second, "alive") << i;
  }
  EXPECT_GE(engine.GetStats().retries, 1u);
}

TEST_F(EngineTest, SaysWhyWhenNobodyCanServe) {
  Start(Config({At("dead", 1, {ClosedPort()}), At("empty", 1, {})}));
  Conn conn = Conn::To(port);
  conn.Send(kGet);
  const auto [head, body] = Response(conn);
  EXPECT_TRUE(head.starts_with("HTTP/1.1 503 ")) << head;
  EXPECT_EQ(Header(head, "x-weir-reason"), "connect_failed");
  EXPECT_EQ(Header(head, "retry-after"), "1");
}

TEST_F(EngineTest, RepeatsSafeRequestsOnlyWhenAnUpstreamDies) {
  Backend dying([](Conn& conn) { conn.TakeHead(); });
  Echo alive("alive");
  Start(Config({At("dying", 1, {dying.port}), At("c2", 1, {alive.backend.port})}));
  Conn conn = Conn::To(port);
  int refused = 0;
  for (int i = 0; i < 2; ++i) {
    conn.Send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\nx");
    const auto [head, body] = Response(conn);
    refused += head.starts_with("HTTP/1.1 502 ");
  }
  EXPECT_EQ(refused, 1);
  for (int i = 0; i < 10; ++i) {
    conn.Send(kGet);
    ASSERT_EQ(Response(conn).second, "alive");
  }
}

TEST_F(EngineTest, ShowsATruncatedAnswerAsTruncated) {
  Backend backend([](Conn& conn) {
    conn.TakeHead();
    conn.Send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart");
  });
  Start(Config({At("c1", 1, {backend.port})}));
  Conn conn = Conn::To(port);
  conn.Send(kGet);
  EXPECT_TRUE(conn.ToEnd().ends_with("\r\n\r\npart"));
}

TEST_F(EngineTest, GivesUpWhenTheRequestTakesTooLong) {
  Backend silent([](Conn& conn) {
    while (conn.More()) {
    }
  });
  Config setup({At("c1", 1, {silent.port})});
  setup.actions[0].timeout = 200ms;
  Start(setup);
  Conn conn = Conn::To(port);
  conn.Send(kGet);
  const std::string head = conn.TakeHead();
  EXPECT_TRUE(head.starts_with("HTTP/1.1 504 ")) << head;
}

TEST_F(EngineTest, ClosesSlowHeadsAndIdleConnections) {
  Echo echo("x");
  Options options;
  options.limits.request_head = 150ms;
  options.limits.idle = 150ms;
  Start(Config({At("c1", 1, {echo.backend.port})}), options);
  Conn slow = Conn::To(port);
  slow.Send("GET / HTTP/1.1\r\nHost:");
  EXPECT_TRUE(slow.ToEnd().starts_with("HTTP/1.1 408 "));
  Conn idle = Conn::To(port);
  idle.Send(kGet);
  Response(idle);
  EXPECT_EQ(idle.ToEnd(), "");
}

TEST_F(EngineTest, SwapsSnapshotsUnderLoadWithoutAnError) {
  Echo one("1"), two("2");
  Config first({At("c1", 1, {one.backend.port})});
  Options options;
  options.workers = 2;
  Start(first, options);
  Config second({At("c2", 1, {two.backend.port})});
  std::atomic<bool> stop{false};
  std::atomic<int> errors{0}, answers{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      Conn conn = Conn::To(port);
      while (!stop) {
        conn.Send(kGet);
        const auto [head, body] = Response(conn);
        errors += !head.starts_with("HTTP/1.1 200");
        ++answers;
      }
    });
  }
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(ApplyAndWait(engine, (i % 2 == 0 ? second : first).Build()).ok());
  ASSERT_TRUE(ApplyAndWait(engine, second.Build()).ok());
  Conn conn = Conn::To(port);
  conn.Send(kGet);
  EXPECT_EQ(Response(conn).second, "2");
  stop = true;
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(errors, 0);
  EXPECT_GT(answers, 0);
}

TEST_F(EngineTest, OpensAndClosesListenersWhileItRuns) {
  Echo echo("x");
  Config setup({At("c1", 1, {echo.backend.port})});
  Start(setup);
  Config other = setup;
  other.listener = "other";
  ASSERT_TRUE(ApplyAndWait(engine, other.Build()).ok());
  EXPECT_EQ(engine.Port("public"), 0);
  Conn conn = Conn::To(engine.Port("other"));
  conn.Send(kGet);
  EXPECT_EQ(Response(conn).second, "x");
}

TEST_F(EngineTest, AListenerWhoseAddressIsTakenFailsAloneAndOpensOnceItIsFree) {
  auto foreign = net::ListenShared(*net::Address::Parse("127.0.0.1", 0));
  Echo echo("x");
  Config setup({At("c1", 1, {echo.backend.port})});
  Start(setup);
  Config taken = setup;
  taken.listener = "taken";
  taken.port = *net::BoundPort(foreign->get());
  auto both = std::make_shared<Snapshot>(*setup.Build());
  both->listeners.push_back(taken.Build()->listeners[0]);
  ASSERT_TRUE(ApplyAndWait(engine, both).ok());
  const auto unbound = engine.Unbound();
  ASSERT_EQ(unbound.size(), 1u);
  EXPECT_EQ(unbound[0].resource, "taken");
  EXPECT_EQ(unbound[0].error.reason, "ADDRESS_IN_USE");
  EXPECT_NE(unbound[0].error.message.find(std::to_string(taken.port)), std::string::npos);
  EXPECT_EQ(engine.Port("taken"), 0);
  // The others are served, and later changes of them too.
  Conn conn = Conn::To(engine.Port("public"));
  conn.Send(kGet);
  EXPECT_EQ(Response(conn).second, "x");
  ASSERT_TRUE(ApplyAndWait(engine, both).ok());
  const auto retry = [&] {
    std::promise<void> tried;
    engine.OpenMissing([&](const Status&) { tried.set_value(); });
    tried.get_future().wait();
  };
  retry();
  EXPECT_EQ(engine.Unbound().size(), 1u);
  *foreign = net::Fd();
  retry();
  EXPECT_TRUE(engine.Unbound().empty());
  Conn late = Conn::To(taken.port);
  late.Send(kGet);
  EXPECT_EQ(Response(late).second, "x");
}

TEST_F(EngineTest, AListenerThatMovesToATakenAddressServesOnWhereItWas) {
  auto foreign = net::ListenShared(*net::Address::Parse("127.0.0.1", 0));
  Echo echo("x");
  Config setup({At("c1", 1, {echo.backend.port})});
  Start(setup);
  Config taken = setup;
  taken.port = *net::BoundPort(foreign->get());
  ASSERT_TRUE(ApplyAndWait(engine, taken.Build()).ok());
  ASSERT_EQ(engine.Unbound().size(), 1u);
  Conn conn = Conn::To(port);
  conn.Send(kGet);
  EXPECT_EQ(Response(conn).second, "x");
  // The correction.
  ASSERT_TRUE(ApplyAndWait(engine, setup.Build()).ok());
  EXPECT_TRUE(engine.Unbound().empty());
  Conn again = Conn::To(engine.Port("public"));
  again.Send(kGet);
  EXPECT_EQ(Response(again).second, "x");
}

TEST_F(EngineTest, DrainsWithoutLosingWhatIsUnderWay) {
  std::promise<void> arrived, go;
  Backend backend([&](Conn& conn) {
    conn.TakeHead();
    arrived.set_value();
    go.get_future().wait();
    conn.Send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone");
    conn.More();
  });
  Start(Config({At("c1", 1, {backend.port})}));
  Conn conn = Conn::To(port);
  conn.Send(kGet);
  arrived.get_future().wait();
  std::promise<void> drained;
  engine.Drain([&] { drained.set_value(); });
  go.set_value();
  const auto [head, body] = Response(conn);
  EXPECT_EQ(body, "done");
  EXPECT_EQ(Header(head, "connection"), "close");
  EXPECT_EQ(conn.ToEnd(), "");
  EXPECT_EQ(drained.get_future().wait_for(10s), std::future_status::ready);
}

TEST_F(EngineTest, WritesOneLineOfJsonPerRequest) {
  Echo echo("x");
  Options options;
  options.access_log = testing::TempDir() + "/weir_access_" + std::to_string(getpid());
  {
    Engine logged;
    ASSERT_TRUE(logged.Start(options).ok());
    ASSERT_TRUE(ApplyAndWait(logged, Config({At("c1", 1, {echo.backend.port})}).Build()).ok());
    Conn conn = Conn::To(logged.Port("public"));
    conn.Send("GET /a\"b HTTP/1.1\r\nHost: a.example\r\n\r\n");
    Response(conn);
  }
  std::ifstream file(options.access_log);
  std::stringstream text;
  text << file.rdbuf();
  unlink(options.access_log.c_str());
  EXPECT_NE(text.str().find(R"("path":"/a\"b","status":200)"), std::string::npos) << text.str();
  EXPECT_NE(text.str().find(R"("cluster":"c1")"), std::string::npos);
  const std::string lines = text.str();
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 1);
}

// ---- TLS: two engines, one in front of the other, as T1 and T2.

TEST_F(TlsTest, CarriesRequestsBetweenTheTiers) {
  Run(kT1, kT2, kT1, "a.example");
  Conn conn = Conn::To(t1.Port("public"));
  for (int i = 0; i < 20; ++i) {
    conn.Send(kGet);
    ASSERT_EQ(Response(conn).second, "secret");
  }
  const std::string head = echo.LastHead();
  EXPECT_EQ(Header(head, "x-forwarded-for"), "127.0.0.1");  // Said by T1, believed by T2.
  EXPECT_EQ(Header(head, "x-forwarded-proto"), "http");
  EXPECT_EQ(t1.GetStats().upstream_connections, 1u);
}

TEST_F(TlsTest, CarriesLargeBodies) {
  Run(kT1, kT2, kT1, "a.example");
  const std::string body(3 << 20, 'z');
  Conn conn = Conn::To(t1.Port("public"));
  conn.Send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n");
  conn.Send(body);
  EXPECT_EQ(Response(conn).second, "secret" + body);
}

TEST_F(TlsTest, KeepsConnectionsWhenTheIdentityIsRenewed) {
  Run(kT1, kT2, kT1, "a.example");
  Conn conn = Conn::To(t1.Port("public"));
  conn.Send(kGet);
  Response(conn);
  ASSERT_TRUE(t1.SetIdentity(IdentityOf(root_, kT1)).ok());
  ASSERT_TRUE(t2.SetIdentity(IdentityOf(root_, kT2)).ok());
  conn.Send(kGet);
  EXPECT_EQ(Response(conn).second, "secret");
  EXPECT_EQ(t1.GetStats().upstream_connections, 1u);
}

TEST_F(TlsTest, RefusesACallerThatIsNotAllowed) {
  Run("spiffe://edge.acme/ns/t1/sa/other", kT2, kT1, "a.example");
  Conn conn = Conn::To(t1.Port("public"));
  conn.Send(kGet);
  // In TLS 1.3 the other end refuses after our handshake: the request had left.
  EXPECT_TRUE(Response(conn).first.starts_with("HTTP/1.1 502 "));
  EXPECT_GE(t2.GetStats().identity_refused, 1u);
  EXPECT_EQ(echo.LastHead(), "");
}

TEST_F(TlsTest, RefusesAnEndpointThatIsSomebodyElse) {
  Run(kT1, "spiffe://c1.acme/ns/t2/sa/other", kT1, "a.example");
  Conn conn = Conn::To(t1.Port("public"));
  conn.Send(kGet);
  EXPECT_TRUE(Response(conn).first.starts_with("HTTP/1.1 503 "));
  EXPECT_GE(t1.GetStats().identity_refused, 1u);
  EXPECT_EQ(echo.LastHead(), "");
}

TEST_F(TlsTest, RefusesAnUnknownName) {
  Run(kT1, kT2, kT1, "b.example");
  Conn conn = Conn::To(t1.Port("public"));
  conn.Send(kGet);
  EXPECT_TRUE(Response(conn).first.starts_with("HTTP/1.1 503 "));
  EXPECT_GE(t2.GetStats().tls_failures, 1u);
}

TEST_F(TlsTest, RefusesPlainBytesAndForeignRoots) {
  Run(kT1, kT2, kT1, "a.example");
  Conn plain = Conn::To(t2.Port("public"));
  plain.Send(kGet);
  plain.ToEnd();
  EXPECT_GE(t2.GetStats().tls_failures, 1u);
  const auto foreign = identity::NewRoot("foreign");
  Identity stolen = IdentityOf(*foreign, kT1);
  stolen.roots = root_.certificate_pem;
  ASSERT_TRUE(t1.SetIdentity(stolen).ok());
  Conn conn = Conn::To(t1.Port("public"));
  conn.Send(kGet);
  // In TLS 1.3 the other end refuses after our handshake: the request had left.
  EXPECT_TRUE(Response(conn).first.starts_with("HTTP/1.1 502 "));
  EXPECT_EQ(echo.LastHead(), "");
}

}  // namespace
}  // namespace weir::proxy
