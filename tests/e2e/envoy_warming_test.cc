// Stock Envoy at our ADS server alone: it acknowledges clusters only when they are warm, and they are warm only once
// their endpoints are there.
#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "libs/base/file.h"
#include "libs/rpc/server.h"
#include "libs/xds/grpc/recording_handler.h"
#include "tests/e2e/scene.h"
#include "tests/support/http_client.h"
#include "tests/support/process.h"

namespace weir::e2e {
namespace {

using namespace std::chrono_literals;
namespace core = ::envoy::config::core::v3;
namespace hcm = ::envoy::extensions::filters::network::http_connection_manager::v3;

// Far below the 5 s for which types that follow were held up, and the 15 s after which Envoy gives up on endpoints.
constexpr auto kAtOnce = 3s;

uint16_t FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  close(fd);
  return ntohs(address.sin_port);
}

// Answers every request on every connection with 200.
class Backend {
 public:
  Backend() : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(fd_, 128), 0);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port = ntohs(address.sin_port);
    thread_ = std::thread([this] { Accept(); });
  }
  ~Backend() {
    shutdown(fd_, SHUT_RDWR);
    thread_.join();
    for (const int one : open_) shutdown(one, SHUT_RDWR);
    for (auto& one : serving_) one.join();
    for (const int one : open_) close(one);
    close(fd_);
  }
  uint16_t port = 0;

 private:
  void Accept() {
    for (int one; (one = accept(fd_, nullptr, nullptr)) >= 0;) {
      open_.push_back(one);
      serving_.emplace_back([one] {
        constexpr std::string_view kAnswer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        std::string head;
        char buffer[4096];
        for (ssize_t got; (got = recv(one, buffer, sizeof(buffer), 0)) > 0;) {
          head.append(buffer, static_cast<size_t>(got));
          for (size_t end; (end = head.find("\r\n\r\n")) != std::string::npos; head.erase(0, end + 4)) {
            if (send(one, kAnswer.data(), kAnswer.size(), MSG_NOSIGNAL) < 0) return;
          }
        }
      });
    }
  }
  int fd_;
  std::thread thread_;
  std::vector<int> open_;  // By the accepting thread, then after it has ended.
  std::vector<std::thread> serving_;
};

