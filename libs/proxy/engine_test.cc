#include "libs/proxy/engine.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <fstream>
#include <future>
#include <map>
#include <mutex>
#include <sstream>
#include <thread>

#include "libs/identity/certificates.h"
#include "libs/net/socket.h"

namespace weir::proxy {
namespace {
using namespace std::chrono_literals;

// A blocking socket with a deadline on every wait.
class Conn {
 public:
  explicit Conn(int fd) : fd_(fd) {}
  static Conn To(uint16_t port) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) ADD_FAILURE() << "connect";
    return Conn(fd);
  }
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  // Reads more; false at the end of the stream.
  bool More() {
    pollfd wait{fd_.get(), POLLIN, 0};
    if (poll(&wait, 1, 10'000) != 1) {
      ADD_FAILURE() << "no bytes within 10 s; so far: " << in.substr(0, 200);
      return false;
    }
    char buffer[65536];
    const ssize_t got = recv(fd_.get(), buffer, sizeof buffer, 0);
    if (got <= 0) return false;
    in.append(buffer, static_cast<size_t>(got));
    return true;
  }
  bool Until(std::string_view text) {
    while (in.find(text) == std::string::npos) {
      if (!More()) return false;
    }
    return true;
  }
  std::string Take(size_t size) {
    while (in.size() < size && More()) {
    }
    std::string taken = in.substr(0, size);
    in.erase(0, taken.size());
    return taken;
  }
  std::string TakeHead() {
    if (!Until("\r\n\r\n")) return "";
    return Take(in.find("\r\n\r\n") + 4);
  }
  std::string ToEnd() {
    while (More()) {
    }
    return std::exchange(in, {});
  }
  int fd() const { return fd_.get(); }
  std::string in;

 private:
  net::Fd fd_;
};

std::string Header(const std::string& head, const std::string& name) {
  const size_t at = head.find("\r\n" + name + ": ");
  if (at == std::string::npos) return "";
  const size_t from = at + name.size() + 4;
  return head.substr(from, head.find("\r\n", from) - from);
}

// Head and body of the next response with a Content-Length.
std::pair<std::string, std::string> Response(Conn& conn) {
  const std::string head = conn.TakeHead();
  const std::string length = Header(head, "content-length");
  return {head, conn.Take(length.empty() ? 0 : std::stoul(length))};
}

// Accepts on a port of its own and runs `serve` for each connection on its own thread.
class Backend {
 public:
  using Serve = std::function<void(Conn&)>;
  explicit Backend(Serve serve) : serve_(std::move(serve)) {
    listener_ = net::Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(listener_.get(), 128), 0);
    port = *net::BoundPort(listener_.get());
    acceptor_ = std::thread([this] {
      while (true) {
        const int fd = accept(listener_.get(), nullptr, nullptr);
        if (fd < 0) return;
        std::lock_guard lock(mutex_);
        ++connections;
        open_.push_back(dup(fd));
        threads_.emplace_back([this, fd] {
          Conn conn(fd);
          serve_(conn);
          shutdown(fd, SHUT_RDWR);  // The copy in open_ would keep it alive.
        });
      }
    });
  }
  ~Backend() {
    shutdown(listener_.get(), SHUT_RDWR);
    acceptor_.join();
    for (const int fd : open_) {
      shutdown(fd, SHUT_RDWR);
      close(fd);
    }
    for (auto& thread : threads_) thread.join();
  }
  uint16_t port = 0;
  std::atomic<int> connections{0};

 private:
  Serve serve_;
  net::Fd listener_;
  std::thread acceptor_;
  std::mutex mutex_;
  std::vector<int> open_;
  std::vector<std::thread> threads_;
};

