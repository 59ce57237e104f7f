#include "libs/codec/http1.h"
#include "libs/dialect/heads.h"
#include "libs/proxy/engine_test_peers.h"

// How much a head may be, and what it says of its host.
namespace weir::proxy {
namespace {

// A stock Envoy in our place takes what we take.
constexpr bool Same(const codec::HeadBounds& ours, const dialect::HeadBounds& said) {
  return ours.fields == said.fields && ours.bytes == said.kib * 1024;
}
static_assert(Same(codec::kOutside, dialect::kEdgeHead) && Same(codec::kMesh, dialect::kMeshHead));

constexpr char kT1[] = "spiffe://edge.acme/ns/t1/sa/t1", kT2[] = "spiffe://c1.acme/ns/t2/sa/t2",
               kPod[] = "spiffe://c1.acme/ns/shop/sa/shop";

// Fields x-0 to x-<count - 1>.
std::string Fields(size_t count) {
  std::string lines;
  for (size_t i = 0; i < count; ++i) lines += fmt::format("x-{}: 1\r\n", i);
  return lines;
}

// What the edge takes no gateway behind it refuses: T1, T2 and a pod proxy before an application.
class HeadBoundsTest : public testing::Test {
 protected:
  HeadBoundsTest() {
    Serve(pod_, kPod, Config({At("c1", 1, {app_.port})}), kT2);
    Config second({At("c1", 1, {pod_.Port("public")}, kPod)});
    second.destination->tls = UpstreamTls{"a.example", {}};
    Serve(t2_, kT2, second, kT1);
    Config first({At("c1", 1, {t2_.Port("public")}, kT2)});
    first.destination->tls = UpstreamTls{"a.example", {}};
    Serve(t1_, kT1, first, "");
  }
  void Serve(Engine& engine, const char* is, Config config, const std::string& caller) {
    if (!caller.empty()) {
      config.tls = DownstreamTls{true, {{caller, false}}};
      config.server_names = {"a.example"};
    }
    ASSERT_TRUE(engine.Start({}).ok());
    ASSERT_TRUE(engine.SetIdentity(IdentityOf(root_, is)).ok());
    ASSERT_TRUE(ApplyAndWait(engine, config.Build()).ok());
  }
  // Status and reason.
  std::string Ask(const std::string& request) {
    Conn conn = Conn::To(t1_.Port("public"));
    conn.Send(request);
    answer_ = Response(conn).first;
    const std::string reason = Header(answer_, "x-weir-reason");
    return answer_.substr(9, 3) + (reason.empty() ? "" : " " + reason);
  }
  static std::string Get(const std::string& fields) {
    return "GET / HTTP/1.1\r\nHost: a.example\r\n" + fields + "\r\n";
  }

  std::atomic<size_t> fields_{0};  // That the application answers.
  Backend app_{[this](Conn& conn) {
    while (!conn.TakeHead().empty()) {
      if (!conn.Send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n" + Fields(fields_) + "\r\n")) return;
    }
  }};
  identity::Authority root_ = *identity::NewRoot("test root");
  Engine pod_, t2_, t1_;
  std::string answer_;
};

TEST_F(HeadBoundsTest, WhatTheEdgeTakesIsTakenBehindIt) {
  const auto of_bytes = [](size_t bytes) {
    return Get("x: " + std::string(bytes - Get("x: \r\n").size(), 'a') + "\r\n");
  };
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Ask(Get(Fields(99))), "200");
    EXPECT_EQ(Ask(of_bytes(60 * 1024)), "200");
  }
  EXPECT_EQ(Ask(Get(Fields(100))), "431 too_many_headers");
  EXPECT_EQ(Ask(of_bytes(60 * 1024 + 1)), "431 head_too_large");
  EXPECT_EQ(t1_.GetStats().upstream_connections, 1u) << "no request costs a connection between the tiers";
  EXPECT_EQ(t2_.GetStats().upstream_connections, 1u);
}

TEST_F(HeadBoundsTest, WhatThePodProxyTakesOfAnAnswerIsTakenBeforeIt) {
  fields_ = 99;
  EXPECT_EQ(Ask(kGet), "200");
  EXPECT_NE(Header(answer_, "date"), "") << "each tier may add its own";
  fields_ = 100;
  EXPECT_EQ(Ask(kGet), "502 bad_answer");
}

using HeadTest = EngineTest;

TEST_F(HeadTest, SaysAHostAndASchemeThatCanBeServed) {
  Echo echo("x");
  Start(Config({At("c1", 1, {echo.backend.port})}));
  const struct {
    std::string request, status, reason;
  } cases[] = {
      {"GET http://a.example/ HTTP/1.0\r\n\r\n", "200", ""},
      {"GET / HTTP/1.0\r\n\r\n", "400", "bad_host"},
      {"GET https://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "421", "https_over_plain_connection"},
  };
  for (const auto& c : cases) {
    Conn conn = Conn::To(port);
    conn.Send(c.request);
    const std::string head = Response(conn).first;
    EXPECT_EQ(head.substr(9, 3), c.status) << c.request << head;
    EXPECT_EQ(Header(head, "x-weir-reason"), c.reason) << c.request;
  }
}

// RFC 9112 section 3.2: who is asked in 1.1 must be told its host.
TEST_F(HeadTest, TellsTheApplicationTheHostThatAnOldRequestSaysInItsTargetAlone) {
  Echo echo("x");
  Start(Config({At("c1", 1, {echo.backend.port})}));
  Conn conn = Conn::To(port);
  conn.Send("GET http://a.example/b HTTP/1.0\r\n\r\n");
  EXPECT_EQ(Response(conn).first.substr(9, 3), "200");
  EXPECT_TRUE(echo.LastHead().starts_with("GET /b HTTP/1.1\r\nhost: a.example\r\n")) << echo.LastHead();
}

}  // namespace
}  // namespace weir::proxy