class EnvoyWarming : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (access(EnvoyBinary().c_str(), X_OK) != 0) {
      GTEST_SKIP() << "there is no stock Envoy in " << EnvoyBinary() << "; scripts/envoy fetches it, or says why not";
    }
    xds::AdsServiceOptions options;
    options.rules = std::make_shared<xds::ServerRules>(xds::EnvoyRules());
    ads_ = std::make_unique<xds::AdsService>(handler_, std::move(options));
    grpc::ServerBuilder builder;
    rpc::ApplyDefaults(builder);
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(ads_->service());
    server_ = builder.BuildAndStart();
    char folder[] = "/tmp/weir-warming-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    ASSERT_TRUE(WriteFileAtomic(folder_ + "/envoy.yaml", Bootstrap(port)).ok());
  }
  void TearDown() override {
    envoy_.reset();
    if (ads_) ads_->Shutdown();
    if (server_) server_->Shutdown(std::chrono::system_clock::now() + 1s);
    for (const auto& [name, why] : handler_.Refusals()) EXPECT_EQ(name, may_be_refused_) << why;
  }
  std::string WhyRefused(const std::string& name) { return handler_.Refusals()[name]; }

  std::string Bootstrap(int port) {
    return fmt::format(R"(node: {{id: "n", cluster: "c"}}
dynamic_resources:
  ads_config:
    api_type: {}
    transport_api_version: V3
    grpc_services: [{{envoy_grpc: {{cluster_name: ads}}}}]
  cds_config: {{resource_api_version: V3, ads: {{}}}}
  lds_config: {{resource_api_version: V3, ads: {{}}}}
static_resources:
  clusters:
  - name: ads
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{http2_protocol_options: {{}}}}
    load_assignment:
      cluster_name: ads
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {}}}}}}}
)",
                       GetParam(), port);
  }
  void StartEnvoy() {
    test::Command command;
    command.argv = {EnvoyBinary(), "-c", folder_ + "/envoy.yaml", "--disable-hot-restart", "--concurrency", "1"};
    command.name = "envoy";
    command.log_file = folder_ + "/envoy.log";
    auto started = test::Process::Start(std::move(command));
    ASSERT_TRUE(started.ok()) << started.error().message;
    envoy_ = std::move(*started);
  }

  static void FromAds(core::ConfigSource* source) {
    source->mutable_ads();
    source->set_resource_api_version(core::V3);
  }
  // Cluster `name` with `endpoints` backends, and what it is when it changes.
  void SetCluster(const std::string& name, int timeout_ms = 1000) {
    Put(xds::kCluster, name, ClusterOf(name, timeout_ms));
  }
  void SetEndpoints(const std::string& name, const std::vector<uint16_t>& ports) {
    Put(xds::kEndpoints, name, EndpointsOf(name, ports));
  }
  static ::envoy::config::cluster::v3::Cluster ClusterOf(const std::string& name, int timeout_ms = 1000) {
    ::envoy::config::cluster::v3::Cluster cluster;
    cluster.set_name(name);
    cluster.set_type(::envoy::config::cluster::v3::Cluster::EDS);
    FromAds(cluster.mutable_eds_cluster_config()->mutable_eds_config());
    cluster.mutable_connect_timeout()->set_nanos(timeout_ms * 1'000'000 % 1'000'000'000);
    cluster.mutable_connect_timeout()->set_seconds(timeout_ms / 1000);
    return cluster;
  }
  static ::envoy::config::endpoint::v3::ClusterLoadAssignment EndpointsOf(const std::string& name,
                                                                          const std::vector<uint16_t>& ports) {
    ::envoy::config::endpoint::v3::ClusterLoadAssignment assignment;
    assignment.set_cluster_name(name);
    for (const uint16_t port : ports) {
      auto* address = assignment.mutable_endpoints()->size() == 0 ? assignment.add_endpoints()->add_lb_endpoints()
                                                                  : assignment.mutable_endpoints(0)->add_lb_endpoints();
      auto* socket = address->mutable_endpoint()->mutable_address()->mutable_socket_address();
      socket->set_address("127.0.0.1");
      socket->set_port_value(port);
    }
    return assignment;
  }
  static void Add(const std::string& key, const std::string& value, core::HeaderValueOption* to) {
    to->mutable_header()->set_key(key);
    to->mutable_header()->set_value(value);
  }
  void RouteTo(const std::string& cluster) {
    ::envoy::config::route::v3::RouteConfiguration routes;
    routes.set_name("routes");
    auto* host = routes.add_virtual_hosts();
    host->set_name("all");
    host->add_domains("*");
    auto* route = host->add_routes();
    route->mutable_match()->set_prefix("/");
    route->mutable_route()->set_cluster(cluster);
    Add("x-cluster", cluster, route->add_response_headers_to_add());
    Put(xds::kRoute, "routes", routes);
  }
  void Listen(const std::string& name = "l", const std::string& routes = "routes", uint16_t port = 0) {
    ::envoy::config::listener::v3::Listener listener;
    listener.set_name(name);
    auto* address = listener.mutable_address()->mutable_socket_address();
    address->set_address("127.0.0.1");
    address->set_port_value(port == 0 ? port_ : port);
    hcm::HttpConnectionManager http;
    http.set_stat_prefix(name);
    http.mutable_rds()->set_route_config_name(routes);
    FromAds(http.mutable_rds()->mutable_config_source());
    auto* router = http.add_http_filters();
    router->set_name("envoy.filters.http.router");
    router->mutable_typed_config()->PackFrom(::envoy::extensions::filters::http::router::v3::Router());
    auto* filter = listener.add_filter_chains()->add_filters();
    filter->set_name("envoy.filters.network.http_connection_manager");
    filter->mutable_typed_config()->PackFrom(http);
    Put(xds::kListener, name, listener);
  }
  // Hosts "h<i>.example" to clusters of their own, of the size that an agent gives them: three routes each.
  void SetHosts(int count) {
    ::envoy::config::route::v3::RouteConfiguration routes;
    routes.set_name("routes");
    auto clusters = std::make_shared<xds::Resources>(), endpoints = std::make_shared<xds::Resources>();
    for (int i = 0; i < count; ++i) {
      const std::string name = fmt::format("h{}.example", i);
      auto* host = routes.add_virtual_hosts();
      host->set_name(name);
      host->add_domains(name);
      for (const char* prefix : {"/a", "/b", "/"}) {
        auto* route = host->add_routes();
        route->mutable_match()->set_prefix(prefix);
        route->mutable_route()->set_cluster(name);
        Add("x-cluster", name, route->add_response_headers_to_add());
        Add("x-size", std::string(700, 's'), route->add_request_headers_to_add());
      }
      (*clusters)[name] = xds::MakeResource(name, ClusterOf(name).SerializeAsString());
      (*endpoints)[name] = xds::MakeResource(name, EndpointsOf(name, {backend_.port}).SerializeAsString());
    }
    content_.types[std::string(xds::kCluster)] = clusters;
    content_.types[std::string(xds::kEndpoints)] = endpoints;
    Put(xds::kRoute, "routes", routes);
  }
  template <typename Message>
  void Put(std::string_view type, const std::string& name, const Message& message) {
    auto& slot = content_.types[std::string(type)];
    auto all = slot ? std::make_shared<xds::Resources>(*slot) : std::make_shared<xds::Resources>();
    (*all)[name] = xds::MakeResource(name, message.SerializeAsString());
    slot = all;
  }
  void Remove(std::string_view type, const std::string& name) {
    auto all = std::make_shared<xds::Resources>(*content_.types[std::string(type)]);
    all->erase(name);
    content_.types[std::string(type)] = all;
  }
  void Publish() { ads_->SetSnapshot("envoy", std::make_shared<const xds::Snapshot>(content_)); }

  // "200 by <cluster>", "503", ... or "" when nobody answers.
  std::string Ask(const std::string& host = "h") {
    const auto answer = client_.Get(host, "/");
    if (!answer.ok()) return "";
    const auto by = answer->headers.find("x-cluster");
    return std::to_string(answer->status) + (by == answer->headers.end() ? "" : " by " + by->second);
  }
  bool Becomes(const std::string& wanted, std::chrono::milliseconds limit, const std::string& host = "h") {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (Ask(host) != wanted) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(5ms);
    }
    return true;
  }

  std::string folder_;
  std::string may_be_refused_;  // Name of a resource.
  xds::RecordingHandler handler_{[](const xds::AdsPeer&) -> Result<xds::AdsGrant> { return xds::AdsGrant{"envoy"}; }};
  std::unique_ptr<xds::AdsService> ads_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<test::Process> envoy_;
  const uint16_t port_ = FreePort();
  test::HttpClient client_{"127.0.0.1", port_};
  xds::Snapshot content_;
  Backend backend_;
};

