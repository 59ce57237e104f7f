#include "libs/proxy/envoy_snapshot.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"

namespace weir::proxy {
namespace {

template <typename Message>
EnvoyResource Text(const std::string& name, const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return {"type.googleapis.com/" + Message::descriptor()->full_name(), name, message.SerializeAsString()};
}
using FromListener = ::envoy::config::listener::v3::Listener;
using FromCluster = ::envoy::config::cluster::v3::Cluster;
using FromEndpoints = ::envoy::config::endpoint::v3::ClusterLoadAssignment;
using FromRoutes = ::envoy::config::route::v3::RouteConfiguration;
using FromHost = ::envoy::config::route::v3::VirtualHost;
using FromSecret = ::envoy::extensions::transport_sockets::tls::v3::Secret;

std::string Http(const std::string& routes, const std::string& more = "") {
  return R"(filters { name: "envoy.filters.network.http_connection_manager" typed_config {
    [type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager] {
      stat_prefix: "edge" )" +
         routes + more + R"(
      http_filters { name: "envoy.filters.http.router" typed_config {
        [type.googleapis.com/envoy.extensions.filters.http.router.v3.Router] {} } } } } })";
}
const char kRds[] = R"(rds { route_config_name: "edge/80" config_source { ads {} resource_api_version: V3 } } )";
std::string Mesh(const std::string& sans) {
  return R"(common_tls_context {
    tls_certificate_sds_secret_configs { name: "identity" sds_config { ads {} resource_api_version: V3 } }
    combined_validation_context {
      default_validation_context { )" +
         sans + R"( }
      validation_context_sds_secret_config { name: "trust" sds_config { ads {} resource_api_version: V3 } } } })";
}
const char kCaller[] =
    R"(match_typed_subject_alt_names { san_type: URI matcher { exact: "spiffe://edge.acme/ns/t1/sa/t1" } })";

EnvoyResource PublicListener(const std::string& http = Http(kRds)) {
  return Text<FromListener>("80", R"(name: "80" address { socket_address { address: "127.0.1.10" port_value: 18080 } }
    filter_chains { )" + http + " }");
}
EnvoyResource RouteConfig() {
  return Text<FromRoutes>("edge/80", R"(name: "edge/80" vhds { config_source { ads {} resource_api_version: V3 } })");
}
EnvoyResource Host(const std::string& domain = "servicea.example.com", const std::string& cluster = "set") {
  return Text<FromHost>("edge/80/" + domain, R"(name: "edge/80/)" + domain + R"(" domains: ")" + domain + R"("
    routes { name: "service1/0" match { prefix: "/" } route { cluster: ")" +
                                                 cluster + R"(" timeout { seconds: 7 }
      retry_policy { retry_on: "connect-failure" } } })");
}
EnvoyResource Set(const std::string& more = "") {
  return Text<FromCluster>(
      "set", R"(name: "set" type: EDS eds_cluster_config { eds_config { ads {} resource_api_version: V3 } }
    connect_timeout { nanos: 500000000 }
    common_lb_config { locality_weighted_lb_config {} healthy_panic_threshold {} }
    transport_socket { name: "tls" typed_config {
      [type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext] { sni: "servicea.example.com" )" +
                 Mesh(kCaller) + "} } }" + more);
}
EnvoyResource Endpoints(int first, int second) {
  const auto locality = [](const std::string& cluster, int weight, const std::string& address) {
    return R"(endpoints { locality { region: "r" sub_zone: ")" + cluster + R"(" } load_balancing_weight { value: )" +
           std::to_string(weight) + R"( } lb_endpoints { endpoint { address { socket_address { address: ")" + address +
           R"(" port_value: 15443 } } } metadata { filter_metadata { key: "dev.weir" value {
             fields { key: "spiffe_id" value { string_value: "spiffe://)" +
           cluster + R"(.acme/ns/t2/sa/t2" } } } } } } })";
  };
  return Text<FromEndpoints>("set", R"(cluster_name: "set" policy { overprovisioning_factor { value: 100000 } })" +
                                        locality("cluster1", first, "127.0.2.10") +
                                        locality("cluster2", second, "127.0.3.10"));
}
EnvoyResource Trust() {
  return Text<FromSecret>("trust", R"(name: "trust" validation_context { trusted_ca {
    inline_string: "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n" } })");
}
std::vector<EnvoyResource> Edge() {
  return {Set(), Endpoints(75, 25), PublicListener(), RouteConfig(), Host(), Trust()};
}