// Answers each request with `name` and remembers the heads.
struct Echo {
  std::mutex mutex;
  std::vector<std::string> heads;
  Backend backend;
  explicit Echo(std::string name)
      : backend([this, name](Conn& conn) {
          while (true) {
            const std::string head = conn.TakeHead();
            if (head.empty()) return;
            const std::string length = Header(head, "Content-Length");
            std::string body = length.empty() ? "" : conn.Take(std::stoul(length));
            if (Header(head, "Transfer-Encoding") == "chunked") {
              conn.Until("0\r\n\r\n");
              body = std::exchange(conn.in, {});
            }
            {
              std::lock_guard lock(mutex);
              heads.push_back(head);
            }
            const std::string text = name + body;
            std::string out = "HTTP/1.1 200 OK\r\ncontent-length: " + std::to_string(text.size()) + "\r\n\r\n";
            if (!head.starts_with("HEAD ")) out += text;
            if (!conn.Send(out)) return;
          }
        }) {}
  std::string LastHead() {
    std::lock_guard lock(mutex);
    return heads.empty() ? "" : heads.back();
  }
};

Locality At(std::string cluster, std::optional<uint32_t> weight, std::vector<uint16_t> ports, std::string id = "") {
  Locality locality{std::move(cluster), weight, 0, {}};
  for (const uint16_t port : ports) locality.endpoints.push_back({"127.0.0.1", port, id});
  return locality;
}

// One host "a.example" with everything to cluster "backend"; more by changing the parts.
struct Config {
  Snapshot snapshot;
  std::vector<RouteAction> actions;
  std::vector<traffic::RouteRule> rules{{traffic::PathKind::kPrefix, "/", 0}};
  std::optional<DownstreamTls> tls;
  std::vector<std::string> server_names;
  std::shared_ptr<Cluster> cluster = std::make_shared<Cluster>();
  std::string listener = "public";
  uint16_t port = 0;

  explicit Config(std::vector<Locality> localities) {
    cluster->name = "backend";
    cluster->localities = std::move(localities);
    RouteAction action;
    action.cluster = "backend";
    actions.push_back(action);
  }
  std::shared_ptr<const Routes> BuildRoutes() const {
    auto host = std::make_shared<traffic::VirtualHost>();
    host->name = "a";
    host->domains = {"a.example"};
    host->rules = rules;
    auto routes = std::make_shared<Routes>();
    routes->table = *traffic::RouteTable::Build({host});
    routes->actions = {std::make_shared<const std::vector<RouteAction>>(actions)};
    return routes;
  }
  std::shared_ptr<const Snapshot> Build() const {
    auto built = std::make_shared<Snapshot>(snapshot);
    auto one = std::make_shared<Listener>();
    one->name = listener;
    one->address = "127.0.0.1";
    one->port = port;
    one->chains.push_back({"all", server_names, tls, BuildRoutes()});
    built->listeners.push_back(one);
    built->clusters["backend"] = cluster;
    return built;
  }
};

Status ApplyAndWait(Engine& engine, std::shared_ptr<const Snapshot> snapshot) {
  auto done = std::make_shared<std::promise<Status>>();
  auto arrived = done->get_future();
  engine.Apply(std::move(snapshot), [done](Status status) { done->set_value(std::move(status)); });
  if (arrived.wait_for(10s) != std::future_status::ready) return DeadlineExceeded("TEST", "not applied in 10 s");
  return arrived.get();
}

class EngineTest : public testing::Test {
 protected:
  void Start(const Config& setup, Options options = {}) {
    ASSERT_TRUE(engine.Start(options).ok());
    const Status status = ApplyAndWait(engine, setup.Build());
    ASSERT_TRUE(status.ok()) << status.error().ToString();
    port = engine.Port(setup.listener);
    ASSERT_NE(port, 0);
  }
  Engine engine;
  uint16_t port = 0;
};