TEST_P(EnvoyWarming, EndpointsAndRoutesFollowTheirClustersAtOnce) {
  SetCluster("a");
  SetEndpoints("a", {backend_.port});
  RouteTo("a");
  Listen();
  Publish();
  StartEnvoy();
  ASSERT_TRUE(Becomes("200 by a", 30s));

  // A service without pods is added, its host moves there, and then it is scaled up.
  SetCluster("b");
  SetEndpoints("b", {});
  RouteTo("b");
  Publish();
  EXPECT_TRUE(Becomes("503 by b", kAtOnce)) << "the route is there, but nobody is behind it yet: " << Ask();
  SetEndpoints("b", {backend_.port});
  Publish();
  EXPECT_TRUE(Becomes("200 by b", kAtOnce)) << Ask();

  // A cluster is added, and 0.1 s later its endpoints change.
  SetCluster("c");
  SetEndpoints("c", {backend_.port});
  RouteTo("c");
  Publish();
  std::this_thread::sleep_for(100ms);
  SetEndpoints("c", {});
  Publish();
  EXPECT_TRUE(Becomes("503 by c", kAtOnce)) << Ask();

  // A cluster that changes waits for its endpoints anew, though they are the same.
  SetEndpoints("c", {backend_.port});
  Publish();
  EXPECT_TRUE(Becomes("200 by c", kAtOnce)) << Ask();
  SetCluster("c", 2000);
  SetCluster("d");
  SetEndpoints("d", {backend_.port});
  RouteTo("d");
  Publish();
  EXPECT_TRUE(Becomes("200 by d", kAtOnce)) << Ask();
}