BuiltSnapshot Good(const std::vector<EnvoyResource>& resources) {
  auto built = BuildSnapshot(resources, "1");
  EXPECT_TRUE(built.ok()) << built.error().ToString();
  return built.ok() ? *built : BuiltSnapshot{std::make_shared<Snapshot>(), "", {}};
}
std::string Refusal(const std::vector<EnvoyResource>& resources) {
  auto built = BuildSnapshot(resources, "1");
  return built.ok() ? "" : built.error().reason + " " + built.error().message;
}

TEST(EnvoySnapshot, ReadsATier1) {
  const BuiltSnapshot built = Good(Edge());
  ASSERT_EQ(built.snapshot->listeners.size(), 1u);
  const Listener& listener = *built.snapshot->listeners[0];
  EXPECT_EQ(listener.address, "127.0.1.10");
  EXPECT_EQ(listener.port, 18080);
  EXPECT_FALSE(listener.chains[0].tls.has_value());
  const auto found = listener.chains[0].routes->table.Match("servicea.example.com:18080", "/x");
  ASSERT_NE(found.rule, nullptr);
  const RouteAction& action = (*listener.chains[0].routes->actions[found.host_index])[found.rule->action];
  EXPECT_EQ(action.cluster, "set");
  EXPECT_EQ(action.timeout, std::chrono::seconds(7));
  const Cluster& cluster = *built.snapshot->clusters.at("set");
  EXPECT_EQ(cluster.connect_timeout, std::chrono::milliseconds(500));
  EXPECT_EQ(cluster.tls->sni, "servicea.example.com");
  EXPECT_EQ(cluster.tls->allowed_uris, (std::vector<UriMatch>{{"spiffe://edge.acme/ns/t1/sa/t1", false}}));
  ASSERT_EQ(cluster.localities.size(), 2u);
  EXPECT_EQ(cluster.localities[0].cluster, "cluster1");
  EXPECT_EQ(cluster.localities[0].weight, 75u);
  EXPECT_EQ(cluster.localities[1].endpoints[0], (Endpoint{"127.0.3.10", 15443, "spiffe://cluster2.acme/ns/t2/sa/t2"}));
  EXPECT_TRUE(built.trust_pem.starts_with("-----BEGIN"));
}

TEST(EnvoySnapshot, OneBadEndpointTakesNoGoodOneAlong) {
  const auto endpoint = [](const std::string& address, const std::string& port) {
    return "lb_endpoints { endpoint { address { socket_address { address: '" + address + "' port_value: " + port +
           " } } } } ";
  };
  const std::string good = endpoint("127.0.2.10", "15443") + endpoint("127.0.2.11", "15443");
  const std::pair<const char*, const char*> bad[] = {
      {"not-an-ip", "15443"},        {"", "15443"},           {"127.0.2.12\\n", "15443"}, {"/tmp/x", "15443"},
      {"127.0.2.12\\000x", "15443"}, {"127.0.2.12", "70000"}, {"127.0.2.12", "0"}};
  for (const auto& [address, port] : bad) {
    auto resources = Edge();
    resources[1] = Text<FromEndpoints>(
        "set",
        "cluster_name: 'set' endpoints { locality { sub_zone: 'cluster1' } metadata { filter_metadata { "
        "key: 'dev.weir' value { fields { key: 'drained' value { bool_value: true } } } } } " +
            endpoint(address, port) + good + "}");
    const BuiltSnapshot built = Good(resources);
    const auto cluster = built.snapshot->clusters.find("set");
    ASSERT_NE(cluster, built.snapshot->clusters.end()) << address << ":" << port;
    ASSERT_EQ(cluster->second->localities.size(), 1u);
    EXPECT_EQ(cluster->second->localities[0].endpoints.size(), 2u) << address << ":" << port;
    EXPECT_TRUE(cluster->second->localities[0].drained) << "a drain needs nothing from the cluster that is drained";
  }
}

