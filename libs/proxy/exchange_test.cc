#include <fcntl.h>
#include <sys/ioctl.h>

#include <ctime>
#include <fstream>
#include <semaphore>
#include <sstream>

#include "libs/proxy/engine.h"
#include "libs/proxy/engine_test_peers.h"
#include "libs/proxy/engine_test_tls_peer.h"

// How an exchange ends: when its bytes have left, how a cut shows, who is blamed for a delay, what is answered here.

namespace weir::proxy {
namespace {

// A caller with small buffers, so that little fits into the kernel.
Conn SlowReader(uint16_t port) { return Conn::To(port, 4096); }

// Answers every request with what `answer` says, and keeps the connection.
Backend::Serve Always(std::string answer) {
  return [answer = std::move(answer)](Conn& conn) {
    while (!conn.TakeHead().empty()) {
      if (!conn.Send(answer)) return;
    }
  };
}

// Answers the first request so, then ends the connection.
Backend::Serve Once(std::string answer, bool reset = false) {
  return [answer = std::move(answer), reset](Conn& conn) {
    conn.TakeHead();
    conn.Send(answer);
    if (!reset) return;
    // A reset that overtakes the bytes would take them with it.
    Eventually([&] {
      int unsent = 1;
      return ioctl(conn.fd(), TIOCOUTQ, &unsent) != 0 || unsent == 0;
    });
    const sockaddr nobody{AF_UNSPEC, {}};
    connect(conn.fd(), &nobody, sizeof nobody);  // Resets at once, whoever else holds the socket.
  };
}

class ExchangeTest : public EngineTest {
 protected:
  // Whether everything sent has arrived at the other end: a busy kernel takes its time, also on loopback.
  static bool Delivered(const Conn& conn) {
    int unsent = 1;
    return ioctl(conn.fd(), TIOCOUTQ, &unsent) == 0 && unsent == 0;
  }
  // How the connection ended: "fin" or "reset".
  static std::string EndOf(Conn& conn) {
    char byte;
    pollfd wait{conn.fd(), POLLIN, 0};
    while (poll(&wait, 1, 10'000) == 1) {
      const ssize_t got = recv(conn.fd(), &byte, 1, 0);
      if (got == 0) return "fin";
      if (got < 0) return errno == ECONNRESET ? "reset" : "error";
      conn.in += byte;
    }
    return "open";
  }
};

// ---- An exchange is over when its bytes have left

TEST_F(ExchangeTest, ReadsNoFurtherRequestWhileAnswersWait) {
  Config setup({At("none", 1, {ClosedPort()})});
  setup.actions[0] = {};
  setup.actions[0].direct_response = DirectResponse{200, std::string(4000, 'd')};
  Start(setup);
  Conn conn = SlowReader(port);
  fcntl(conn.fd(), F_SETFL, O_NONBLOCK);
  std::string burst;
  for (int i = 0; i < 1000; ++i) burst += kGet;
  // Until the kernel takes no more however often the engine comes round: it has stopped reading.
  size_t sent = 0;
  for (int quiet = 0; quiet < 200 && sent < (64 << 20);) {
    const ssize_t took = send(conn.fd(), burst.data(), burst.size(), MSG_NOSIGNAL);
    sent += took > 0 ? static_cast<size_t>(took) : 0;
    quiet = took > 0 ? 0 : quiet + 1;
    if (took <= 0) (void)engine.GetStats();
  }
  EXPECT_LT(sent, size_t{16} << 20);
  // What was answered fits into the kernel's buffers: 4 kB each, and of our own no more than one waits.
  EXPECT_LT(engine.GetStats().requests, 4'000u);
  EXPECT_EQ(engine.GetStats().requests_in_flight, 1u);
  fcntl(conn.fd(), F_SETFL, 0);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(Response(conn).second.size(), 4000u);
}

TEST_F(ExchangeTest, AnswersALongPipelineInOrder) {
  Config setup({At("none", 1, {ClosedPort()})});
  setup.rules = {{traffic::PathKind::kExact, "/d", 1}};
  setup.actions.resize(2);
  setup.actions[1].destination_set.clear();
  setup.actions[1].direct_response = DirectResponse{200, std::string(3000, 'd')};
  Start(setup);
  Conn conn = SlowReader(port);
  std::thread sender([&] {
    for (int i = 0; i < 3000; ++i) {
      conn.Send(i % 3 == 0 ? "GET /d HTTP/1.1\r\nHost: a.example\r\n\r\n"
                           : "GET /n HTTP/1.1\r\nHost: a.example\r\n\r\n");
    }
  });
  for (int i = 0; i < 3000; ++i) {
    const auto [head, body] = Response(conn);
    ASSERT_EQ(head.substr(9, 3), i % 3 == 0 ? "200" : "404") << i;
    ASSERT_EQ(body.size(), i % 3 == 0 ? 3000u : 14u) << i;
  }
  sender.join();
}

TEST_F(ExchangeTest, DrainFinishesWhatTheCallerHasNotReadYet) {
  constexpr size_t kSize = 16 << 20;  // More than any kernel takes at once.
  Backend backend(
      Always("HTTP/1.1 200 OK\r\ncontent-length: " + std::to_string(kSize) + "\r\n\r\n" + std::string(kSize, 'b')));
  Config setup({At("c1", 1, {backend.port})});
  setup.rules = {{traffic::PathKind::kExact, "/own", 1}, {traffic::PathKind::kPrefix, "/", 0}};
  setup.actions.resize(2);
  setup.actions[1].destination_set.clear();
  setup.actions[1].direct_response = DirectResponse{200, std::string(kSize, 'd')};
  Options options;
  options.drain_idle = 100ms;
  options.limits.linger = 50ms;
  StartByHand(setup, options);
  // One whose answer is still on its way from the upstream, one whose answer is complete and waits here.
  std::vector<Conn> callers;
  for (const char* path : {"/", "/own"}) {
    callers.push_back(SlowReader(port));
    callers.back().Send(std::string("GET ") + path + " HTTP/1.1\r\nHost: a.example\r\n\r\n");
  }
  ASSERT_TRUE(Eventually([&] { return engine.GetStats().requests_in_flight == 2; }));
  std::promise<void> drained;
  engine.Drain([&] { drained.set_value(); });
  Pass(5s);  // Well beyond drain_idle and linger: nobody is taken for quiet.
  for (Conn& conn : callers) {
    const std::string head = conn.TakeHead();
    size_t got = std::exchange(conn.in, {}).size();
    while (got < kSize && conn.More()) got += std::exchange(conn.in, {}).size();
    EXPECT_EQ(got, kSize) << head;
  }
  callers.clear();
  const auto over = drained.get_future();
  EXPECT_TRUE(Eventually([&] {
    Pass(100ms);
    return over.wait_for(0s) == std::future_status::ready;
  }));
}

// ---- A cut answer looks cut

TEST_F(ExchangeTest, ABodyWithoutFramingIsChunkedAndItsEndShows) {
  Backend backend(Once("HTTP/1.1 200 OK\r\n\r\n" + std::string(5000, 'a')));
  Start(Config({At("c1", 1, {backend.port})}));
  Conn conn = Conn::To(port);
  for (int i = 0; i < 2; ++i) {  // The caller's connection stays.
    conn.Send(kGet);
    const std::string head = conn.TakeHead();
    EXPECT_EQ(Header(head, "transfer-encoding"), "chunked") << head;
    EXPECT_EQ(Header(head, "connection"), "");
    ASSERT_TRUE(conn.Until("\r\n0\r\n\r\n"));
    EXPECT_GE(std::count(conn.in.begin(), conn.in.end(), 'a'), 5000);
    conn.in.clear();
  }
}

TEST_F(ExchangeTest, ABodyWithoutFramingThatBreaksOffLacksItsLastChunk) {
  Backend backend(Once("HTTP/1.1 200 OK\r\n\r\n" + std::string(5000, 'a'), true));
  Start(Config({At("c1", 1, {backend.port})}));
  Conn conn = Conn::To(port);
  conn.Send(kGet);
  EXPECT_EQ(Header(conn.TakeHead(), "transfer-encoding"), "chunked");
  const std::string body = conn.ToEnd();
  EXPECT_FALSE(body.ends_with("0\r\n\r\n")) << body.substr(body.size() - 20);
}

TEST_F(ExchangeTest, ABrokenAnswerResetsACallerOfHttp10) {
  const std::string cut[] = {"HTTP/1.1 200 OK\r\n\r\n" + std::string(5000, 'a'),
                             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n" + std::string(100, 'a')};
  for (const std::string& answer : cut) {
    Backend backend(Once(answer, true));
    Engine one;
    ASSERT_TRUE(one.Start({}).ok());
    ASSERT_TRUE(ApplyAndWait(one, Config({At("c1", 1, {backend.port})}).Build()).ok());
    Conn conn = Conn::To(one.Port("public"));
    conn.Send("GET / HTTP/1.0\r\nHost: a.example\r\n\r\n");
    EXPECT_EQ(EndOf(conn), "reset");
  }
  Backend whole(Once(cut[0]));
  Start(Config({At("c1", 1, {whole.port})}));
  Conn conn = Conn::To(port);
  conn.Send("GET / HTTP/1.0\r\nHost: a.example\r\n\r\n");
  EXPECT_EQ(EndOf(conn), "fin");
  EXPECT_TRUE(conn.in.ends_with("\r\n\r\n" + std::string(5000, 'a')));
}

// Two tiers: the second one loses its app in the middle of a body without framing.
TEST_F(TlsTest, ABodyThatBreaksOffBehindTheNextTierIsCutHereToo) {
  Backend app(Once("HTTP/1.1 200 OK\r\n\r\n" + std::string(5000, 'a'), true));
  Run(kT1, kT2, kT1, "a.example");
  Config second({At("c1", 1, {app.port})});
  second.tls = DownstreamTls{true, {{kT1, false}}};
  second.server_names = {"a.example"};
  ASSERT_TRUE(ApplyAndWait(t2, second.Build()).ok());
  Conn conn = Conn::To(t1.Port("public"));
  conn.Send(kGet);
  EXPECT_EQ(Header(conn.TakeHead(), "transfer-encoding"), "chunked");
  EXPECT_FALSE(conn.ToEnd().ends_with("0\r\n\r\n"));
}

// The body of the refusal is still on its way: its connection serves nobody else.
TEST_F(PeerTest, AConnectionWithARestOfAnAnswerIsNotUsedAgain) {
  auto closed = std::make_shared<std::promise<bool>>();
  Start(
      [closed](TlsPeer& tls, Conn& conn) {
        if (tls.TakeHead().empty()) return;
        tls.Send(
            "HTTP/1.1 503 Service Unavailable\r\nx-weir-reason: no_cluster_can_serve\r\ncontent-length: 42\r\n\r\n");
        closed->set_value(tls.Closed(conn, 5s));
        tls.Send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil");
      },
      {At("none", 1, {ClosedPort()}, kT2)});
  Conn conn = Conn::To(t1.Port("public"));
  conn.Send(kGet);
  EXPECT_TRUE(conn.TakeHead().starts_with("HTTP/1.1 503 "));
  auto result = closed->get_future();
  ASSERT_EQ(result.wait_for(10s), std::future_status::ready);
  EXPECT_TRUE(result.get());
}

// RFC 9112 section 8: without close_notify nobody knows whether this was all.
TEST_F(PeerTest, ABodyThatEndsWithoutCloseNotifyIsNotWhole) {
  for (const bool goodbye : {true, false}) {
    SCOPED_TRACE(goodbye);
    Engine one;
    root_ = *identity::NewRoot("test root");
    const Identity identity = IdentityOf(root_, kT2);
    Backend backend([&](Conn& conn) {
      TlsPeer tls(identity);
      if (!tls.Accept(conn) || tls.TakeHead().empty()) return;
      tls.Send("HTTP/1.1 200 OK\r\n\r\nhello");
      if (goodbye) tls.SendCloseNotify();
    });
    Config first({At("peer", 1, {backend.port}, kT2)});
    first.destination->tls = UpstreamTls{"a.example", {}};
    ASSERT_TRUE(one.Start({}).ok());
    ASSERT_TRUE(one.SetIdentity(IdentityOf(root_, kT1)).ok());
    ASSERT_TRUE(ApplyAndWait(one, first.Build()).ok());
    Conn conn = Conn::To(one.Port("public"));
    conn.Send(std::string(kGet).insert(16, "Connection: close\r\n"));
    conn.TakeHead();
    EXPECT_EQ(conn.ToEnd(), goodbye ? "5\r\nhello\r\n0\r\n\r\n" : "5\r\nhello\r\n");
  }
}

// ---- Who keeps it waiting

TEST_F(ExchangeTest, AStreamThatMovesIsNotCut) {
  std::counting_semaphore<> next(0);
  Backend backend([&next](Conn& conn) {
    conn.TakeHead();
    conn.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 12; ++i) {
      if (!next.try_acquire_for(20s)) return;
      conn.Send(fmt::format("1\r\n{:x}\r\n", i));
    }
    conn.Send("0\r\n\r\n");
  });
  Config setup({At("c1", 1, {backend.port})});
  setup.actions[0].timeout = 0ms;
  setup.actions[0].idle = 3s;
  StartByHand(setup);
  Conn conn = Conn::To(port);
  conn.Send(kGet);
  conn.TakeHead();
  for (int i = 0; i < 12; ++i) {  // Never 3 s without a byte, 24 s in all.
    Pass(2s);
    next.release();
    ASSERT_TRUE(conn.Until(fmt::format("1\r\n{:x}\r\n", i)));
  }
  EXPECT_TRUE(conn.Until("0\r\n\r\n"));
}

TEST_F(ExchangeTest, AnEndpointThatSaysNothingIsTheOneToBlame) {
  Backend silent([](Conn& conn) {
    while (conn.More()) {
    }
  });
  Config setup({At("c1", 1, {silent.port})});
  setup.actions[0].timeout = 0ms;
  setup.actions[0].idle = 150ms;
  Start(setup);
  Conn conn = Conn::To(port);
  conn.Send(kGet);
  const std::string head = conn.TakeHead();
  EXPECT_TRUE(head.starts_with("HTTP/1.1 504 ")) << head;
  EXPECT_EQ(Header(head, "x-weir-reason"), "upstream_stalled");
}

TEST_F(ExchangeTest, AnEndpointThatTakesNoBodyIsTheOneToBlame) {
  std::promise<void> end;
  const auto ended = end.get_future().share();
  Backend stuck([ended](Conn& conn) {
    conn.Until("\r\n\r\n");
    ended.wait();
  });
  Config setup({At("c1", 1, {stuck.port})});
  setup.actions[0].timeout = 0ms;
  setup.actions[0].idle = 300ms;
  Options options;
  options.limits.stalled_body = 200ms;
  Start(setup, options);
  Conn conn = Conn::To(port);
  conn.Send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100000000\r\n\r\n");
  std::thread sender([&] {
    const std::string block(1 << 20, 'a');
    for (int i = 0; i < 100 && conn.Send(block); ++i) {
    }
  });
  const std::string head = conn.TakeHead();
  EXPECT_TRUE(head.starts_with("HTTP/1.1 504 ")) << head;
  end.set_value();
  shutdown(conn.fd(), SHUT_RDWR);
  sender.join();
}

TEST_F(ExchangeTest, ACallerThatSendsNoBodyIsTheOneToBlame) {
  Backend waits([](Conn& conn) {
    while (conn.More()) {
    }
  });
  Config setup({At("c1", 1, {waits.port})});
  setup.actions[0].timeout = 0ms;
  setup.actions[0].idle = 0ms;
  Options options;
  options.limits.stalled_body = 150ms;
  Start(setup, options);
  Conn conn = Conn::To(port);
  conn.Send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\nhello");
  const std::string head = conn.TakeHead();
  EXPECT_TRUE(head.starts_with("HTTP/1.1 408 ")) << head;
}

TEST_F(ExchangeTest, WithoutABoundTheEndpointMayBeQuiet) {
  std::binary_semaphore asked(0), answer(0);
  Backend slow([&](Conn& conn) {
    conn.TakeHead();
    asked.release();
    if (!answer.try_acquire_for(20s)) return;
    conn.Send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone");
  });
  Config setup({At("c1", 1, {slow.port})});
  setup.actions[0].timeout = 0ms;
  setup.actions[0].idle = 0ms;
  Options options;
  options.limits.stalled_body = 150ms;
  StartByHand(setup, options);
  Conn conn = Conn::To(port);
  conn.Send(kGet);
  ASSERT_TRUE(asked.try_acquire_for(20s));
  Pass(10s);
  answer.release();
  EXPECT_EQ(Response(conn).second, "done");
}

// ---- After an early answer

TEST_F(ExchangeTest, ReadsOnAfterAnEarlyAnswerAsLongAsBytesCome) {
  Echo echo("x");
  Options options;
  options.limits.linger = 400ms;
  StartByHand(Config({At("c1", 1, {echo.backend.port})}), options);
  Conn conn = Conn::To(port);
  conn.Send("POST / HTTP/1.1\r\nHost: nobody.example\r\nContent-Length: 1000000\r\n\r\n");
  const std::string block(10'000, 'a');
  for (int i = 0; i < 20; ++i) {  // 4 s in all, never 400 ms without a byte.
    ASSERT_TRUE(conn.Send(block)) << i;
    ASSERT_TRUE(Eventually([&] { return Delivered(conn); }));
    Pass(200ms);
  }
  EXPECT_TRUE(conn.TakeHead().starts_with("HTTP/1.1 404 "));
  conn.in.clear();
  Pass(500ms);
  EXPECT_EQ(EndOf(conn), "fin");
}

TEST_F(ExchangeTest, ReadsOnWithinBoundsOnly) {
  Echo echo("x");
  Options options;
  options.limits.linger_bytes = 1 << 20;
  Start(Config({At("c1", 1, {echo.backend.port})}), options);
  Conn conn = Conn::To(port);
  conn.Send("POST / HTTP/1.1\r\nHost: nobody.example\r\nContent-Length: 1000000000\r\n\r\n");
  const std::string block(1 << 20, 'a');
  int sent = 0;
  while (sent < 500 && conn.Send(block)) ++sent;
  EXPECT_LT(sent, 500);
}

// ---- What is answered here, and how

TEST_F(ExchangeTest, KeepsTheQueryOnARedirectedPath) {
  Config setup({At("none", 1, {ClosedPort()})});
  setup.rules = {{traffic::PathKind::kPrefix, "/a", 1}, {traffic::PathKind::kPrefix, "/b", 2}};
  setup.actions.resize(3);
  setup.actions[1].redirect = Redirect{"", "", "/moved", 302};
  setup.actions[2].redirect = Redirect{"", "", "/moved?own=1", 302};
  Start(setup);
  Conn conn = Conn::To(port);
  const auto location = [&](const std::string& path) {
    conn.Send("GET " + path + " HTTP/1.1\r\nHost: a.example\r\n\r\n");
    return Header(Response(conn).first, "location");
  };
  EXPECT_EQ(location("/a?q=1&r"), "http://a.example/moved?q=1&r");
  EXPECT_EQ(location("/a"), "http://a.example/moved");
  EXPECT_EQ(location("/b?q=1"), "http://a.example/moved?own=1");
}

TEST_F(ExchangeTest, AnswersWithADateAndAddsOne) {
  Backend backend(Always("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
  StartByHand(Config({At("c1", 1, {backend.port})}));
  Conn conn = Conn::To(port);
  for (const std::string host : {"a.example", "nobody.example", "a.example"}) {
    clock.Advance(1'500ms);
    conn.Send("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
    const std::string date = Header(Response(conn).first, "date");
    std::tm parsed{};
    const char* end = strptime(date.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parsed);
    ASSERT_TRUE(end != nullptr && *end == '\0') << date;
    EXPECT_EQ(timegm(&parsed), std::chrono::system_clock::to_time_t(clock.Wall())) << date;
  }
}

TEST_F(ExchangeTest, TakesTheSmallFormsOfARequest) {
  Echo echo("x");
  Start(Config({At("c1", 1, {echo.backend.port})}));
  const struct {
    std::string request, status, reason;
  } cases[] = {
      {"GET / HTTP/1.1\r\nHost: a.example.\r\n\r\n", "200", ""},
      {"GET / HTTP/1.2\r\nHost: a.example\r\n\r\n", "200", ""},
      {"GET http://A.example:80?q HTTP/1.1\r\nHost: a.example\r\n\r\n", "200", ""},
      {"OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n", "200", ""},
      {"OPTIONS / HTTP/1.1\r\nHost: a.example\r\nMax-Forwards: 0\r\n\r\n", "200", ""},
      {"TRACE / HTTP/1.1\r\nHost: a.example\r\nMax-Forwards: 0\r\n\r\n", "405", "trace_not_served"},
      {"TRACE / HTTP/1.1\r\nHost: a.example\r\nMax-Forwards: 1\r\n\r\n", "200", ""},
      {"OPTIONS http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n", "200", ""},
      {"\r\n\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "200", ""},
      {"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "501",
       "websocket_not_served"},
      {"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n", "200", ""},
      {"GET / HTTP/1.1\r\nHost: a.example\r\nuser_id: 1\r\n\r\n", "400", "underscore_in_header_name"},
      {"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n", "200",
       ""},
  };
  for (const auto& c : cases) {
    Conn conn = Conn::To(port);
    conn.Send(c.request);
    const std::string head = Response(conn).first;
    EXPECT_EQ(head.substr(9, 3), c.status) << c.request << head;
    EXPECT_EQ(Header(head, "x-weir-reason"), c.reason) << c.request;
  }
  EXPECT_EQ(engine.GetStats().underscores_refused, 1u);
}

TEST_F(ExchangeTest, ForgivesAnEmptyLineHoweverItArrives) {
  Echo echo("x");
  StartByHand(Config({At("c1", 1, {echo.backend.port})}));
  Conn conn = Conn::To(port);
  for (int i = 0; i < 2; ++i) {
    for (const char c : std::string("\r\n\r\n") + kGet) {
      conn.Send(std::string(1, c));
      if (c == '\r') Pass(1ms);  // Read before the next one comes.
    }
    EXPECT_EQ(Response(conn).second, "x");
  }
}

// Every field that frames a message or names its host, listed by Connection: refused, and nothing has left for the app.
TEST_F(ExchangeTest, ConnectionTakesNoFramingAwayAndNothingIsForwarded) {
  Echo echo("x");
  Start(Config({At("c1", 1, {echo.backend.port})}));
  for (const std::string name : {"Transfer-Encoding", "transfer-encoding", "Content-Length", "Host"}) {
    for (const std::string body : {"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Content-Length: 5\r\n\r\nhello"}) {
      Conn conn = Conn::To(port);
      conn.Send("POST / HTTP/1.1\r\nHost: a.example\r\nConnection: " + name + "\r\n" + body);
      const std::string all = conn.ToEnd();
      EXPECT_TRUE(all.starts_with("HTTP/1.1 400 ")) << name << all;
    }
  }
  EXPECT_EQ(echo.LastHead(), "");
  EXPECT_EQ(engine.GetStats().upstream_connections, 0u);
}

TEST_F(ExchangeTest, WhatWasSentAndLostIs502WithoutRetryAfter) {
  for (const std::string answer : {"", "no http at all", "HTTP/0.9 200 OK\r\n\r\n", "HTTP/1.1 2"}) {
    Backend backend(Once(answer));
    Engine one;
    ASSERT_TRUE(one.Start({}).ok());
    ASSERT_TRUE(ApplyAndWait(one, Config({At("c1", 1, {backend.port})}).Build()).ok());
    Conn conn = Conn::To(one.Port("public"));
    conn.Send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n");
    const std::string head = conn.TakeHead();
    EXPECT_TRUE(head.starts_with("HTTP/1.1 502 ")) << answer << head;
    EXPECT_EQ(Header(head, "retry-after"), "");
  }
}

// It was executed; the next one would say the same.
TEST_F(ExchangeTest, AMalformedAnswerIsNotAskedForAgain) {
  const std::string bad = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n";
  Backend one(Always(bad)), two(Always(bad));
  Start(Config({At("c1", 1, {one.port}), At("c2", 1, {two.port})}));
  Conn conn = Conn::To(port);
  conn.Send(kGet);
  const std::string head = conn.TakeHead();
  EXPECT_TRUE(head.starts_with("HTTP/1.1 502 ")) << head;
  EXPECT_EQ(Header(head, "x-weir-reason"), "bad_answer");
  EXPECT_EQ(one.connections + two.connections, 1);
  EXPECT_EQ(engine.GetStats().retries, 0u);
}

std::string LogOf(const Config& setup, const std::vector<std::string>& requests) {
  Options options;
  options.access_log = testing::TempDir() + "/weir_exchange_" + std::to_string(getpid());
  {
    Engine logged;
    EXPECT_TRUE(logged.Start(options).ok());
    EXPECT_TRUE(ApplyAndWait(logged, setup.Build()).ok());
    for (const std::string& request : requests) {
      Conn conn = Conn::To(logged.Port("public"));
      conn.Send(request);
      conn.TakeHead();
    }
  }
  std::ifstream file(options.access_log);
  std::stringstream text;
  text << file.rdbuf();
  unlink(options.access_log.c_str());
  return text.str();
}

TEST_F(ExchangeTest, TheLogNamesWhatWasRefusedAndWhoSaidWhat) {
  Backend bad(Always("HTTP/1.1 200 OK\r\nContent-Length: a\r\n\r\n"));
  const std::string log = LogOf(Config({At("c1", 1, {bad.port})}),
                                {"GET /x HTTP/1.1\r\nHost: a.example\r\nA : b\r\n\r\n", "\x16\x03\x01 nonsense", kGet});
  EXPECT_NE(log.find(R"("method":"GET","path":"/x","status":400)"), std::string::npos) << log;
  EXPECT_NE(log.find(R"("firstLine":"GET /x HTTP/1.1")"), std::string::npos) << log;
  EXPECT_NE(log.find(R"("reason":"bad_header_name")"), std::string::npos) << log;
  EXPECT_NE(log.find(R"(nonsense")"), std::string::npos) << log;
  EXPECT_NE(log.find("\"endpoint\":\"127.0.0.1:" + std::to_string(bad.port) +
                     "\",\"reason\":\"bad_answer\",\"detail\":\"bad_content_length\""),
            std::string::npos)
      << log;
}

}  // namespace
}  // namespace weir::proxy
