#include <arpa/inet.h>
#include <fmt/format.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <future>
#include <set>
#include <sstream>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "libs/base/file.h"
#include "libs/proxy/engine_test_peers.h"
#include "libs/proxy/envoy_snapshot.h"
#include "tests/e2e/scene.h"
#include "tests/e2e/side_by_side_rows.h"
#include "tests/support/http_client.h"

// Every field that the manifest calls supported has an effect that one can see, and it is the same with the same
// configuration in a stock Envoy beside us. One engine, one Envoy, one table: each row is a listener of its own.
namespace weir::e2e {
namespace {

using proxy::Backend;
using proxy::Conn;
using FromListener = ::envoy::config::listener::v3::Listener;
using FromCluster = ::envoy::config::cluster::v3::Cluster;

constexpr char kOurs[] = "127.79.1.1", kStock[] = "127.79.1.2";
// Not 127.0.0.1: Envoy says the address of its own machine for a caller from there.
constexpr char kCaller[] = "127.0.0.2";
constexpr uint16_t kFirstPort = 20'000;

// "echo NAME GET /path" and, when they were sent or added, the request's x-forwarded-for and whether it has an id.
std::string EchoOf(const std::string& name, const std::string& head) {
  const auto header = [&](const std::string& wanted) {
    std::string lower(head);
    std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
    const size_t at = lower.find("\r\n" + wanted + ": ");
    return at == std::string::npos
               ? ""
               : head.substr(at + wanted.size() + 4, head.find("\r\n", at + 2) - at - wanted.size() - 4);
  };
  std::string out = "echo " + name + " " + head.substr(0, head.find(" HTTP/"));
  if (header("x-show") == "from") out += " from " + header("x-forwarded-for");
  if (header("x-show") == "id") out += header("x-request-id").empty() ? " without id" : " with id";
  return out;
}

// The next head; "" at the end of the stream. A gateway keeps connections for as long as it likes.
std::string NextHead(Conn& conn) {
  char buffer[16384];
  while (conn.in.find("\r\n\r\n") == std::string::npos) {
    const ssize_t got = recv(conn.fd(), buffer, sizeof buffer, 0);
    if (got <= 0) return "";
    conn.in.append(buffer, static_cast<size_t>(got));
  }
  return conn.TakeHead();
}

// A backend of the rows: echoes with its name, but for the paths of health pages.
Backend::Serve Echoes(const std::string& name) {
  return [name](Conn& conn) {
    for (std::string head; !(head = NextHead(conn)).empty();) {
      const bool empty = head.find(" /empty ") != std::string::npos;
      const char* status = head.find(" /bad ") != std::string::npos ? "500 Bad" : empty ? "204 No Content" : "200 OK";
      const std::string body = empty || head.starts_with("HEAD ") ? "" : EchoOf(name, head);
      const std::string length = empty ? "" : fmt::format("content-length: {}\r\n", body.size());
      if (!conn.Send(fmt::format("HTTP/1.1 {}\r\n{}\r\n{}", status, length, body))) return;
    }
  };
}

// What a caller sees: "200 echo a GET /x", "301 http://b.example/x", "404"; "nothing" when the connection just ends.
// The text of other answers than those that rows ask for is a gateway's own affair.
std::string Observe(const std::string& address, uint16_t port, const std::string& request) {
  test::HttpClient client(address, port, test::Milliseconds(15'000));
  client.SetSource(kCaller);
  const auto raw = client.Raw(request);
  if (!raw.ok()) return raw.error().reason;
  if (raw->size() < 12) return "nothing";
  std::string out = raw->substr(9, 3);
  const size_t end = raw->find("\r\n\r\n");
  for (const char* header : {"\r\nlocation: ", "\r\nLocation: "}) {
    const size_t at = raw->find(header);
    if (at < end) out += " " + raw->substr(at + 12, raw->find("\r\n", at + 2) - at - 12);
  }
  for (const char* mark : {"echo ", "said "}) {
    const size_t at = raw->find(mark, end);
    if (at != std::string::npos) out += " " + raw->substr(at);
  }
  return out;
}

std::string Endpoint(uint16_t port, const std::string& more = "", const std::string& of_endpoint = "") {
  return fmt::format(
      "lb_endpoints {{ endpoint {{ address {{ socket_address {{ address: '127.0.0.1' port_value: {} }} }} {} }} {} }}",
      port, of_endpoint, more);
}
std::string Locality(const std::string& name, const std::string& endpoints, unsigned weight = 1,
                     unsigned priority = 0) {
  return fmt::format(
      "endpoints {{ locality {{ region: 'r' zone: 'z' sub_zone: '{}' }} load_balancing_weight {{ value: {} }} "
      "priority: "
      "{} {} }}",
      name, weight, priority, endpoints);
}
std::string Cluster(const std::string& name, const std::string& localities, const std::string& more = "",
                    const std::string& panic = "") {
  return fmt::format(
      "name: '{0}' type: STATIC connect_timeout {{ seconds: 1 }} lb_policy: ROUND_ROBIN common_lb_config {{ "
      "healthy_panic_threshold {{ {3} }} locality_weighted_lb_config {{}} }} "
      "load_assignment {{ cluster_name: '{0}' {1} }} {2}",
      name, localities, more, panic);
}
std::string Check(const std::string& how) {
  return "health_checks { timeout { nanos: 300000000 } interval { nanos: 300000000 } unhealthy_threshold { value: 1 } "
         "healthy_threshold { value: 1 } no_traffic_interval { nanos: 300000000 } " +
         how + " }";
}
std::string Page(const std::string& path, const std::string& more = "") {
  return Check("http_health_check { host: 'h.example' path: '" + path + "' " + more + " }");
}

std::string ListenerText(size_t number, const Row& row, const std::string& address) {
  return fmt::format(
      "name: 'row-{0}' address {{ socket_address {{ address: '{1}' port_value: {2} }} }} filter_chains {{ filters {{ "
      "name: "
      "'envoy.filters.network.http_connection_manager' typed_config {{ "
      "[type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager] {{ "
      "stat_prefix: 'row' {3} route_config {{ name: 'row-{0}' {4} virtual_hosts {{ name: 'v' {5} {6} }} }} "
      "http_filters {{ "
      "name: 'envoy.filters.http.router' typed_config {{ "
      "[type.googleapis.com/envoy.extensions.filters.http.router.v3.Router] {{}} }} }} }} }} }} }}",
      number, address, kFirstPort + number, row.http, row.of_routes, row.domains, row.routes);
}

template <typename Message>
Message Parsed(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}
template <typename Message>
proxy::EnvoyResource ResourceOf(const Message& message) {
  return {"type.googleapis.com/" + Message::descriptor()->full_name(), message.name(), message.SerializeAsString()};
}
std::string Json(const google::protobuf::Message& message) {
  std::string json;
  EXPECT_TRUE(google::protobuf::util::MessageToJsonString(message, &json).ok());
  return json;
}

// Takes connections until its queue is full, and accepts none.
class Full {
 public:
  Full() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(listener_.get(), 0), 0);
    port = *net::BoundPort(listener_.get());
    address.sin_port = htons(port);
    for (int i = 0; i < 4; ++i) {
      waiting_.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      (void)connect(waiting_.back().get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    }
  }
  uint16_t port = 0;

 private:
  net::Fd listener_;
  std::vector<net::Fd> waiting_;
};

uint16_t Closed() { return Full().port; }

// The two gateways and what stands behind both.
class Pair {
 public:
  Pair() : a(Echoes("a")), b(Echoes("b")), silent([](Conn& conn) { NextHead(conn), NextHead(conn); }) {}

  std::vector<std::string> Clusters() const {
    const uint16_t dead = Closed();
    const std::string get = "codec_client_type: HTTP1 method: GET";
    return {Cluster("a", Locality("a", Endpoint(a.port))),
            Cluster("b", Locality("b", Endpoint(b.port))),
            Cluster("silent", Locality("s", Endpoint(silent.port))),
            Cluster("dead", Locality("d", Endpoint(dead))),
            Cluster("half", Locality("h", Endpoint(dead) + Endpoint(a.port))),
            Cluster("full", Locality("f", Endpoint(full.port))),
            Cluster("shares", Locality("a", Endpoint(a.port), 3) + Locality("b", Endpoint(b.port), 1)),
            Cluster("said-ill", Locality("a", Endpoint(a.port) + Endpoint(b.port, "health_status: UNHEALTHY") +
                                                  Endpoint(dead, "health_status: DRAINING"))),
            Cluster("all-ill", Locality("a", Endpoint(a.port, "health_status: UNHEALTHY"))),
            Cluster("panic", Locality("a", Endpoint(a.port)), Page("/bad"), "value: 1"),
            Cluster("second", Locality("a", Endpoint(a.port, "health_status: UNHEALTHY")) +
                                  Locality("b", Endpoint(b.port), 1, 1)),
            Cluster("bad-page", Locality("a", Endpoint(a.port)), Page("/bad")),
            Cluster("good-page", Locality("a", Endpoint(a.port)), Page("/good", get)),
            Cluster("expected-page", Locality("a", Endpoint(a.port)),
                    Page("/empty", "expected_statuses { start: 200 end: 300 }")),
            Cluster("empty-page", Locality("a", Endpoint(a.port)), Page("/empty")),
            Cluster("other-port",
                    Locality("a", Endpoint(a.port, "", fmt::format("health_check_config {{ port_value: {} }}", dead))),
                    Page("/good")),
            Cluster("tcp-check", Locality("a", Endpoint(dead) + Endpoint(a.port)), Check("tcp_health_check {}"))};
  }
  Status StartOurs(const std::vector<std::string>& listeners) {
    std::vector<proxy::EnvoyResource> resources;
    for (const std::string& text : listeners) resources.push_back(ResourceOf(Parsed<FromListener>(text)));
    for (const std::string& text : Clusters()) resources.push_back(ResourceOf(Parsed<FromCluster>(text)));
    WEIR_ASSIGN(const proxy::BuiltSnapshot built, proxy::BuildSnapshot(resources, "1"));
    WEIR_TRY(engine.Start({}));
    std::promise<Status> applied;
    engine.Apply(built.snapshot, [&](Status status) { applied.set_value(std::move(status)); });
    WEIR_TRY(applied.get_future().get());
    for (const proxy::UnboundListener& unbound : engine.Unbound()) return unbound.error;
    return {};
  }
  Status StartStock(const std::vector<std::string>& listeners, const std::string& folder) {
    std::string bootstrap = fmt::format(
        R"({{"admin": {{"address": {{"socket_address": {{"address": "{}", "port_value": 15000}}}}}}, "static_resources": {{"listeners": [)",
        kStock);
    for (size_t i = 0; i < listeners.size(); ++i)
      bootstrap += (i == 0 ? "" : ",\n") + Json(Parsed<FromListener>(listeners[i]));
    bootstrap += "], \"clusters\": [";
    const std::vector<std::string> clusters = Clusters();
    for (size_t i = 0; i < clusters.size(); ++i)
      bootstrap += (i == 0 ? "" : ",\n") + Json(Parsed<FromCluster>(clusters[i]));
    bootstrap += "]}}";
    WEIR_TRY(WriteFileAtomic(folder + "/envoy.json", bootstrap));
    WEIR_ASSIGN(stock, test::Process::Start({"envoy",
                                             {EnvoyBinary(), "-c", folder + "/envoy.json", "--concurrency", "1",
                                              "--disable-hot-restart", "--log-level", "warning"},
                                             {},
                                             folder + "/envoy.log",
                                             folder}));
    return test::WaitUntil("Envoy to be ready", test::Milliseconds(30'000), stock.get(), [] {
      const auto ready = test::HttpClient(kStock, 15'000, test::Milliseconds(2'000)).Get("127.0.0.1", "/ready");
      return ready.ok() && ready->status == 200;
    });
  }

  Backend a, b, silent;
  Full full;
  proxy::Engine engine;
  std::unique_ptr<test::Process> stock;
};

class SideBySide : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (access(EnvoyBinary().c_str(), X_OK) != 0) return;
    folder_ = (std::filesystem::temp_directory_path() / ("weir-side-" + std::to_string(getpid()))).string();
    std::filesystem::create_directories(folder_);
    pair_ = new Pair();
    std::vector<std::string> ours, stock;
    std::vector<Row> rows = kRows;
    rows.push_back({"shares", {}, To("shares"), {}, {}});
    for (size_t i = 0; i < rows.size(); ++i) {
      ours.push_back(ListenerText(i, rows[i], kOurs));
      stock.push_back(ListenerText(i, rows[i], kStock));
    }
    Status up = pair_->StartOurs(ours);
    if (up.ok()) up = pair_->StartStock(stock, folder_);
    ASSERT_TRUE(up.ok()) << up.error().message;
  }
  static void TearDownTestSuite() {
    delete pair_;
    pair_ = nullptr;
    if (!HasFailure() && !folder_.empty()) std::filesystem::remove_all(folder_);
  }
  void SetUp() override {
    if (pair_ == nullptr)
      GTEST_SKIP() << "there is no stock Envoy in " << EnvoyBinary() << "; scripts/envoy fetches it, or says why not";
  }
  static Pair* pair_;
  static std::string folder_;
};
Pair* SideBySide::pair_ = nullptr;
std::string SideBySide::folder_;

