#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "libs/base/mutex.h"
#include "libs/identity/certificates.h"
#include "libs/net/loop.h"
#include "libs/net/socket.h"
#include "libs/proxy/engine.h"
#include "tests/support/real_time.h"

// For tests of the engine over real sockets: callers, backends, one-host configurations.

namespace weir::proxy {
using namespace std::chrono_literals;

// A blocking socket with a deadline on every wait.
class Conn {
 public:
  explicit Conn(int fd) : fd_(fd) {}
  // `receive_buffer`: bytes; 0 = as the kernel likes.
  static Conn To(uint16_t port, int receive_buffer = 0) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer > 0) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
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

inline std::string Header(const std::string& head, const std::string& name) {
  const size_t at = head.find("\r\n" + name + ": ");
  if (at == std::string::npos) return "";
  const size_t from = at + name.size() + 4;
  return head.substr(from, head.find("\r\n", from) - from);
}

// Head and body of the next response with a Content-Length.
inline std::pair<std::string, std::string> Response(Conn& conn) {
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
        const int fd = Patiently([&] { return accept(listener_.get(), nullptr, nullptr); });
        if (fd < 0) return;
        const int copy = Patiently([&] { return dup(fd); });
        MutexLock lock(mutex_);
        ++connections;
        open_.push_back(copy);
        threads_.emplace_back([this, fd] {
          Conn conn(fd);
          serve_(conn);
          shutdown(fd, SHUT_RDWR);  // The copy in open_ would keep it alive.
        });
      }
    });
  }
  ~Backend() {
    over_ = true;
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
  // The backend shares its process, and so a shortage of descriptors, with the engine that is tested: it waits for one.
  template <typename Open>
  int Patiently(const Open& open) {
    int fd = -1;
    Eventually([&] {
      fd = open();
      return fd >= 0 || errno != EMFILE || over_;
    });
    return fd;
  }

  Serve serve_;
  net::Fd listener_;
  std::atomic<bool> over_{false};
  std::thread acceptor_;
  Mutex mutex_;
  std::vector<int> open_ WEIR_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_ WEIR_GUARDED_BY(mutex_);
};

// Answers each request with `name` and remembers the heads.
struct Echo {
  Mutex mutex;
  std::vector<std::string> heads WEIR_GUARDED_BY(mutex);
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
              MutexLock lock(mutex);
              heads.push_back(head);
            }
            const std::string text = name + body;
            std::string out = "HTTP/1.1 200 OK\r\ncontent-length: " + std::to_string(text.size()) + "\r\n\r\n";
            if (!head.starts_with("HEAD ")) out += text;
            if (!conn.Send(out)) return;
          }
        }) {}
  std::string LastHead() {
    MutexLock lock(mutex);
    return heads.empty() ? "" : heads.back();
  }
};

inline Locality At(std::string cluster, std::optional<uint32_t> weight, std::vector<uint16_t> ports,
                   std::string id = "") {
  Locality locality{.cluster = std::move(cluster), .weight = weight, .endpoints = {}};
  for (const uint16_t port : ports) locality.endpoints.push_back({"127.0.0.1", port, id});
  return locality;
}

// One host "a.example" with everything to destination set "backend"; more by changing the parts.
struct Config {
  Snapshot snapshot;
  std::vector<RouteAction> actions;
  std::vector<traffic::RouteRule> rules{{traffic::PathKind::kPrefix, "/", 0}};
  std::optional<DownstreamTls> tls;
  std::vector<std::string> server_names;
  std::shared_ptr<DestinationSet> destination = std::make_shared<DestinationSet>();
  std::string listener = "public";
  uint16_t port = 0;

  explicit Config(std::vector<Locality> localities) {
    destination->name = "backend";
    destination->localities = std::move(localities);
    RouteAction action;
    action.destination_set = "backend";
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
    built->destination_sets["backend"] = destination;
    return built;
  }
};

inline Status ApplyAndWait(Engine& engine, std::shared_ptr<const Snapshot> snapshot) {
  auto done = std::make_shared<std::promise<Status>>();
  auto arrived = done->get_future();
  engine.Apply(std::move(snapshot), [done](Status status) { done->set_value(std::move(status)); });
  if (arrived.wait_for(10s) != std::future_status::ready) return DeadlineExceeded("TEST", "not applied in 10 s");
  return arrived.get();
}

// Lets `time` pass for engines that go by `clock`, in ticks of their timers: each has seen every tick, and done what
// was due at it, before the next one.
inline void Pass(ManualClock& clock, const std::vector<const Engine*>& engines, std::chrono::milliseconds time) {
  constexpr std::chrono::milliseconds kTick(net::Wheel::kTickMs);
  for (; time > 0ms; time -= kTick) {
    clock.Advance(std::min(time, kTick));
    for (int round = 0; round < 2; ++round) {  // The second one comes behind what had arrived.
      for (const Engine* engine : engines) (void)engine->GetStats();
    }
  }
}

class EngineTest : public testing::Test {
 protected:
  // As Start, but time stands still unless the test lets it Pass.
  void StartByHand(const Config& setup, Options options = {}) {
    options.clock = &clock;
    Start(setup, options);
  }
  void Pass(std::chrono::milliseconds time) { weir::proxy::Pass(clock, {&engine}, time); }
  void Start(const Config& setup, Options options = {}) {
    ASSERT_TRUE(engine.Start(options).ok());
    const Status status = ApplyAndWait(engine, setup.Build());
    ASSERT_TRUE(status.ok()) << status.error().ToString();
    port = engine.Port(setup.listener);
    ASSERT_NE(port, 0);
  }
  ManualClock clock;
  Engine engine;
  uint16_t port = 0;
};

inline constexpr char kGet[] = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

inline uint16_t ClosedPort() {
  auto fd = net::ListenShared(*net::Address::Parse("127.0.0.1", 0));
  return *net::BoundPort(fd->get());
}

// ---- Two engines, one in front of the other over TLS, as T1 and T2.

inline Identity IdentityOf(const identity::Authority& root, const std::string& id) {
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
    first.destination->tls = UpstreamTls{sni, {}};
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

}  // namespace weir::proxy