constexpr char kGet[] = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

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
      "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Client-Cert: me\r\nX_Under: 1\r\n"
      "X-Request-Id: mine\r\nConnection: x-drop\r\nX-Drop: 1\r\nTE: trailers\r\nUpgrade: websocket\r\nX-Stay: "
      "1\r\n\r\n");
  Response(conn);
  const std::string head = echo.LastHead();
  EXPECT_TRUE(head.starts_with("GET /b?q HTTP/1.1\r\n")) << head;
  EXPECT_EQ(Header(head, "x-forwarded-for"), "127.0.0.1");
  EXPECT_EQ(Header(head, "x-forwarded-proto"), "http");
  EXPECT_EQ(Header(head, "x-request-id").size(), 36u);
  EXPECT_EQ(Header(head, "X-Stay"), "1");
  for (const char* gone : {"X-Weir-Role", "X-Envoy-Original-Path", "6.6.6.6", "Client-Cert", "X_Under", "mine",
                           "X-Drop", "TE:", "Upgrade", "Connection"}) {
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
  conn.Send(kGet);
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
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5;ext\r\nhello\r\n0\r\n\r\n"}) {
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

uint16_t ClosedPort() {
  auto fd = net::ListenShared(*net::Address::Parse("127.0.0.1", 0));
  return *net::BoundPort(fd->get());
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
  for (int i = 0; i < 10; ++i) {
    conn.Send(kGet);
    ASSERT_EQ(Response(conn).second, "alive");
  }
  int refused = 0;
  for (int i = 0; i < 10; ++i) {
    conn.Send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\nx");
    const auto [head, body] = Response(conn);
    refused += head.starts_with("HTTP/1.1 503 ");
  }
  EXPECT_EQ(refused, 5);
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

TEST_F(EngineTest, NamesTheAddressThatSomebodyElseHolds) {
  auto foreign = net::ListenShared(*net::Address::Parse("127.0.0.1", 0));
  Echo echo("x");
  Config setup({At("c1", 1, {echo.backend.port})});
  Start(setup);
  Config taken = setup;
  taken.port = *net::BoundPort(foreign->get());
  const Status status = ApplyAndWait(engine, taken.Build());
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().reason, "ADDRESS_IN_USE");
  EXPECT_NE(status.error().message.find(std::to_string(taken.port)), std::string::npos);
  Conn conn = Conn::To(port);
  conn.Send(kGet);
  EXPECT_EQ(Response(conn).second, "x");
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

Identity IdentityOf(const identity::Authority& root, const std::string& id) {
  const std::string key = *identity::NewKey();
  identity::LeafRequest request;
  request.csr_pem = *identity::MakeCsr(key);
  request.spiffe_id = id;
  return {*identity::SignLeaf(root, request) + root.certificate_pem, key, root.certificate_pem};
}

class TlsTest : public testing::Test {
 protected:
  static constexpr char kT1[] = "spiffe://edge.acme/ns/t1/sa/t1", kT2[] = "spiffe://c1.acme/ns/t2/sa/t2";
  void Run(const std::string& t1_is, const std::string& demanded, const std::string& allowed, const std::string& sni) {
    const auto root = identity::NewRoot("test root");
    ASSERT_TRUE(root.ok()) << root.error().ToString();
    Config second({At("c1", 1, {echo.backend.port})});
    second.tls = DownstreamTls{true, {{allowed, false}}};
    second.server_names = {"a.example"};
    ASSERT_TRUE(t2.Start({}).ok());
    ASSERT_TRUE(t2.SetIdentity(IdentityOf(*root, kT2)).ok());
    ASSERT_TRUE(ApplyAndWait(t2, second.Build()).ok());
    Config first({At("c1", 1, {t2.Port("public")}, demanded)});
    first.cluster->tls = UpstreamTls{sni, {}};
    ASSERT_TRUE(t1.Start({}).ok());
    const Identity identity = IdentityOf(*root, t1_is);
    const Status set = t1.SetIdentity(identity);
    ASSERT_TRUE(set.ok()) << set.error().ToString();
    ASSERT_TRUE(ApplyAndWait(t1, first.Build()).ok());
    root_ = *root;
  }
  Echo echo{"secret"};
  Engine t1, t2;
  identity::Authority root_;
};

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
  EXPECT_TRUE(Response(conn).first.starts_with("HTTP/1.1 503 "));
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
  EXPECT_TRUE(Response(conn).first.starts_with("HTTP/1.1 503 "));
  EXPECT_EQ(echo.LastHead(), "");
}

}  // namespace
}  // namespace weir::proxy