// Health is found out, so what is expected is waited for, a little.
std::string Settled(const std::string& address, uint16_t port, const Row& row, size_t request) {
  std::string seen;
  const Status settled = test::WaitUntil("what is expected", test::Milliseconds(3'000), nullptr, [&] {
    for (int i = 0; i < row.times; ++i) {
      seen = Observe(address, port, row.requests[request]);
      if (seen != row.expected[request]) return false;
    }
    return true;
  });
  return seen;
}

TEST_F(SideBySide, EveryFieldHasTheSameEffect) {
  struct Seen {
    std::future<std::vector<std::string>> ours, stock;
  };
  std::vector<Seen> seen;
  for (size_t i = 0; i < kRows.size(); ++i) {
    const auto ask = [i](const char* address) {
      return std::async(std::launch::async, [i, address] {
        std::vector<std::string> answers;
        for (size_t request = 0; request < kRows[i].requests.size(); ++request)
          answers.push_back(Settled(address, static_cast<uint16_t>(kFirstPort + i), kRows[i], request));
        return answers;
      });
    };
    seen.push_back({ask(kOurs), ask(kStock)});
  }
  for (size_t i = 0; i < kRows.size(); ++i) {
    const Row& row = kRows[i];
    EXPECT_EQ(seen[i].ours.get(), row.expected) << "ours: " << row.what;
    EXPECT_EQ(seen[i].stock.get(), row.expected) << "stock Envoy: " << row.what;
  }
}