std::string MeshListener(const std::string& sans,
                         const std::string& require = "require_client_certificate { value: true }") {
  return R"(name: "15443" address { socket_address { address: "127.0.2.21" port_value: 15443 } }
    listener_filters { name: "tls" typed_config {
      [type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector] {} } }
    filter_chains { name: "a" filter_chain_match { server_names: "outbound_.8080_._.A.shop" }
      transport_socket { name: "tls" typed_config {
        [type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext] { )" +
         require + Mesh(sans) + "} } }" +
         Http(R"(route_config { name: "app/8080" virtual_hosts { name: "app" domains: "*"
           routes { match { prefix: "/" } route { cluster: "app/8080" timeout {} } } } } )") +
         " }";
}
const char kPrefix[] =
    R"(match_typed_subject_alt_names { san_type: URI matcher { prefix: "spiffe://cluster1.acme/" } })";

TEST(EnvoySnapshot, ReadsHowLongAnEndpointMayBeQuiet) {
  const auto chain_of = [](const std::string& chain, const std::string& route) {
    const auto inline_routes =
        "route_config { name: 'r' virtual_hosts { name: 'h' domains: '*' routes { match { prefix: '/' } "
        "route { cluster: 'set' " +
        route + " } } } } ";
    return Good({Set(), Endpoints(75, 25), PublicListener(Http(inline_routes, chain)), Trust()})
        .snapshot->listeners.at(0)
        ->chains.at(0);
  };
  const FilterChain said = chain_of("stream_idle_timeout { seconds: 60 } ", "idle_timeout {}");
  EXPECT_EQ(said.idle, std::chrono::seconds(60));
  EXPECT_EQ((*said.routes->actions[0])[0].idle, std::chrono::seconds(0));
  const FilterChain silent = chain_of("", "");
  EXPECT_EQ(silent.idle, std::nullopt);
  EXPECT_EQ((*silent.routes->actions[0])[0].idle, std::nullopt);
}

TEST(EnvoySnapshot, ReadsAPodProxy) {
  const auto app = Text<FromCluster>("app/8080", R"(name: "app/8080" type: STATIC connect_timeout { nanos: 500000000 }
    load_assignment { cluster_name: "app/8080" endpoints { lb_endpoints { endpoint { address {
      socket_address { address: "127.0.2.21" port_value: 8080 } } } } } })");
  const BuiltSnapshot built = Good({Text<FromListener>("15443", MeshListener(kPrefix)), app});
  const FilterChain& chain = built.snapshot->listeners.at(0)->chains.at(0);
  EXPECT_EQ(chain.server_names, std::vector<std::string>{"outbound_.8080_._.a.shop"});
  ASSERT_TRUE(chain.tls.has_value());
  EXPECT_TRUE(chain.tls->require_client_certificate);
  EXPECT_EQ(chain.tls->allowed_uris, (std::vector<UriMatch>{{"spiffe://cluster1.acme/", true}}));
  EXPECT_EQ((*chain.routes->actions[0])[0].timeout.count(), 0);
  EXPECT_EQ(built.snapshot->clusters.at("app/8080")->localities[0].endpoints[0].port, 8080);
}

TEST(EnvoySnapshot, RefusesAFieldItDoesNotServeByName) {
  EXPECT_EQ(
      Refusal({PublicListener(Http(kRds, "delayed_close_timeout { seconds: 1 } "))}),
      "UNSUPPORTED_FIELD Listener 80: filter_chains[0].filters[0].typed_config.delayed_close_timeout is not served");
  EXPECT_EQ(Refusal({Set(" max_requests_per_connection { value: 3 }")}),
            "UNSUPPORTED_FIELD Cluster set: max_requests_per_connection is not served");
}

TEST(EnvoySnapshot, RefusesAFieldNumberItDoesNotKnow) {
  EnvoyResource host = Host();
  host.bytes += std::string("\xfa\x3e\x01x", 4);  // Field 1007, one byte.
  EXPECT_NE(Refusal({host}).find("field 1007"), std::string::npos) << Refusal({host});
}

TEST(EnvoySnapshot, RefusesAFilterItDoesNotHave) {
  EnvoyResource listener = PublicListener();
  FromListener message;
  ASSERT_TRUE(message.ParseFromString(listener.bytes));
  message.mutable_filter_chains(0)->mutable_filters(0)->mutable_typed_config()->set_type_url(
      "type.googleapis.com/some.Guard");
  listener.bytes = message.SerializeAsString();
  EXPECT_EQ(Refusal({listener}),
            "UNSUPPORTED_FIELD Listener 80: filter_chains[0].filters[0].typed_config of type some.Guard is not served");
}

TEST(EnvoySnapshot, RefusesValuesItCannotObey) {
  EXPECT_NE(Refusal({Set(" lb_policy: RING_HASH")}).find("lb_policy"), std::string::npos);
  EXPECT_NE(Refusal({Text<FromListener>("15443", MeshListener(kPrefix, ""))}).find("require_client_certificate"),
            std::string::npos);
  EXPECT_NE(
      Refusal({Text<FromListener>(
                  "15443",
                  MeshListener(
                      R"(match_typed_subject_alt_names { san_type: URI matcher { prefix: "spiffe://cluster1" } })"))})
          .find("ends in '/'"),
      std::string::npos);
  EXPECT_NE(
      Refusal({Text<FromListener>(
                  "15443", MeshListener(R"(match_typed_subject_alt_names { san_type: DNS matcher { exact: "x" } })"))})
          .find("san_type"),
      std::string::npos);
  EXPECT_NE(
      Refusal({Text<FromListener>("80", R"(name: "80" address { socket_address { address: "localhost" port_value: 1 } }
    filter_chains { )" + Http(kRds) + "}")})
          .find("not an IP address"),
      std::string::npos);
  EXPECT_NE(Refusal({{"type.googleapis.com/x.Y", "n", ""}}).find("UNSUPPORTED_TYPE"), std::string::npos);
  EXPECT_NE(Refusal({{PublicListener().type_url, "80", "\xff\xff"}}).find("BAD_RESOURCE"), std::string::npos);
}

TEST(EnvoySnapshot, RefusesOneDomainInTwoHosts) {
  EnvoyResource twin = Host();
  twin.name = "edge/80/other";
  auto resources = Edge();
  resources.push_back(twin);
  EXPECT_NE(Refusal(resources).find("DUPLICATE_DOMAIN"), std::string::npos);
}

TEST(EnvoySnapshot, WaitsForRoutesThatHaveNotArrived) {
  SnapshotBuilder builder;
  const std::vector<EnvoyResource> first{PublicListener()};
  auto built = builder.Apply(first, {}, "1");
  ASSERT_TRUE(built.ok());
  EXPECT_TRUE(built->snapshot->listeners.empty());
  EXPECT_EQ(built->waiting, std::vector<std::string>{"listener 80 waits for routes edge/80"});
  const std::vector<EnvoyResource> second{RouteConfig(), Host()};
  built = builder.Apply(second, {}, "2");
  ASSERT_TRUE(built.ok());
  EXPECT_EQ(built->snapshot->listeners.size(), 1u);
  EXPECT_TRUE(built->waiting.empty());
}

TEST(EnvoySnapshot, SharesWhatDidNotChange) {
  SnapshotBuilder builder;
  auto resources = Edge();
  resources.push_back(Host("other.example.com", "elsewhere"));
  const auto one = builder.Apply(resources, {}, "1");
  ASSERT_TRUE(one.ok());
  const std::vector<EnvoyResource> weights{Endpoints(50, 50)};
  const auto two = builder.Apply(weights, {}, "2");
  ASSERT_TRUE(two.ok());
  EXPECT_EQ(one->snapshot->listeners[0], two->snapshot->listeners[0]);
  EXPECT_NE(one->snapshot->clusters.at("set"), two->snapshot->clusters.at("set"));
  EXPECT_EQ(two->snapshot->clusters.at("set")->localities[0].weight, 50u);
  const std::vector<EnvoyResource> host{Host("servicea.example.com", "new")};
  const auto three = builder.Apply(host, {}, "3");
  ASSERT_TRUE(three.ok());
  EXPECT_NE(two->snapshot->listeners[0], three->snapshot->listeners[0]);
  EXPECT_EQ(two->snapshot->clusters.at("set"), three->snapshot->clusters.at("set"));
  EXPECT_EQ(two->snapshot->listeners[0]->chains[0].routes->actions[0],
            three->snapshot->listeners[0]->chains[0].routes->actions[0]);
}

TEST(EnvoySnapshot, ARefusedChangeLeavesEverythingAsItWas) {
  SnapshotBuilder builder;
  ASSERT_TRUE(builder.Apply(Edge(), {}, "1").ok());
  const std::vector<EnvoyResource> bad{Endpoints(50, 50), Set(" lb_policy: MAGLEV")};
  const std::vector<EnvoyResourceName> gone{{PublicListener().type_url, "80"}};
  ASSERT_FALSE(builder.Apply(bad, gone, "2").ok());
  const auto after = builder.Apply({}, {}, "3");
  ASSERT_TRUE(after.ok());
  EXPECT_EQ(after->snapshot->listeners.size(), 1u);
  EXPECT_EQ(after->snapshot->clusters.at("set")->localities[0].weight, 75u);
}

TEST(EnvoySnapshot, RemovesWhatIsGone) {
  SnapshotBuilder builder;
  ASSERT_TRUE(builder.Apply(Edge(), {}, "1").ok());
  const std::vector<EnvoyResourceName> gone{
      {PublicListener().type_url, "80"}, {Set().type_url, "set"}, {Set().type_url, "never"}};
  const auto after = builder.Apply({}, gone, "2");
  ASSERT_TRUE(after.ok());
  EXPECT_TRUE(after->snapshot->listeners.empty());
  EXPECT_TRUE(after->snapshot->clusters.empty());
}

const char kChecked[] = R"(
  health_checks { interval { seconds: 2 } timeout { nanos: 500000000 } unhealthy_threshold { value: 2 }
    healthy_threshold { value: 3 } no_traffic_interval { seconds: 2 }
    http_health_check { path: "/.weir/health" host: "servicea.example.com"
                        expected_statuses { start: 200 end: 300 } } }
  metadata { filter_metadata { key: "dev.weir" value {
    fields { key: "mode" value { string_value: "ORDERED" } } fields { key: "digest" value { bool_value: true } }
    fields { key: "hold_ms" value { number_value: 4000 } }
    fields { key: "slow_return_ms" value { number_value: 0 } } } } })";

TEST(EnvoySnapshot, ReadsHowHealthIsFound) {
  auto resources = Edge();
  resources[0] = Set(kChecked);
  const auto built = Good(resources);
  const Cluster& cluster = *built.snapshot->clusters.at("set");
  HealthCheck wanted;
  wanted.host = "servicea.example.com";
  wanted.interval = std::chrono::seconds(2);
  EXPECT_EQ(cluster.check, wanted);
  EXPECT_TRUE(cluster.digest);
  EXPECT_EQ(cluster.mode, traffic::Mode::kOrdered);
  EXPECT_EQ(cluster.hold, std::chrono::seconds(4));
  EXPECT_EQ(cluster.slow_return.count(), 0);
}

TEST(EnvoySnapshot, WithoutAWordOnHealthOnlyRequestsTell) {
  const auto built = Good(Edge());
  const Cluster& cluster = *built.snapshot->clusters.at("set");
  EXPECT_FALSE(cluster.check.has_value());
  EXPECT_FALSE(cluster.digest);
  EXPECT_EQ(cluster.hold, std::chrono::seconds(10));
  EXPECT_EQ(cluster.slow_return, std::chrono::seconds(10));
}

EnvoyResource App(const std::string& more, int check_port = 0) {
  return Text<FromCluster>("app/8080", R"(name: "app/8080" type: STATIC load_assignment { cluster_name: "app/8080"
    endpoints { lb_endpoints { endpoint { address { socket_address { address: "127.0.2.21" port_value: 8080 } }
      health_check_config { port_value: )" +
                                           std::to_string(check_port) + " } } } } } " + more);
}
const char kTimes[] = R"(interval { seconds: 1 } timeout { nanos: 500000000 } unhealthy_threshold { value: 2 }
                         healthy_threshold { value: 3 } )";

TEST(EnvoySnapshot, ChecksAnAppByConnectingOrOnAPortOfItsOwn) {
  const auto tcp = Good({App("health_checks { " + std::string(kTimes) + " tcp_health_check {} }")});
  EXPECT_EQ(tcp.snapshot->clusters.at("app/8080")->check->kind, HealthCheck::Kind::kTcp);
  EXPECT_EQ(tcp.snapshot->clusters.at("app/8080")->check->port, 0);
  const auto http =
      Good({App("health_checks { " + std::string(kTimes) + R"( http_health_check { path: "/healthz" } })", 9090)});
  EXPECT_EQ(http.snapshot->clusters.at("app/8080")->check->path, "/healthz");
  EXPECT_EQ(http.snapshot->clusters.at("app/8080")->check->port, 9090);
}

TEST(EnvoySnapshot, RefusesAHealthCheckItCannotDoByName) {
  const auto refusal = [](const std::string& check) { return Refusal({App("health_checks { " + check + " }")}); };
  const std::string times = kTimes;
  EXPECT_EQ(refusal(times + "grpc_health_check {}"),
            "UNSUPPORTED_FIELD Cluster app/8080: health_checks[0].grpc_health_check is not served");
  EXPECT_EQ(refusal(times + "tcp_health_check { send { text: '00' } }"),
            "UNSUPPORTED_FIELD Cluster app/8080: health_checks[0].tcp_health_check.send is not served");
  EXPECT_NE(refusal(times + "http_health_check { path: '/x' expected_statuses { start: 200 end: 500 } }")
                .find("expected_statuses"),
            std::string::npos);
  EXPECT_NE(refusal(times + "http_health_check { path: '/x y' }").find("host and path"), std::string::npos);
  EXPECT_NE(refusal("interval { nanos: 1000000 } " + times.substr(times.find("timeout")) + "tcp_health_check {}")
                .find("interval must be 100 ms"),
            std::string::npos);
  EXPECT_NE(refusal(times).find("tcp_health_check is required"), std::string::npos);
  EXPECT_NE(Refusal({Set(R"(metadata { filter_metadata { key: "dev.weir" value {
              fields { key: "hold_ms" value { number_value: -1 } } } } })")})
                .find("metadata dev.weir.hold_ms"),
            std::string::npos);
  EXPECT_NE(Refusal({Set(R"(metadata { filter_metadata { key: "dev.weir" value {
              fields { key: "digest" value { string_value: "yes" } } } } })")})
                .find("metadata dev.weir.digest"),
            std::string::npos);
}

TEST(EnvoySnapshot, ReadsDrainedClustersStandbysAndTheirPlaces) {
  const auto locality = [](const std::string& cluster, int priority, const std::string& flag) {
    return "endpoints { locality { sub_zone: '" + cluster +
           "' } load_balancing_weight { value: 1 } priority: " + std::to_string(priority) +
           " metadata { filter_metadata { key: 'dev.weir' value { fields { key: '" + flag +
           "' value { bool_value: true } } } } } }";
  };
  auto resources = Edge();
  resources[1] = Text<FromEndpoints>("set", "cluster_name: 'set' " + locality("c1", 0, "drained") +
                                                locality("c2", 0, "none") + locality("c3", 2, "standby"));
  const auto built = Good(resources);
  const auto& localities = built.snapshot->clusters.at("set")->localities;
  ASSERT_EQ(localities.size(), 3u);
  EXPECT_TRUE(localities[0].drained);
  EXPECT_EQ(localities[0].weight, 1u);
  EXPECT_FALSE(localities[1].drained);
  EXPECT_EQ(localities[2].weight, 0u);
  EXPECT_EQ(localities[2].priority, 2u);
}

TEST(EnvoySnapshot, KnowsTheChainOfTheHealthDigestByItsName) {
  std::string listener = MeshListener(kCaller);
  const size_t name = listener.find(R"(name: "a")");
  ASSERT_NE(name, std::string::npos);
  EXPECT_FALSE(Good({Text<FromListener>("15443", listener)}).snapshot->listeners[0]->chains[0].health_digest);
  listener.replace(name, 9, R"(name: "weir.health")");
  EXPECT_TRUE(Good({Text<FromListener>("15443", listener)}).snapshot->listeners[0]->chains[0].health_digest);
  EXPECT_NE(Refusal({Text<FromListener>("80", R"(name: "80" address { socket_address { address: "127.0.0.1"
    port_value: 1 } } filter_chains { name: "weir.health" )" +
                                                  Http(kRds) + " }")})
                .find("needs TLS"),
            std::string::npos);
}

TEST(EnvoySnapshot, SendsThePathsOfOneHostToSeveralSetsAndKnowsWhatMayBeRepeated) {
  const auto host = Text<FromHost>("edge/80/h", R"(name: "edge/80/h" domains: "h"
    routes { match { prefix: "/pay" } route { cluster: "pay" } metadata { filter_metadata { key: "dev.weir" value {
      fields { key: "idempotent" value { bool_value: true } } } } } }
    routes { match { prefix: "/" } route { cluster: "rest" } })");
  const auto built = Good({PublicListener(), RouteConfig(), host});
  const Routes& routes = *built.snapshot->listeners[0]->chains[0].routes;
  const auto action = [&](std::string_view path) {
    const auto found = routes.table.Match("h", path);
    return (*routes.actions[found.host_index])[found.rule->action];
  };
  EXPECT_EQ(action("/pay/1").cluster, "pay");
  EXPECT_TRUE(action("/pay/1").idempotent);
  EXPECT_EQ(action("/x").cluster, "rest");
  EXPECT_FALSE(action("/x").idempotent);
}

TEST(EnvoyManifest, NamesOnlyFieldsThatExist) {
  std::string_view text = EnvoyManifest();
  const auto* pool = google::protobuf::DescriptorPool::generated_pool();
  size_t lines = 0;
  while (!text.empty()) {
    const std::string line(text.substr(0, text.find('\n')));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const std::string field = line.substr(0, line.find(' '));
    EXPECT_NE(pool->FindFieldByName(field), nullptr) << field;
    const std::string rest = line.substr(field.size() + 1);
    EXPECT_TRUE(rest == "supported" || rest.starts_with("ignored ")) << line;
    ++lines;
  }
  EXPECT_GT(lines, 100u);
}

}  // namespace
}  // namespace weir::proxy