TEST_P(EnvoyWarming, AStreamOfRenamesLosesNoRequestAndStarvesNobody) {
  SetCluster("n0");
  SetEndpoints("n0", {backend_.port});
  RouteTo("n0");
  Listen();
  Publish();
  StartEnvoy();
  ASSERT_TRUE(Becomes("200 by n0", 30s));
  std::map<std::string, int> answers;
  for (int i = 1; i <= 100; ++i) {
    const std::string name = "n" + std::to_string(i);
    SetCluster(name);
    SetEndpoints(name, {backend_.port});
    RouteTo(name);
    Remove(xds::kCluster, "n" + std::to_string(i - 1));
    Remove(xds::kEndpoints, "n" + std::to_string(i - 1));
    Publish();
    for (int j = 0; j < 3; ++j) {
      ++answers[Ask().substr(0, 3)];
      std::this_thread::sleep_for(10ms);
    }
  }
  EXPECT_TRUE(Becomes("200 by n100", kAtOnce)) << Ask();
  EXPECT_EQ(answers["200"], 300) << "503: " << answers["503"] << ", 404: " << answers["404"];
}

// Far above what one message of gRPC may hold by default.
TEST_P(EnvoyWarming, ManyHostsArriveAndWhatCannotBeSentIsRefusedWithAReason) {
  constexpr int kHosts = 4'500;
  SetHosts(kHosts);
  Listen();
  Publish();
  StartEnvoy();
  for (const int host : {0, kHosts / 2, kHosts - 1}) {
    const std::string name = fmt::format("h{}.example", host);
    EXPECT_TRUE(Becomes("200 by " + name, 60s, name)) << name << ": " << Ask(name);
  }

  // More than anybody takes: named, and nothing else waits for it.
  ::envoy::config::route::v3::RouteConfiguration large;
  large.set_name("large");
  large.add_virtual_hosts()->set_name("large");
  large.mutable_virtual_hosts(0)->add_domains(std::string(xds::EnvoyRules().max_large_response_bytes, 'l'));
  Put(xds::kRoute, may_be_refused_ = "large", large);
  Listen("large", "large", FreePort());
  Publish();
  EXPECT_TRUE(test::WaitUntil("a refusal", 20'000ms, nullptr, [&] { return !WhyRefused("large").empty(); }).ok());
  EXPECT_NE(WhyRefused("large").find("bytes"), std::string::npos) << WhyRefused("large");
  SetHosts(kHosts + 1);
  Publish();
  const std::string last = fmt::format("h{}.example", kHosts);
  EXPECT_TRUE(Becomes("200 by " + last, 20s, last)) << Ask(last);
}

INSTANTIATE_TEST_SUITE_P(Protocols, EnvoyWarming, testing::Values("DELTA_GRPC", "GRPC"));

}  // namespace
}  // namespace weir::e2e