TEST_F(SideBySide, LocalitiesGetTheirShares) {
  for (const char* address : {kOurs, kStock}) {
    std::map<std::string, int> counts;
    for (int i = 0; i < 80; ++i) ++counts[Observe(address, static_cast<uint16_t>(kFirstPort + kRows.size()), Get("/"))];
    EXPECT_NEAR(counts["200 echo a GET /"], 60, 2) << address;
    EXPECT_NEAR(counts["200 echo b GET /"], 20, 2) << address;
  }
}

// Nobody adds a field to the manifest without showing what it does.
TEST(SideBySideTable, HasARowForEveryFieldThatIsSupported) {
  std::set<std::string> shown;
  for (const Row& row : kRows) shown.insert(row.fields.begin(), row.fields.end());
  std::set<std::string> supported;
  std::istringstream lines{std::string(proxy::EnvoyManifest())};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string field, how;
    words >> field >> how;
    if (how != "supported") continue;
    const size_t dot = field.rfind('.', field.rfind('.') - 1);
    supported.insert(field.substr(dot + 1));
  }
  for (const std::string& field : supported)
    EXPECT_TRUE(shown.contains(field) != kElsewhere.contains(field))
        << field << " is shown by no row, or said to be shown elsewhere too";
  for (const std::string& field : shown) EXPECT_TRUE(supported.contains(field)) << field << " is not supported";
}

}  // namespace
}  // namespace weir::e2e
