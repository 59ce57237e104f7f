#include "libs/proxy/envoy_snapshot.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>

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
  return built.ok() ? *built : BuiltSnapshot{std::make_shared<Snapshot>(), "", {}, {}};
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
  EXPECT_EQ(action.destination_set, "set");
  EXPECT_EQ(action.timeout, std::chrono::seconds(7));
  const DestinationSet& set = *built.snapshot->destination_sets.at("set");
  EXPECT_EQ(set.connect_timeout, std::chrono::milliseconds(500));
  EXPECT_EQ(set.tls->sni, "servicea.example.com");
  EXPECT_EQ(set.tls->allowed_uris, (std::vector<UriMatch>{{"spiffe://edge.acme/ns/t1/sa/t1", false}}));
  ASSERT_EQ(set.localities.size(), 2u);
  EXPECT_EQ(set.localities[0].cluster, "cluster1");
  EXPECT_EQ(set.localities[0].weight, 75u);
  EXPECT_EQ(set.localities[1].endpoints[0], (Endpoint{"127.0.3.10", 15443, "spiffe://cluster2.acme/ns/t2/sa/t2"}));
  EXPECT_TRUE(built.trust_pem.starts_with("-----BEGIN"));
}

TEST(EnvoySnapshot, ReadsWhichMembershipsCount) {
  const auto trust = [](const std::string& validator) {
    return Text<FromSecret>("trust", R"(name: "trust" validation_context {
      trusted_ca { inline_string: "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n" }
      custom_validator_config { )" + validator +
                                         " } }");
  };
  const auto lowest = [&](const std::string& value, const std::string& name = "dev.weir.generations") {
    return trust("name: \"" + name + R"(" typed_config { [type.googleapis.com/google.protobuf.Struct] {
      fields { key: "u1" value { )" +
                 value + R"( } } fields { key: "u2" value { number_value: 1 } } } })");
  };
  EXPECT_EQ(Good({Trust()}).generations, nullptr);
  const BuiltSnapshot built = Good({lowest("number_value: 9007199254740991")});
  ASSERT_NE(built.generations, nullptr);
  EXPECT_EQ(built.generations->lowest.at("u1"), 9007199254740991u);
  EXPECT_EQ(built.generations->lowest.at("u2"), 1u);
  // Never half understood: what cannot be read would let somebody in.
  for (const char* value :
       {"number_value: 0", "number_value: 1.5", "number_value: -1", "number_value: 9007199254740992",
        "number_value: 1e300", "string_value: \"1\"", "bool_value: true", ""}) {
    EXPECT_NE(Refusal({lowest(value)}), "") << value;
  }
  EXPECT_NE(Refusal({lowest("number_value: 1", "somebody.else")}), "");
  EXPECT_NE(Refusal({trust("name: \"dev.weir.generations\"")}), "");
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
  EXPECT_EQ(built.snapshot->destination_sets.at("app/8080")->localities[0].endpoints[0].port, 8080);
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

TEST(EnvoySnapshot, OfTwoHostsWithOneDomainTheServedOneStaysAndTheOtherWaits) {
  SnapshotBuilder builder(kFormOnly);
  ASSERT_TRUE(builder.Apply(Edge(), {}, "1").refused.empty());
  EnvoyResource twin = Host("servicea.example.com", "elsewhere");
  twin.name = "edge/80/aaa";  // First by name, but later.
  const std::vector<EnvoyResource> more{twin, Host("other.example.com", "other")};
  const auto set = [](const BuiltSnapshot& built, const char* host) {
    const Routes& routes = *built.snapshot->listeners.at(0)->chains[0].routes;
    const auto found = routes.table.Match(host, "/");
    return found.rule == nullptr ? "none" : (*routes.actions[found.host_index])[found.rule->action].destination_set;
  };
  auto built = builder.Apply(more, {}, "2");
  ASSERT_EQ(built.refused.size(), 1u);
  EXPECT_EQ(built.refused[0].name, "edge/80/aaa");
  EXPECT_TRUE(built.refused[0].held);
  EXPECT_EQ(built.refused[0].error.reason, "DUPLICATE_DOMAIN");
  EXPECT_EQ(set(built, "servicea.example.com"), "set");
  EXPECT_EQ(set(built, "other.example.com"), "other") << "the good one is served beside it";
  built = builder.Apply({}, {}, "3");
  EXPECT_EQ(built.refused.size(), 1u) << "it is said as long as it is so";
  const std::vector<EnvoyResourceName> gone{{Host().type_url, "edge/80/servicea.example.com"}};
  built = builder.Apply({}, gone, "4");
  EXPECT_TRUE(built.refused.empty());
  EXPECT_EQ(set(built, "servicea.example.com"), "elsewhere");
}

TEST(EnvoySnapshot, AHostThatBecomesATwinIsServedAsItWas) {
  SnapshotBuilder builder(kFormOnly);
  auto resources = Edge();
  resources.push_back(Host("other.example.com", "other"));
  ASSERT_TRUE(builder.Apply(resources, {}, "1").refused.empty());
  EnvoyResource twin = Host("servicea.example.com", "elsewhere");
  twin.name = "edge/80/other.example.com";
  const auto built = builder.Apply({&twin, 1}, {}, "2");
  ASSERT_EQ(built.refused.size(), 1u);
  const auto& table = built.snapshot->listeners.at(0)->chains[0].routes->table;
  EXPECT_NE(table.Match("other.example.com", "/").rule, nullptr);
  EXPECT_NE(table.Match("servicea.example.com", "/").rule, nullptr);
}

TEST(EnvoySnapshot, HostsOfOneResourceThatExcludeEachOtherMakeItBad) {
  const auto twins = Text<FromRoutes>("edge/80", R"(name: "edge/80"
    virtual_hosts { name: "a" domains: "x.test" routes { match { prefix: "/" } route { cluster: "set" } } }
    virtual_hosts { name: "b" domains: "X.test" routes { match { prefix: "/" } route { cluster: "set" } } })");
  EXPECT_NE(Refusal({twins}).find("DUPLICATE_DOMAIN"), std::string::npos);
}

EnvoyResource NamedListener(const std::string& name, int port) {
  return Text<FromListener>(name, "name: \"" + name +
                                      R"(" address { socket_address { address: "127.0.1.10" port_value: )" +
                                      std::to_string(port) + " } } filter_chains { " + Http(kRds) + " }");
}

TEST(EnvoySnapshot, OfTwoListenersWithOneAddressTheServedOneStaysAndTheOtherWaits) {
  SnapshotBuilder builder(kFormOnly);
  auto resources = Edge();
  resources[2] = NamedListener("b", 80);
  ASSERT_TRUE(builder.Apply(resources, {}, "1").refused.empty());
  const std::vector<EnvoyResource> more{NamedListener("a", 80), NamedListener("c", 81)};
  const auto names = [](const BuiltSnapshot& built) {
    std::string out;
    for (const auto& listener : built.snapshot->listeners) out += listener->name + " ";
    return out;
  };
  auto built = builder.Apply(more, {}, "2");
  ASSERT_EQ(built.refused.size(), 1u);
  EXPECT_EQ(built.refused[0].name, "a");
  EXPECT_EQ(built.refused[0].error.reason, "ADDRESS_TAKEN");
  EXPECT_EQ(names(built), "b c ");
  const std::vector<EnvoyResourceName> gone{{PublicListener().type_url, "b"}};
  built = builder.Apply({}, gone, "3");
  EXPECT_TRUE(built.refused.empty());
  EXPECT_EQ(names(built), "c a ");
  // Two may change places at once.
  const std::vector<EnvoyResource> swapped{NamedListener("a", 81), NamedListener("c", 80)};
  EXPECT_TRUE(builder.Apply(swapped, {}, "4").refused.empty());
}

TEST(EnvoySnapshot, ARolesRefusalTakesNoOtherAlongAndIsJudgedAgain) {
  struct Checks final : PieceChecks {
    Status CheckListener(const Listener& listener) const override {
      return listener.port == 81 ? Status(InvalidArgument("PORT", "Listener {}: not here", listener.name)) : Status();
    }
    Status CheckDestinationSet(const DestinationSet& set, const std::set<std::string>& own) const override {
      for (const auto& locality : set.localities) {
        if (!own.contains("127.0.1.10") && !locality.endpoints.empty()) return InvalidArgument("OWN", "not yet");
      }
      return {};
    }
  } checks;
  SnapshotBuilder builder(checks);
  const std::vector<EnvoyResource> first{Set(), Endpoints(75, 25), RouteConfig(), Host(), Trust()};
  auto built = builder.Apply(first, {}, "1");
  ASSERT_EQ(built.refused.size(), 1u);
  EXPECT_EQ(built.refused[0].type_url, Endpoints(1, 1).type_url) << "the cluster alone is fine";
  const std::vector<EnvoyResource> listeners{NamedListener("good", 80), NamedListener("bad", 81)};
  built = builder.Apply(listeners, {}, "2");
  ASSERT_EQ(built.refused.size(), 1u);
  EXPECT_EQ(built.refused[0].name, "bad");
  EXPECT_TRUE(built.refused[0].held);
  ASSERT_EQ(built.snapshot->listeners.size(), 1u);
  EXPECT_EQ(built.snapshot->destination_sets.at("set")->localities.size(), 2u);
}

// One bad among many, of each type: it is named, the others are served.
TEST(EnvoySnapshot, OneBadAmongManyIsNamedAndTheOthersAreServed) {
  const std::string bad_bytes = "\xff\xff";
  std::map<std::string, std::function<EnvoyResource(const std::string&)>> make;
  make["Listener"] = [](const std::string& name) { return NamedListener(name, 1000 + std::stoi(name.substr(1))); };
  make["RouteConfiguration"] = [](const std::string& name) {
    return Text<FromRoutes>(name, "name: \"" + name + "\" vhds { config_source { ads {} } }");
  };
  make["VirtualHost"] = [](const std::string& name) {
    EnvoyResource host = Host(name + ".test");
    return host;
  };
  make["Cluster"] = [](const std::string& name) {
    return Text<FromCluster>(name, "name: \"" + name + "\" type: EDS eds_cluster_config { eds_config { ads {} } }");
  };
  make["ClusterLoadAssignment"] = [](const std::string& name) {
    return Text<FromEndpoints>(name, "cluster_name: \"" + name + R"(" endpoints { lb_endpoints { endpoint { address {
        socket_address { address: "127.0.0.1" port_value: 1 } } } } })");
  };
  for (const auto& [type, one] : make) {
    SCOPED_TRACE(type);
    SnapshotBuilder builder(kFormOnly);
    ASSERT_TRUE(builder.Apply(Edge(), {}, "1").refused.empty());
    std::vector<EnvoyResource> many;
    for (int i = 0; i < 50; ++i) many.push_back(one("n" + std::to_string(i)));
    if (type == "ClusterLoadAssignment") {
      for (int i = 0; i < 50; ++i) many.push_back(make["Cluster"]("n" + std::to_string(i)));
    }
    many[17].bytes = bad_bytes;
    const std::string name = many[17].name;
    const auto built = builder.Apply(many, {}, "2");
    ASSERT_EQ(built.refused.size(), 1u);
    EXPECT_EQ(built.refused[0].name, name);
    EXPECT_FALSE(built.refused[0].held);
    EXPECT_NE(built.refused[0].error.message.find(name), std::string::npos);
    const Snapshot& snapshot = *built.snapshot;
    if (type == "Listener") {
      EXPECT_EQ(snapshot.listeners.size(), 1u + 0u + built.waiting.size() + 49u);
    }
    if (type == "VirtualHost") {
      EXPECT_EQ(snapshot.listeners[0]->chains[0].routes->table.hosts().size(), 1u + 49u);
    }
    if (type == "Cluster") {
      EXPECT_EQ(snapshot.destination_sets.size(), 1u + 49u);
    }
    if (type == "ClusterLoadAssignment") {
      size_t served = 0;
      for (const auto& [set, value] : snapshot.destination_sets) served += set != "set" && !value->localities.empty();
      EXPECT_EQ(served, 49u);
    }
  }
  // Secrets: one is served.
  SnapshotBuilder builder(kFormOnly);
  const std::vector<EnvoyResource> secrets{Text<FromSecret>("other", "name: \"other\""), Trust()};
  const auto built = builder.Apply(secrets, {}, "1");
  ASSERT_EQ(built.refused.size(), 1u);
  EXPECT_EQ(built.refused[0].name, "other");
  EXPECT_NE(built.trust_pem, "");
}

// 3,000 at once, one of them bad: each is read once, and what stays is not read again.
TEST(EnvoySnapshot, ManyClustersWithABadOneAreReadOnce) {
  std::vector<EnvoyResource> many;
  for (int i = 0; i < 3'000; ++i) {
    const std::string name = "c" + std::to_string(i);
    many.push_back(
        Text<FromCluster>(name, "name: \"" + name + "\" type: EDS eds_cluster_config { eds_config { ads {} } }"));
  }
  many[1'234].bytes = "\xff";
  SnapshotBuilder builder(kFormOnly);
  const auto first = builder.Apply(many, {}, "1");
  ASSERT_EQ(first.refused.size(), 1u);
  EXPECT_EQ(first.refused[0].name, "c1234");
  EXPECT_EQ(first.snapshot->destination_sets.size(), 2'999u);
  const auto second = builder.Apply({&many[0], 1}, {}, "2");
  EXPECT_NE(second.snapshot->destination_sets.at("c0"), first.snapshot->destination_sets.at("c0"));
  for (const auto& [name, set] : second.snapshot->destination_sets) {
    if (name != "c0") {
      ASSERT_EQ(set, first.snapshot->destination_sets.at(name));
    }
  }
}

TEST(EnvoySnapshot, LooksForUnservedFieldsInEveryElement) {
  const std::string good = R"(routes { match { prefix: "/" } route { cluster: "set" } } )";
  const std::string bad = R"(routes { match { prefix: "/" } route { cluster: "set" prefix_rewrite: "/x" } } )";
  const auto host = [&](const std::string& routes) {
    return Refusal({Text<FromHost>("r/h", "name: \"r/h\" domains: \"h.test\" " + routes)});
  };
  EXPECT_EQ(host(good + good), "");
  EXPECT_NE(host(good + bad).find("routes[1].route.prefix_rewrite"), std::string::npos);
  EXPECT_NE(host(good + good + bad + good).find("routes[2].route.prefix_rewrite"), std::string::npos);
  const std::string endpoint =
      R"(lb_endpoints { endpoint { address { socket_address { address: "127.0.0.1" port_value: 1
      } } } )";
  const auto second = Text<FromEndpoints>("set", "cluster_name: \"set\" endpoints { " + endpoint + "} " + endpoint +
                                                     "load_balancing_weight { value: 3 } } }");
  EXPECT_NE(Refusal({second}).find("endpoints[0].lb_endpoints[1].load_balancing_weight"), std::string::npos)
      << Refusal({second});
  const std::string chain = "filter_chains { filter_chain_match { server_names: \"a\" } ";
  const auto filters = Text<FromListener>(
      "80", R"(name: "80" address { socket_address { address: "127.0.1.10" port_value: 1 } } filter_chains { )" +
                Http(kRds) + "} filter_chains { " + Http(kRds, "proxy_100_continue: true ") + "}");
  EXPECT_NE(Refusal({filters}).find("filter_chains[1].filters[0].typed_config.proxy_100_continue"), std::string::npos)
      << Refusal({filters});
}

// Each form in which TLS validation may stand, on both sides.
TEST(EnvoySnapshot, ReadsOrRefusesEveryFormOfTlsValidation) {
  const std::string own = R"(tls_certificate_sds_secret_configs { name: "identity" sds_config { ads {} } } )";
  const std::string trust = R"(validation_context_sds_secret_config { name: "trust" sds_config { ads {} } } )";
  const std::string other = R"(validation_context_sds_secret_config { name: "other" sds_config { ads {} } } )";
  const auto combined = [&](const std::string& inside, const std::string& secret) {
    return "combined_validation_context { default_validation_context { " + inside + " } " + secret + " } ";
  };
  const std::string require = "require_client_certificate { value: true } ";
  const auto listener = [&](const std::string& context) {
    return Text<FromListener>("m", R"(name: "m" address { socket_address { address: "127.0.2.21" port_value: 15443 } }
      filter_chains { transport_socket { name: "tls" typed_config {
        [type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext] { )" +
                                       context + "} } }" + Http(kRds) + " }");
  };
  const auto set = [&](const std::string& context) {
    return Text<FromCluster>("c", R"(name: "c" type: EDS eds_cluster_config { eds_config { ads {} } }
      transport_socket { name: "tls" typed_config {
        [type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext] { )" +
                                      context + "} } }");
  };
  const auto common = [](const std::string& inside) { return "common_tls_context { " + inside + " } "; };
  const auto callers = [&](const std::string& inside) {
    return listener(require + common(own + combined(inside, trust)));
  };
  const auto uri = [](const std::string& matcher) {
    return "match_typed_subject_alt_names { san_type: URI matcher { " + matcher + " } }";
  };
  struct Case {
    const char* what;
    EnvoyResource resource;
    const char* refused;  // "" = served.
  };
  const std::vector<Case> cases{
      {"callers by SANs", listener(require + common(own + combined(kCaller, trust))), ""},
      {"any caller that verifies", listener(require + common(own + trust)), ""},
      {"no certificate asked for", listener(common(own)), ""},
      {"required, validated against nothing", listener(require + common(own)), "must be validated"},
      {"required, SANs against another secret", listener(require + common(own + combined(kCaller, other))), "trust"},
      {"required, another secret", listener(require + common(own + other)), "trust"},
      {"SANs, but not required", listener(common(own + combined(kCaller, trust))), "require_client_certificate"},
      {"no own certificate", listener(common(trust)), "exactly one"},
      {"another own certificate", listener(common(R"(tls_certificate_sds_secret_configs { name: "x" })")), "identity"},
      {"roots inline", listener(require + common(own + combined("trusted_ca { inline_string: 'x' }", trust))),
       "trusted_ca"},
      {"a validator of its own", callers("custom_validator_config { name: 'x' }"), "custom_validator_config: it comes"},
      {"SAN that says nothing", callers(uri("exact: ''")), "an exact URI"},
      {"SAN by no matcher", callers(uri("")), "an exact URI"},
      {"SAN by an empty prefix", callers(uri("prefix: ''")), "an exact URI"},
      {"roots inline alone", listener(require + common(own + "validation_context { }")), "validation_context is not"},
      {"a hash of a certificate", callers("verify_certificate_hash: 'ab'"), "verify_certificate_hash"},
      {"trust of unverified ones", callers("trust_chain_verification: ACCEPT_UNTRUSTED"), "trust_chain_verification"},
      {"SAN by suffix", callers(uri("suffix: 'x'")), "suffix"},
      {"SAN that ignores case", callers(uri("exact: 'x' ignore_case: true")), "ignore_case"},
      {"second SAN is no URI",
       listener(require +
                common(own + combined(std::string(kCaller) +
                                          "match_typed_subject_alt_names { san_type: DNS matcher { exact: 'x' } }",
                                      trust))),
       "san_type"},
      {"upstream by SANs", set(common(own + combined(kCaller, trust))), ""},
      {"upstream, any that verifies", set(common(own + trust)), ""},
      {"upstream, validated against nothing", set(common(own)), "must be validated"},
      {"upstream, another secret", set(common(own + other)), "trust"},
      {"upstream, SANs against another secret", set(common(own + combined(kCaller, other))), "trust"},
      {"upstream, second own certificate is another",
       set(common(own + R"(tls_certificate_sds_secret_configs { name: "x" })" + trust)), "configs[1]"},
      {"only h2", set(common(own + trust + "alpn_protocols: 'h2'")), "alpn_protocols"},
      {"h2 and http/1.1", set(common(own + trust + "alpn_protocols: 'h2' alpn_protocols: 'http/1.1'")), ""},
  };
  for (const Case& one : cases) {
    const std::string refusal = Refusal({one.resource});
    if (*one.refused == 0)
      EXPECT_EQ(refusal, "") << one.what;
    else
      EXPECT_NE(refusal.find(one.refused), std::string::npos) << one.what << ": " << refusal;
  }
}

// Each field that the engine obeys in one way only: the value that it obeys is taken, any other refused by name.
TEST(EnvoyManifest, AFieldIsObeyedOrRefusedByName) {
  const auto http = [](const std::string& more) { return PublicListener(Http(kRds, more + " ")); };
  const auto routes = [](const std::string& more) {
    return Text<FromRoutes>("r", "name: \"r\" vhds { config_source { ads {} } } " + more);
  };
  const auto host = [](const std::string& domains, const std::string& action = "") {
    return Text<FromHost>("r/h", "name: \"r/h\" " + domains +
                                     R"( routes { match { prefix: "/" } route { cluster: "set" )" + action + " } }");
  };
  const std::string domain = "domains: 'h.test' ";
  struct Case {
    EnvoyResource resource;
    const char* refused;
  };
  const std::vector<Case> cases{
      {http("path_with_escaped_slashes_action: REJECT_REQUEST"), ""},
      {http("path_with_escaped_slashes_action: KEEP_UNCHANGED"), "path_with_escaped_slashes_action"},
      {http("path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD"), "path_with_escaped_slashes_action"},
      {http("normalize_path { value: true } merge_slashes: true strip_any_host_port: true"), ""},
      {http("normalize_path { value: false }"), "normalize_path"},
      {http("use_remote_address { value: true }"), ""},
      {http("use_remote_address { value: false }"), "use_remote_address"},
      {http("generate_request_id { value: true }"), ""},
      {http("generate_request_id { value: false }"), "generate_request_id"},
      {http("request_headers_timeout { seconds: 10 }"), ""},
      {http("request_headers_timeout { seconds: 60 }"), "request_headers_timeout"},
      {http("common_http_protocol_options { max_headers_count { value: 100 } }"), ""},
      {http("common_http_protocol_options { max_headers_count { value: 20 } }"), "max_headers_count"},
      {http("common_http_protocol_options { max_stream_duration { seconds: 1 } }"), "max_stream_duration"},
      {http("common_http_protocol_options { headers_with_underscores_action: REJECT_REQUEST }"),
       "headers_with_underscores_action"},
      {http("common_http_protocol_options { idle_timeout { seconds: 1 } }"), "idle_timeout"},
      {http("upgrade_configs { upgrade_type: 'websocket' }"), "upgrade_configs"},
      {routes("validate_clusters { value: false } ignore_port_in_host_matching: true"), ""},
      {routes("validate_clusters { value: true }"), "validate_clusters"},
      {host(domain), ""},
      {host(domain + "domains: 'h.test:8080'"), ""},
      {host("domains: 'h.test:*'"), ""},
      {host("domains: 'h.test:8080'"), "domains[0]"},
      {host(domain, "retry_policy { retry_on: 'connect-failure, refused-stream' num_retries { value: 1 } }"), ""},
      {host(domain, "retry_policy { retry_on: '5xx' num_retries { value: 3 } }"), "retry_on"},
      {host(domain, "retry_policy { retry_on: 'connect-failure' num_retries { value: 3 } }"), "num_retries"},
      {host(domain, "retry_policy { retry_on: 'connect-failure' per_try_timeout { seconds: 1 } }"), "per_try_timeout"},
      {host(domain, "max_stream_duration { max_stream_duration { seconds: 1 } }"), "max_stream_duration"},
      {Set(" outlier_detection { consecutive_5xx { value: 5 } }"), "outlier_detection"},
  };
  for (const Case& one : cases) {
    const std::string refusal = Refusal({one.resource});
    if (*one.refused == 0)
      EXPECT_EQ(refusal, "");
    else
      EXPECT_NE(refusal.find(one.refused), std::string::npos) << one.refused << ": " << refusal;
  }
  const auto mesh = [](const std::string& more) {
    std::string text = MeshListener(kPrefix);
    text.insert(text.find("stat_prefix"), more + " ");
    return Refusal({Text<FromListener>("15443", text)});
  };
  EXPECT_EQ(mesh("use_remote_address { value: false }"), "");
  EXPECT_NE(mesh("use_remote_address { value: true }").find("use_remote_address"), std::string::npos);
}

TEST(EnvoySnapshot, WaitsForRoutesThatHaveNotArrived) {
  SnapshotBuilder builder(kFormOnly);
  const std::vector<EnvoyResource> first{PublicListener()};
  auto built = builder.Apply(first, {}, "1");
  ASSERT_TRUE(built.refused.empty());
  EXPECT_TRUE(built.snapshot->listeners.empty());
  EXPECT_EQ(built.waiting, std::vector<std::string>{"listener 80 waits for routes edge/80"});
  const std::vector<EnvoyResource> second{RouteConfig(), Host()};
  built = builder.Apply(second, {}, "2");
  ASSERT_TRUE(built.refused.empty());
  EXPECT_EQ(built.snapshot->listeners.size(), 1u);
  EXPECT_TRUE(built.waiting.empty());
}

TEST(EnvoySnapshot, SharesWhatDidNotChange) {
  SnapshotBuilder builder(kFormOnly);
  auto resources = Edge();
  resources.push_back(Host("other.example.com", "elsewhere"));
  const auto one = builder.Apply(resources, {}, "1");
  ASSERT_TRUE(one.refused.empty());
  const std::vector<EnvoyResource> weights{Endpoints(50, 50)};
  const auto two = builder.Apply(weights, {}, "2");
  ASSERT_TRUE(two.refused.empty());
  EXPECT_EQ(one.snapshot->listeners[0], two.snapshot->listeners[0]);
  EXPECT_NE(one.snapshot->destination_sets.at("set"), two.snapshot->destination_sets.at("set"));
  EXPECT_EQ(two.snapshot->destination_sets.at("set")->localities[0].weight, 50u);
  const std::vector<EnvoyResource> host{Host("servicea.example.com", "new")};
  const auto three = builder.Apply(host, {}, "3");
  ASSERT_TRUE(three.refused.empty());
  EXPECT_NE(two.snapshot->listeners[0], three.snapshot->listeners[0]);
  EXPECT_EQ(two.snapshot->destination_sets.at("set"), three.snapshot->destination_sets.at("set"));
  EXPECT_EQ(two.snapshot->listeners[0]->chains[0].routes->actions[0],
            three.snapshot->listeners[0]->chains[0].routes->actions[0]);
}

TEST(EnvoySnapshot, WhatIsBadStaysAsItWasAndTheRestGoesOn) {
  SnapshotBuilder builder(kFormOnly);
  ASSERT_TRUE(builder.Apply(Edge(), {}, "1").refused.empty());
  const std::vector<EnvoyResource> change{Endpoints(50, 50), Set(" lb_policy: MAGLEV")};
  const std::vector<EnvoyResourceName> gone{{PublicListener().type_url, "80"}};
  const auto after = builder.Apply(change, gone, "2");
  ASSERT_EQ(after.refused.size(), 1u);
  EXPECT_EQ(after.refused[0].name, "set");
  EXPECT_EQ(after.refused[0].type_url, Set().type_url);
  EXPECT_TRUE(after.snapshot->listeners.empty());
  EXPECT_EQ(after.snapshot->destination_sets.at("set")->localities[0].weight, 50u);
  EXPECT_TRUE(builder.Apply({}, {}, "3").refused.empty()) << "the bad is forgotten";
}

TEST(EnvoySnapshot, RemovesWhatIsGone) {
  SnapshotBuilder builder(kFormOnly);
  ASSERT_TRUE(builder.Apply(Edge(), {}, "1").refused.empty());
  const std::vector<EnvoyResourceName> gone{
      {PublicListener().type_url, "80"}, {Set().type_url, "set"}, {Set().type_url, "never"}};
  const auto after = builder.Apply({}, gone, "2");
  ASSERT_TRUE(after.refused.empty());
  EXPECT_TRUE(after.snapshot->listeners.empty());
  EXPECT_TRUE(after.snapshot->destination_sets.empty());
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
  const DestinationSet& set = *built.snapshot->destination_sets.at("set");
  HealthCheck wanted;
  wanted.host = "servicea.example.com";
  wanted.interval = std::chrono::seconds(2);
  EXPECT_EQ(set.check, wanted);
  EXPECT_TRUE(set.digest);
  EXPECT_EQ(set.mode, traffic::Mode::kOrdered);
  EXPECT_EQ(set.hold, std::chrono::seconds(4));
  EXPECT_EQ(set.slow_return.count(), 0);
}

TEST(EnvoySnapshot, WithoutAWordOnHealthOnlyRequestsTell) {
  const auto built = Good(Edge());
  const DestinationSet& set = *built.snapshot->destination_sets.at("set");
  EXPECT_FALSE(set.check.has_value());
  EXPECT_FALSE(set.digest);
  EXPECT_EQ(set.hold, std::chrono::seconds(10));
  EXPECT_EQ(set.slow_return, std::chrono::seconds(10));
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
  EXPECT_EQ(tcp.snapshot->destination_sets.at("app/8080")->check->kind, HealthCheck::Kind::kTcp);
  EXPECT_EQ(tcp.snapshot->destination_sets.at("app/8080")->check->port, 0);
  const auto http =
      Good({App("health_checks { " + std::string(kTimes) + R"( http_health_check { path: "/healthz" } })", 9090)});
  EXPECT_EQ(http.snapshot->destination_sets.at("app/8080")->check->path, "/healthz");
  EXPECT_EQ(http.snapshot->destination_sets.at("app/8080")->check->port, 9090);
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
  const auto& localities = built.snapshot->destination_sets.at("set")->localities;
  ASSERT_EQ(localities.size(), 3u);
  EXPECT_TRUE(localities[0].drained);
  EXPECT_EQ(localities[0].weight, 1u);
  EXPECT_FALSE(localities[1].drained);
  EXPECT_TRUE(localities[2].standby && !localities[1].standby);
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
  EXPECT_EQ(action("/pay/1").destination_set, "pay");
  EXPECT_TRUE(action("/pay/1").idempotent);
  EXPECT_EQ(action("/x").destination_set, "rest");
  EXPECT_FALSE(action("/x").idempotent);
}

}  // namespace
}  // namespace weir::proxy
