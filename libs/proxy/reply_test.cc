#include "libs/proxy/engine_test_peers.h"

// What is answered here, without an endpoint.

namespace weir::proxy {
namespace {

class ReplyTest : public EngineTest {
 protected:
  void StartWith(RouteAction action, Options options = {}) {
    Config setup({At("none", 1, {ClosedPort()})});
    action.destination_set.clear();
    setup.actions = {std::move(action)};
    Start(setup, options);
  }
};

TEST_F(ReplyTest, ARedirectKeepsWhatItDoesNotChange) {
  const std::pair<Redirect, const char*> cases[] = {
      {{"", "", "", 301}, "http://a.example/x/y?q=1"},
      {{"https", "", "", 301}, "https://a.example/x/y?q=1"},
      {{"", "b.example", "", 302}, "http://b.example/x/y?q=1"},
      {{"https", "b.example:8443", "/z", 308}, "https://b.example:8443/z?q=1"},
  };
  for (const auto& [redirect, location] : cases) {
    Engine one;
    Config setup({At("none", 1, {ClosedPort()})});
    setup.actions[0].destination_set.clear();
    setup.actions[0].redirect = redirect;
    ASSERT_TRUE(one.Start({}).ok());
    ASSERT_TRUE(ApplyAndWait(one, setup.Build()).ok());
    Conn conn = Conn::To(one.Port("public"));
    conn.Send("GET /x//y?q=1 HTTP/1.1\r\nHost: a.example\r\n\r\n");
    const std::string head = Response(conn).first;
    EXPECT_EQ(Header(head, "location"), location);
    EXPECT_TRUE(head.starts_with(fmt::format("HTTP/1.1 {} ", redirect.status))) << head;
  }
}

// Whoever asks on a kept connection is told that it ends, before it does.
TEST_F(ReplyTest, SaysThatItClosesWhileItDrains) {
  RouteAction action;
  action.direct_response = DirectResponse{200, "here"};
  StartWith(action);
  Conn conn = Conn::To(port);
  engine.Drain([] {});
  std::string head;
  const auto until = std::chrono::steady_clock::now() + 2s;
  do {
    conn.Send(kGet);
    const auto [answer, body] = Response(conn);
    ASSERT_EQ(body, "here");
    head = answer;
  } while (Header(head, "connection") != "close" && std::chrono::steady_clock::now() < until);
  EXPECT_EQ(Header(head, "connection"), "close");
  EXPECT_EQ(conn.ToEnd(), "");
}

TEST_F(ReplyTest, AnAnswerToHeadHasNoBody) {
  RouteAction action;
  action.direct_response = DirectResponse{200, "here"};
  StartWith(action);
  Conn conn = Conn::To(port);
  conn.Send("HEAD / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
  const std::string all = conn.ToEnd();
  EXPECT_EQ(Header(all, "content-length"), "4");
  EXPECT_TRUE(all.ends_with("\r\n\r\n")) << all;
}

}  // namespace
}  // namespace weir::proxy
