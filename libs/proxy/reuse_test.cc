#include "libs/proxy/engine_test_tls_peer.h"

namespace weir::proxy {
namespace {

// ---- A connection is used again only where both ends agree that nothing is under way on it

class ReuseTest : public EngineTest {
 protected:
  // What a second request meets after `first` was answered so: how many connections the endpoint saw.
  int Connections(const std::string& answer, const std::string& first = kGet) {
    std::atomic<int> asked{0};
    Backend backend([&](Conn& conn) {
      while (!conn.TakeHead().empty())
        conn.Send(asked++ == 0 ? answer : "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnext");
    });
    Engine one;
    EXPECT_TRUE(one.Start({}).ok());
    EXPECT_TRUE(ApplyAndWait(one, Config({At("c1", 1, {backend.port})}).Build()).ok());
    {
      Conn conn = Conn::To(one.Port("public"));
      conn.Send(first);
      EXPECT_TRUE(conn.TakeHead().starts_with("HTTP/1.1 200 "));
      if (first != kGet) conn.ToEnd();
    }
    Conn conn = Conn::To(one.Port("public"));
    conn.Send(kGet);
    EXPECT_EQ(Response(conn).second, "next");
    return backend.connections;
  }
};

TEST_F(ReuseTest, AfterAWholeAnswer) {
  EXPECT_EQ(Connections("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"), 1);
  EXPECT_EQ(Connections("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"), 1);
}

TEST_F(ReuseTest, NotWhereMoreLiesBehindTheAnswer) {
  const std::string evil = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
  EXPECT_EQ(Connections("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" + evil), 2);
  EXPECT_EQ(Connections("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n" + evil), 2);
  EXPECT_EQ(Connections("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok\n"), 2);
}

TEST_F(ReuseTest, NotWhereTheEndpointSaysThatItCloses) {
  EXPECT_EQ(Connections("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"), 2);
  EXPECT_EQ(Connections("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok"), 2);
}

// The rest of its body would be read as the next request.
TEST_F(ReuseTest, NotWhereTheRequestIsNotWhole) {
  EXPECT_EQ(Connections("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
                        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100\r\n\r\n"),
            2);
}

// The same of a refusal after which the request goes elsewhere.
TEST_F(PeerTest, AConnectionIsNotUsedAgainAfterARefusalThatEndsIt) {
  const std::string refusal = "HTTP/1.1 503 Service Unavailable\r\nx-weir-reason: no_cluster_can_serve\r\n";
  const std::string half = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100\r\n\r\nhalf";
  const std::string repeatable = std::string(half).insert(17, "Idempotency-Key: k\r\n");
  struct Case {
    std::string answer, request;
    bool closed;
  };
  for (const Case& one : {Case{refusal + "content-length: 1\r\n\r\nx", kGet, false},
                          Case{refusal + "connection: close\r\ncontent-length: 1\r\n\r\nx", kGet, true},
                          Case{refusal + "content-length: 1\r\n\r\nx", half, true},
                          Case{refusal + "content-length: 1\r\n\r\nx", repeatable, true}}) {
    SCOPED_TRACE(one.answer + one.request);
    root_ = *identity::NewRoot("test root");
    const Identity identity = IdentityOf(root_, kT2);
    std::promise<bool> closed;
    Backend backend([&](Conn& conn) {
      TlsPeer tls(identity);
      if (!tls.Accept(conn) || tls.TakeHead().empty()) return;
      tls.Send(one.answer);
      closed.set_value(tls.Closed(conn, one.closed ? 5'000ms : 300ms));
    });
    Engine engine;
    Config first({At("peer", 1, {backend.port}, kT2), At("none", 0, {ClosedPort()}, kT2)});
    first.destination->tls = UpstreamTls{"a.example", {}};
    ASSERT_TRUE(engine.Start({}).ok());
    ASSERT_TRUE(engine.SetIdentity(IdentityOf(root_, kT1)).ok());
    ASSERT_TRUE(ApplyAndWait(engine, first.Build()).ok());
    Conn conn = Conn::To(engine.Port("public"));
    conn.Send(one.request);
    EXPECT_TRUE(conn.TakeHead().starts_with("HTTP/1.1 503 "));
    auto result = closed.get_future();
    ASSERT_EQ(result.wait_for(10s), std::future_status::ready);
    EXPECT_EQ(result.get(), one.closed);
  }
}

}  // namespace
}  // namespace weir::proxy
