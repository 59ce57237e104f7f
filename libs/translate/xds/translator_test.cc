#include "libs/translate/xds/translator.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "libs/translate/xds/samples.h"

namespace weir::translate {
namespace {

using namespace samples;  // NOLINT
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> PeersOf(const envoy_v3::listener::FilterChain& chain) {
  tls::DownstreamTlsContext context;
  EXPECT_TRUE(chain.transport_socket().typed_config().UnpackTo(&context));
  EXPECT_TRUE(context.require_client_certificate().value());
  std::vector<std::string> peers;
  for (const auto& san : context.common_tls_context()
                             .combined_validation_context()
                             .default_validation_context()
                             .match_typed_subject_alt_names()) {
    EXPECT_TRUE(san.matcher().has_exact());
    peers.push_back(san.matcher().exact());
  }
  return peers;
}
std::string RoutesOf(const envoy_v3::listener::FilterChain& chain) {
  hcm::HttpConnectionManager http;
  EXPECT_TRUE(chain.filters(0).typed_config().UnpackTo(&http));
  return http.rds().route_config_name();
}
std::vector<std::string> CallersOf(const NodeConfig& config, const std::string& host) {
  const auto read = Get<route::VirtualHost>(config, xds::kVirtualHost, host);
  std::vector<std::string> callers;
  for (const auto& one :
       read.metadata().filter_metadata().at("dev.weir").fields().at("callers").list_value().values()) {
    callers.push_back(one.string_value());
  }
  return callers;
}

TEST(Translator, BindsADeclaredPortWhereTheWorkloadSaysAndTakesRoutesByVhds) {
  Translator translator(Identity("edge"));
  const auto config = translator.Translate(EdgeIntent(), Edge(), "edge/t1", kOurs);
  const auto listener = Get<envoy_v3::listener::Listener>(*config, xds::kListener, "80");
  EXPECT_EQ(listener.address().socket_address().address(), "127.0.1.10");
  EXPECT_EQ(listener.address().socket_address().port_value(), 18080u);
  const auto routes = Get<route::RouteConfiguration>(*config, xds::kRoute, "edge/app=t1/80");
  EXPECT_TRUE(routes.has_vhds());
  EXPECT_EQ(routes.virtual_hosts_size(), 0);
  EXPECT_THAT(Names(*config, xds::kVirtualHost), ElementsAre("edge/app=t1/80/shop.example"));
  EXPECT_THAT(Names(*config, xds::kListener), ElementsAre("80"));  // No mesh port at the edge.
}

TEST(Translator, KeepsTheOrderOfRoutesAndSaysEachMatch) {
  Translator translator(Identity("edge"));
  const auto config = translator.Translate(EdgeIntent(), Edge(), "edge/t1", kOurs);
  const auto host = Get<route::VirtualHost>(*config, xds::kVirtualHost, "edge/app=t1/80/shop.example");
  ASSERT_EQ(host.routes_size(), 4);
  EXPECT_EQ(host.domains(0), "shop.example");
  EXPECT_EQ(host.routes(0).match().path(), "/old");
  EXPECT_EQ(host.routes(1).match().prefix(), "/older/");
  EXPECT_EQ(host.routes(1).redirect().host_redirect(), "new.example");
  EXPECT_EQ(host.routes(1).redirect().response_code(), route::RedirectAction::PERMANENT_REDIRECT);
  EXPECT_EQ(host.routes(2).direct_response().status(), 204u);
  EXPECT_EQ(host.routes(3).match().prefix(), "/");
  EXPECT_EQ(host.routes(3).route().cluster(), "set");
  EXPECT_TRUE(host.routes(3).route().has_timeout());  // None: unset is 15 s in Envoy.
  EXPECT_EQ(host.routes(3).route().timeout().seconds(), 0);
  EXPECT_FALSE(host.routes(3).route().has_idle_timeout());
}

TEST(Translator, MakesEachClusterALocalityWithItsWeightAndStandbysALaterPriority) {
  Translator translator(Identity("edge"));
  const auto config = translator.Translate(EdgeIntent(), Edge(), "edge/t1", kOurs);
  const auto set = Get<endpoint::ClusterLoadAssignment>(*config, xds::kEndpoints, "set");
  ASSERT_EQ(set.endpoints_size(), 3);
  EXPECT_EQ(set.endpoints(0).locality().sub_zone(), "c1");
  EXPECT_EQ(set.endpoints(0).load_balancing_weight().value(), 75u);
  EXPECT_EQ(set.endpoints(1).load_balancing_weight().value(), 25u);
  EXPECT_EQ(set.endpoints(0).priority(), 0u);
  EXPECT_EQ(set.endpoints(2).priority(), 1u);
  EXPECT_EQ(set.endpoints(2).lb_endpoints_size(), 0);  // Intended, not here yet.
  const auto& metadata = set.endpoints(0).lb_endpoints(0).metadata().filter_metadata().at("dev.weir").fields();
  EXPECT_EQ(metadata.at("spiffe_id").string_value(), "spiffe://c1.weir/ns/in/sa/t2");
  EXPECT_EQ(metadata.at("cluster").string_value(), "c1");
  EXPECT_EQ(set.policy().overprovisioning_factor().value(), 100000u);
}

TEST(Translator, DemandsExactlyTheIdentitiesOfTheTier2Gateways) {
  Translator translator(Identity("edge"));
  const auto config = translator.Translate(EdgeIntent(), Edge(), "edge/t1", kOurs);
  const auto cluster = Get<cluster::Cluster>(*config, xds::kCluster, "set");
  tls::UpstreamTlsContext context;
  ASSERT_TRUE(cluster.transport_socket().typed_config().UnpackTo(&context));
  EXPECT_EQ(context.sni(), "shop.example");
  const auto& validation = context.common_tls_context().combined_validation_context();
  ASSERT_EQ(validation.default_validation_context().match_typed_subject_alt_names_size(), 2);
  EXPECT_EQ(validation.default_validation_context().match_typed_subject_alt_names(0).matcher().exact(),
            "spiffe://c1.weir/ns/in/sa/t2");
  EXPECT_EQ(cluster.common_lb_config().healthy_panic_threshold().value(), 0);
  EXPECT_TRUE(cluster.common_lb_config().has_locality_weighted_lb_config());
}

TEST(Translator, TrustsNobodyWhileNoIdentityIsKnown) {
  Intent intent = EdgeIntent();
  intent.endpoints.clear();
  Translator translator(Identity("edge"));
  const auto config = translator.Translate(intent, Edge(), "edge/t1", kOurs);
  tls::UpstreamTlsContext context;
  ASSERT_TRUE(
      Get<cluster::Cluster>(*config, xds::kCluster, "set").transport_socket().typed_config().UnpackTo(&context));
  const auto& validation = context.common_tls_context().combined_validation_context().default_validation_context();
  ASSERT_EQ(validation.match_typed_subject_alt_names_size(), 1);
  EXPECT_EQ(validation.match_typed_subject_alt_names(0).matcher().exact(), "spiffe://nobody.invalid");
}

// Envoy's Prometheus output takes what stands before the first dot for the cluster, and the rest for the metric.
TEST(Translator, ClusterNamesWithDotsHaveANameForMetricsWithout) {
  Translator translator(Identity("c1"));
  const auto config = translator.Translate(InClusterIntent(), InCluster(), "in/t2", kOurs);
  ASSERT_TRUE(config->Find(xds::kCluster, "service/shop/web.shop.svc.cluster.local:80"));
  for (const auto& [name, resource] : config->types.at(std::string(xds::kCluster))) {
    cluster::Cluster cluster;
    ASSERT_TRUE(cluster.ParseFromString(resource->resource->value));
    const std::string& shown = cluster.alt_stat_name().empty() ? name : cluster.alt_stat_name();
    EXPECT_EQ(shown.find('.'), std::string::npos) << shown;
  }
}

// Make before break: a gateway that has not turned away yet is let in beside those that route here now.
TEST(Translator, LetsACallerOfATier2HostLinger) {
  const std::string key = "host/in/app=t2/80/shop.example", before = "spiffe://edge.weir/ns/edge/sa/before";
  const std::string now = "spiffe://edge.weir/ns/edge/sa/default";
  Translator translator(Identity("c1"));
  const auto intent = std::make_shared<const Intent>(InClusterIntent());
  const auto facts = std::make_shared<const Facts>(InCluster());
  const auto plain = translator.Translate(intent, facts, "in/t2", {.stock_envoy = false});
  EXPECT_EQ(plain->admits, (Admitted{{key, {now}}}));
  const auto also = translator.Translate(intent, facts, "in/t2", {.stock_envoy = false}, {{key, {before}}});
  EXPECT_EQ(also->admits, plain->admits) << "who lingers is not admitted anew";
  const auto host = Get<envoy::config::route::v3::VirtualHost>(*also, xds::kVirtualHost, "in/app=t2/80/shop.example");
  std::vector<std::string> callers;
  for (const auto& one :
       host.metadata().filter_metadata().at("dev.weir").fields().at("callers").list_value().values()) {
    callers.push_back(one.string_value());
  }
  EXPECT_EQ(callers, (std::vector<std::string>{before, now}));
  const auto listener = Get<envoy::config::listener::v3::Listener>(*also, xds::kListener, "15443");
  EXPECT_NE(listener.DebugString().find(before), std::string::npos) << "the health digest is open to it too";
}

TEST(Translator, ServesEachTier2HostOnTheMeshPortToItsCallersOnly) {
  Translator translator(Identity("c1"));
  const auto config = translator.Translate(InClusterIntent(), InCluster(), "in/t2", kOurs);
  EXPECT_THAT(Names(*config, xds::kListener), ElementsAre("15443", "80"));
  const auto mesh = Get<envoy_v3::listener::Listener>(*config, xds::kListener, "15443");
  ASSERT_EQ(mesh.filter_chains_size(), 2);  // And the one of the health digest.
  // SNI is looked up among the hosts of the routes. Who does not know that lets nobody in.
  EXPECT_TRUE(mesh.filter_chains(0).metadata().filter_metadata().at("dev.weir").fields().at("by_host").bool_value());
  EXPECT_THAT(mesh.filter_chains(0).filter_chain_match().server_names(), IsEmpty());
  EXPECT_THAT(PeersOf(mesh.filter_chains(0)), ElementsAre("spiffe://nobody.invalid"));
  EXPECT_EQ(RoutesOf(mesh.filter_chains(0)), "in/app=t2/80");
  EXPECT_THAT(CallersOf(*config, "in/app=t2/80/shop.example"), ElementsAre("spiffe://edge.weir/ns/edge/sa/default"));
  EXPECT_THAT(mesh.filter_chains(1).filter_chain_match().server_names(), ElementsAre("health.c1.weir"));
  EXPECT_THAT(PeersOf(mesh.filter_chains(1)), ElementsAre("spiffe://edge.weir/ns/edge/sa/default"));

  const auto endpoints =
      Get<endpoint::ClusterLoadAssignment>(*config, xds::kEndpoints, "service/shop/web.shop.svc.cluster.local:80");
  ASSERT_EQ(endpoints.endpoints(0).lb_endpoints_size(), 2);
  const auto& address = endpoints.endpoints(0).lb_endpoints(0).endpoint().address().socket_address();
  EXPECT_EQ(address.address(), "127.0.2.21");
  EXPECT_EQ(address.port_value(), 15443u);
  tls::UpstreamTlsContext upstream;
  ASSERT_TRUE(Get<cluster::Cluster>(*config, xds::kCluster, "service/shop/web.shop.svc.cluster.local:80")
                  .transport_socket()
                  .typed_config()
                  .UnpackTo(&upstream));
  EXPECT_EQ(upstream.sni(), "outbound_.80_._.web.shop.svc.cluster.local");
}

TEST(Translator, HostsOfOneServiceShareItsClusterAndItsChecks) {
  Intent intent = InClusterIntent();
  for (const std::string host : {"a.example", "b.example"}) {
    const std::string routes = fmt::format("routes {{ name: 'web/0' destination_set: 'local/{}' }}", host);
    constexpr const char* kHost = "name: 'in/app=t2/80/{0}' listener: 'in/app=t2/80' hostname: '{0}' {1}";
    Put<mesh::v1::Host>(fmt::format(kHost, host, routes), &intent);
    Put<mesh::v1::DestinationSet>(fmt::format(R"(name: 'local/{0}' hostname: '{0}'
      service {{ namespace: "shop" host: "web.shop.svc.cluster.local" port: 80 }})",
                                              host),
                                  &intent);
  }
  Translator translator(Identity("c1"));
  const auto config = translator.Translate(intent, InCluster(), "in/t2", kOurs);
  const std::string name = "service/shop/web.shop.svc.cluster.local:80";
  EXPECT_THAT(Names(*config, xds::kCluster), ElementsAre(name));
  EXPECT_THAT(Names(*config, xds::kEndpoints), ElementsAre(name));
  EXPECT_EQ(Get<cluster::Cluster>(*config, xds::kCluster, name).health_checks(0).interval().seconds(), 1);
  // A set is applied where the routes that lead to it are, and its cluster with them.
  EXPECT_THAT(config->Find(xds::kCluster, name)->origins, IsEmpty());
  const EnvoyResource* host = config->Find(xds::kVirtualHost, "in/app=t2/80/a.example");
  ASSERT_NE(host, nullptr);
  ASSERT_EQ(host->origins.size(), 2u);
  EXPECT_EQ(host->origins[0].name, "local/a.example");
  EXPECT_THAT(host->needs, ElementsAre(name));
}

TEST(Translator, LeavesHostsOffTheMeshPortThatAnotherPortAnswersThere) {
  Intent intent = InClusterIntent();
  // A lower port that only redirects must not take the host's name on the mesh port.
  Put<mesh::v1::Listener>(
      R"(name: "in/app=t2/79" port: 79 tier: TIER2 selector { namespace: "in" labels { key: "app" value: "t2" } }
)",
      &intent);
  Put<mesh::v1::Host>(
      "name: 'in/app=t2/79/shop.example' hostname: 'shop.example' listener: 'in/app=t2/79' routes { redirect { path: "
      "'/' code: 301 } }",
      &intent);
  Translator translator(Identity("c1"));
  const auto config = translator.Translate(intent, InCluster(), "in/t2", kOurs);
  EXPECT_THAT(Names(*config, xds::kListener), ElementsAre("15443", "79", "80"));
  const auto mesh = Get<envoy_v3::listener::Listener>(*config, xds::kListener, "15443");
  ASSERT_EQ(mesh.filter_chains_size(), 2);  // And the one of the health digest.
  EXPECT_EQ(RoutesOf(mesh.filter_chains(0)), "in/app=t2/80");
  const auto redirecting = Get<route::VirtualHost>(*config, xds::kVirtualHost, "in/app=t2/79/shop.example");
  EXPECT_FALSE(redirecting.metadata().filter_metadata().contains("dev.weir"));
}

// Who stands outside has a bound on silence; a caller of the mesh has its own gateway's clock.
TEST(Translator, SaysTimesInFull) {
  for (const NodeProfile profile : {kOurs, kStock}) {
    const auto idle_of = [&](const std::string& node, const std::string& port) {
      Translator translator(Identity("c1"));
      const auto config = translator.Translate(InClusterIntent(), InCluster(), node, profile);
      const auto listener = Get<envoy_v3::listener::Listener>(*config, xds::kListener, port);
      hcm::HttpConnectionManager http;
      const auto& chain = listener.filter_chains(listener.filter_chains_size() - 1);
      EXPECT_TRUE(chain.filters(0).typed_config().UnpackTo(&http));
      return http.stream_idle_timeout().seconds();
    };
    EXPECT_EQ(idle_of("in/t2", "80"), 60);
    EXPECT_EQ(idle_of("in/t2", "15443"), 3600);
    EXPECT_EQ(idle_of("shop/pod1", "15443"), 3600);
  }
  const auto action = [](const std::string& times) {
    Intent intent = EdgeIntent();
    Put<mesh::v1::Host>(
        "name: 'edge/app=t1/80/shop.example' hostname: 'shop.example' listener: 'edge/app=t1/80' routes { "
        "destination_set: 'set' " +
            times + " }",
        &intent);
    Translator translator(Identity("edge"));
    const auto config = translator.Translate(intent, Edge(), "edge/t1", kOurs);
    const auto host = Get<route::VirtualHost>(*config, xds::kVirtualHost, "edge/app=t1/80/shop.example");
    const auto& route = host.routes(0).route();
    EXPECT_TRUE(route.has_timeout());
    return fmt::format("{} {}", route.timeout().seconds(),
                       route.has_idle_timeout() ? route.idle_timeout().seconds() : -1);
  };
  EXPECT_EQ(action(""), "0 -1");
  EXPECT_EQ(action("timeout {}"), "0 -1");
  EXPECT_EQ(action("timeout { seconds: 60 }"), "60 -1");
  EXPECT_EQ(action("timeout { seconds: 61 }"), "61 61");
  EXPECT_EQ(action("timeout { seconds: 61 } idle_timeout { seconds: 5 }"), "61 5");
  EXPECT_EQ(action("idle_timeout {}"), "0 0");
}

TEST(Translator, TellsStockEnvoyToRefuseUnderscoresAndToSayWhatWasLost) {
  const auto config = Translator(Identity("c1")).Translate(InClusterIntent(), InCluster(), "in/t2", kStock);
  for (const std::string port : {"80", "15443"}) {
    const auto listener = Get<envoy_v3::listener::Listener>(*config, xds::kListener, port);
    for (const auto& chain : listener.filter_chains()) {
      hcm::HttpConnectionManager http;
      ASSERT_TRUE(chain.filters(0).typed_config().UnpackTo(&http));
      const auto& options = http.common_http_protocol_options();
      EXPECT_EQ(options.headers_with_underscores_action(), core::HttpProtocolOptions::REJECT_REQUEST);
      const std::pair bounds(http.max_request_headers_kb().value(), options.max_headers_count().value());
      EXPECT_EQ(bounds, port == "80" ? std::pair(60u, 100u) : std::pair(64u, 140u));
      for (const auto& mapper : http.local_reply_config().mappers()) {
        const std::string& flag = mapper.filter().response_flag_filter().flags(0);
        const bool sent = flag.starts_with("UC") || flag == "UR";
        EXPECT_EQ(mapper.status_code().value(), sent ? 502u : 0u);
        EXPECT_EQ(mapper.headers_to_add_size(), sent ? 1 : 2);
        EXPECT_EQ(mapper.headers_to_add(0).header().key(), "x-weir-reason");
      }
    }
  }
}

TEST(Translator, PutsAPodProxyBeforeEachPortOfAService) {
  const auto config = Translator(Identity("c1")).Translate(InClusterIntent(), InCluster(), "shop/pod1", kOurs);
  EXPECT_THAT(Names(*config, xds::kListener), ElementsAre("15443"));
  const auto mesh = Get<envoy_v3::listener::Listener>(*config, xds::kListener, "15443");
  EXPECT_THAT(mesh.filter_chains(0).filter_chain_match().server_names(),
              ElementsAre("outbound_.80_._.web.shop.svc.cluster.local"));
  EXPECT_THAT(PeersOf(mesh.filter_chains(0)), ElementsAre("spiffe://c1.weir/ns/in/sa/t2"));  // Its gateway, no other.
  const auto app = Get<cluster::Cluster>(*config, xds::kCluster, "app/80");
  EXPECT_EQ(app.load_assignment().endpoints(0).lb_endpoints(0).endpoint().address().socket_address().port_value(),
            8080u);
  EXPECT_EQ(app.type(), cluster::Cluster::STATIC);
}

TEST(Translator, MergesSeveralListenersOfOneWorkloadAndPort) {
  Intent intent = EdgeIntent();
  Put<mesh::v1::Listener>(
      R"(name: "edge/zone=a/80" port: 80 tier: TIER1 selector { namespace: "edge" labels { key: "app" value: "t1" } }
)",
      &intent);
  for (const std::string host : {"pay.example", "shop.example"}) {
    constexpr const char* kHost = "name: 'edge/zone=a/80/{0}' listener: 'edge/zone=a/80' hostname: '{0}' {1}";
    Put<mesh::v1::Host>(fmt::format(kHost, host, "routes { direct_response { status: 200 } }"), &intent);
  }
  Translator translator(Identity("edge"));
  const auto config = translator.Translate(intent, Edge(), "edge/t1", kOurs);
  EXPECT_THAT(Names(*config, xds::kListener), ElementsAre("80"));
  EXPECT_THAT(Names(*config, xds::kVirtualHost),
              ElementsAre("edge/app=t1/80/pay.example", "edge/app=t1/80/shop.example"));
  ASSERT_EQ(config->problems.size(), 1u);  // The same host twice: the first keeps it, and it is said.
  EXPECT_THAT(config->problems[0], HasSubstr("shop.example"));
}

TEST(Translator, GivesStockEnvoyItsVirtualHostsInline) {
  Translator translator(Identity("edge"));
  const auto config = translator.Translate(EdgeIntent(), Edge(), "edge/t1", kStock);
  const auto routes = Get<route::RouteConfiguration>(*config, xds::kRoute, "edge/app=t1/80");
  EXPECT_FALSE(routes.has_vhds());
  ASSERT_EQ(routes.virtual_hosts_size(), 1);
  EXPECT_EQ(routes.virtual_hosts(0).domains(0), "shop.example");
  EXPECT_TRUE(Names(*config, xds::kVirtualHost).empty());
}

TEST(Translator, AnswersForADestinationThatIsNotThereInsteadOfPointingAtIt) {
  Intent intent = EdgeIntent();
  intent.destination_sets.clear();
  Translator translator(Identity("edge"));
  const auto config = translator.Translate(intent, Edge(), "edge/t1", kOurs);
  const auto host = Get<route::VirtualHost>(*config, xds::kVirtualHost, "edge/app=t1/80/shop.example");
  EXPECT_EQ(host.routes(3).direct_response().status(), 503u);
}

TEST(Translator, GivesTheSameBytesWhateverItTranslatedBefore) {
  Translator used(Identity("edge"));
  Intent other = EdgeIntent();
  other.hosts.clear();
  used.Translate(other, Edge(), "edge/t1", kOurs);
  used.Translate(EdgeIntent(), Edge(), "edge/t1", kStock);
  const auto warm = used.Translate(EdgeIntent(), Edge(), "edge/t1", kOurs);
  Translator fresh(Identity("edge"));
  const auto cold = fresh.Translate(EdgeIntent(), Edge(), "edge/t1", kOurs);
  for (const std::string_view url : xds::kEnvoyTypes) {
    ASSERT_EQ(Names(*warm, url), Names(*cold, url));
    for (const std::string& name : Names(*cold, url)) {
      EXPECT_EQ(warm->Find(url, name)->resource->value, cold->Find(url, name)->resource->value) << url << " " << name;
      EXPECT_EQ(warm->Find(url, name)->origins, cold->Find(url, name)->origins);
    }
  }
}

// Random histories of hosts, services, listeners, pods, gateways and profiles: what was seen before must never show.
class History {
 public:
  explicit History(unsigned seed) : random_(seed) {}

  void Step() {
    const std::string name = fmt::format("h{}.example", Any(12));
    const std::string listener = Any(4) == 0 ? "in/app=t2/81" : "in/app=t2/80";
    const std::string host = listener + "/" + name;
    switch (Any(10)) {
      case 0:
        Put<mesh::v1::Listener>("name: '" + listener + "' port: " + listener.substr(10) + " tier: TIER2 selector { " +
                                    "namespace: 'in' labels { key: 'app' value: 't2' } }",
                                &intent);
        break;
      case 1:
        RemoveIntent("type.googleapis.com/weir.mesh.v1.Listener", "in/app=t2/81", &intent);
        break;
      case 2:
      case 3:
        PutHost(name, listener);
        break;
      case 4:
      case 5:
        Put<mesh::v1::DestinationSet>(
            fmt::format("name: '{}/r/{}' hostname: '{}' service {{ namespace: 'shop' host: '{}.shop.svc.cluster.local' "
                        "port: {} }}",
                        host, Any(3), name, Any(3) == 0 ? "other" : "web", 80 + Any(2)),
            &intent);
        break;
      case 6:
        RemoveIntent("type.googleapis.com/weir.mesh.v1.DestinationSet", fmt::format("{}/r/{}", host, Any(3)), &intent);
        break;
      case 7:
        RemoveIntent("type.googleapis.com/weir.mesh.v1.Host", host, &intent);
        break;
      case 8:
        PutService();
        break;
      default:
        PutWorkload();
    }
  }
  int Any(int below) { return static_cast<int>(random_() % static_cast<unsigned>(below)); }

  Intent intent = InClusterIntent();
  Facts facts = InCluster();

 private:
  void PutHost(const std::string& name, const std::string& listener) {
    const std::string host = listener + "/" + name;
    const std::string callers = Any(3) == 0 ? "" : fmt::format("allowed_callers: 'spiffe://edge.weir/{}'", Any(3));
    Put<mesh::v1::Host>(
        fmt::format(
            "name: '{0}' hostname: '{1}' listener: '{2}' {3} {4} routes {{ name: 'r/0' destination_set: '{0}/r/0' "
            "}} routes {{ name: 'r/1' destination_set: '{0}/r/{5}' timeout {{ seconds: {6} }} }}",
            host, name, listener, Any(3) == 0 ? "" : "on_mesh: true", callers, 1 + Any(2), 1 + Any(3)),
        &intent);
  }
  void PutService() {
    const std::string name = Any(2) == 0 ? "web" : "other";
    if (Any(4) == 0) {
      facts.services.erase("shop/" + name);
      return;
    }
    auto service = std::make_shared<v1::Service>();
    service->set_name(name);
    service->set_namespace_("shop");
    service->set_host(Any(5) == 0 ? "other.shop.svc.cluster.local" : name + ".shop.svc.cluster.local");
    for (int port = 80; port <= 80 + Any(2); ++port) service->add_ports(static_cast<uint32_t>(port));
    (*service->mutable_selector())["app"] = Any(4) == 0 ? "t2" : "web";
    if (Any(3) == 0) (*service->mutable_selector())["v"] = "1";
    facts.services["shop/" + name] = service;
  }
  void PutWorkload() {
    const bool pod = Any(3) > 0;
    const std::string key = pod ? fmt::format("shop/pod{}", 1 + Any(3)) : fmt::format("in/t{}", 2 + Any(2));
    if (Any(5) == 0 && key != "in/t2" && key != "shop/pod1") {
      facts.workloads.erase(key);
      return;
    }
    auto workload = std::make_shared<v1::Workload>();
    workload->set_namespace_(key.substr(0, key.find('/')));
    workload->set_name(key.substr(key.find('/') + 1));
    workload->set_service_account(fmt::format("sa{}", Any(3)));
    workload->add_addresses(fmt::format("127.0.2.{}", 20 + Any(4)));
    (*workload->mutable_labels())["app"] = pod ? "web" : "t2";
    if (Any(2) == 0) (*workload->mutable_labels())["v"] = "1";
    if (Any(2) == 0) (*workload->mutable_ports())[15443] = 20'000 + static_cast<uint32_t>(Any(2));
    facts.workloads[key] = workload;
  }

  std::minstd_rand random_;
};

TEST(Translator, GivesTheSameAfterAnyHistory) {
  const NodeProfile profiles[] = {kOurs, kStock, {.vhds = true, .stock_envoy = false, .hold_ms = 1'000}};
  for (const unsigned seed : {20261121u, 7u, 8u}) {
    History history(seed);
    Translator used(Identity("c1"));
    for (int turn = 0; turn < 300; ++turn) {
      history.Step();
      const std::string workload = history.Any(2) == 0 ? "in/t2" : "shop/pod1";
      const NodeProfile profile = profiles[history.Any(3)];
      const auto warm = used.Translate(history.intent, history.facts, workload, profile);
      used.Forget(3);
      Translator fresh(Identity("c1"));
      const auto cold = fresh.Translate(history.intent, history.facts, workload, profile);
      ASSERT_EQ(warm->problems, cold->problems);
      ASSERT_EQ(warm->admits, cold->admits);
      for (const std::string_view url : xds::kEnvoyTypes) {
        ASSERT_EQ(Names(*warm, url), Names(*cold, url)) << turn;
        for (const std::string& one : Names(*cold, url)) {
          const EnvoyResource &is = *warm->Find(url, one), &should = *cold->Find(url, one);
          ASSERT_EQ(is.resource->value, should.resource->value) << turn << " " << url << " " << one;
          ASSERT_EQ(is.origins, should.origins) << turn << " " << url << " " << one;
          ASSERT_EQ(is.needs, should.needs) << turn << " " << url << " " << one;
        }
      }
    }
  }
}

// Identities are demanded exactly, so a new account of a pod must reach those that call it, and one of a gateway those
// that it calls.
TEST(Translator, TellsCallersOfAPodsNewAccountAndPodsOfAGatewaysNewAccount) {
  Translator translator(Identity("c1"));
  Facts facts = InCluster();
  const std::string name = "service/shop/web.shop.svc.cluster.local:80";
  const auto peers = [&] {
    tls::UpstreamTlsContext context;
    const auto config = translator.Translate(InClusterIntent(), facts, "in/t2", kOurs);
    EXPECT_TRUE(
        Get<cluster::Cluster>(*config, xds::kCluster, name).transport_socket().typed_config().UnpackTo(&context));
    std::vector<std::string> ids;
    for (const auto& san : context.common_tls_context()
                               .combined_validation_context()
                               .default_validation_context()
                               .match_typed_subject_alt_names()) {
      ids.push_back(san.matcher().exact());
    }
    return ids;
  };
  const auto admitted = [&] {
    const auto config = translator.Translate(InClusterIntent(), facts, "shop/pod1", kOurs);
    return PeersOf(Get<envoy_v3::listener::Listener>(*config, xds::kListener, "15443").filter_chains(0));
  };
  EXPECT_THAT(peers(), ElementsAre("spiffe://c1.weir/ns/shop/sa/default"));
  EXPECT_THAT(admitted(), ElementsAre("spiffe://c1.weir/ns/in/sa/t2"));
  for (const char* key : {"shop/pod1", "in/t2"}) {
    auto changed = std::make_shared<v1::Workload>(*facts.workloads[key]);
    changed->set_service_account("new");
    facts.workloads[key] = changed;
  }
  EXPECT_THAT(peers(), ElementsAre("spiffe://c1.weir/ns/shop/sa/default", "spiffe://c1.weir/ns/shop/sa/new"));
  EXPECT_THAT(admitted(), ElementsAre("spiffe://c1.weir/ns/in/sa/new"));
}

// A gateway beside it that routes elsewhere, a pod of its own namespace, the rest of the trust domain: nobody else.
TEST(Translator, APodLetsInThoseThatRouteToItAndNobodyElse) {
  Facts facts = InCluster();
  for (const std::string extra : {"shop/web2", "in/t9"}) {
    auto workload = std::make_shared<v1::Workload>();
    workload->set_namespace_(extra.substr(0, extra.find('/')));
    workload->set_name(extra.substr(extra.find('/') + 1));
    workload->set_service_account(workload->name());
    workload->add_addresses("127.0.2.90");
    (*workload->mutable_labels())["app"] = workload->name();
    facts.workloads[extra] = workload;
  }
  Intent intent = InClusterIntent();
  Put<mesh::v1::Listener>(
      "name: 'in/app=t9/80' port: 80 tier: TIER2 selector { namespace: 'in' labels { key: 'app' value: 't9' } }",
      &intent);
  Put<mesh::v1::Host>(
      "name: 'in/app=t9/80/o.example' hostname: 'o.example' listener: 'in/app=t9/80' on_mesh: true "
      "routes { destination_set: 'other' }",
      &intent);
  const auto lead = [&](const std::string& to) {
    Put<mesh::v1::DestinationSet>("name: 'other' hostname: 'o.example' " + to, &intent);
  };
  Translator translator(Identity("c1"));
  const auto admitted = [&] {
    const auto config = translator.Translate(intent, facts, "shop/pod1", kOurs);
    return PeersOf(Get<envoy_v3::listener::Listener>(*config, xds::kListener, "15443").filter_chains(0));
  };
  lead("");  // Out of scope: it leads nowhere.
  EXPECT_THAT(admitted(), ElementsAre("spiffe://c1.weir/ns/in/sa/t2"));
  lead("service { namespace: 'shop' host: 'web.shop.svc.cluster.local' port: 81 }");  // Another port of it.
  EXPECT_THAT(admitted(), ElementsAre("spiffe://c1.weir/ns/in/sa/t2"));
  lead("service { namespace: 'shop' host: 'web.shop.svc.cluster.local' port: 80 }");
  EXPECT_THAT(admitted(), ElementsAre("spiffe://c1.weir/ns/in/sa/t2", "spiffe://c1.weir/ns/in/sa/t9"));
  RemoveIntent("type.googleapis.com/weir.mesh.v1.Host", "in/app=t2/80/shop.example", &intent);
  EXPECT_THAT(admitted(), ElementsAre("spiffe://c1.weir/ns/in/sa/t9"));
  RemoveIntent("type.googleapis.com/weir.mesh.v1.Host", "in/app=t9/80/o.example", &intent);
  EXPECT_THAT(admitted(), ElementsAre("spiffe://nobody.invalid"));
}

// What one who may call a host could ask of another through stock Envoy's routes.
TEST(Translator, GivesStockEnvoyOnlyRoutesOfHostsWithTheSameCallers) {
  Intent intent = InClusterIntent();
  for (const auto& [host, caller] : {std::pair("a.example", "default"), std::pair("b.example", "other")}) {
    Put<mesh::v1::Host>(fmt::format("name: 'in/app=t2/80/{0}' hostname: '{0}' listener: 'in/app=t2/80' on_mesh: true "
                                    "allowed_callers: 'spiffe://edge.weir/ns/edge/sa/{1}' routes {{ destination_set: "
                                    "'local' }}",
                                    host, caller),
                        &intent);
  }
  Translator translator(Identity("c1"));
  const auto config = translator.Translate(intent, InCluster(), "in/t2", kStock);
  const auto mesh = Get<envoy_v3::listener::Listener>(*config, xds::kListener, "15443");
  std::map<std::string, std::vector<std::string>> domains;
  for (const auto& chain : mesh.filter_chains()) {
    if (chain.name() == "weir.health") continue;
    const std::string& sni = chain.filter_chain_match().server_names(0);
    const auto routes = Get<route::RouteConfiguration>(*config, xds::kRoute, RoutesOf(chain));
    for (const auto& host : routes.virtual_hosts()) domains[sni].push_back(host.domains(0));
    EXPECT_THAT(PeersOf(chain), ElementsAre(sni == "b.example" ? "spiffe://edge.weir/ns/edge/sa/other"
                                                               : "spiffe://edge.weir/ns/edge/sa/default"));
  }
  EXPECT_THAT(domains["a.example"], ElementsAre("a.example", "shop.example"));
  EXPECT_THAT(domains["b.example"], ElementsAre("b.example"));
}

TEST(Translator, BuildsOnlyWhatAChangeTouches) {
  Translator translator(Identity("edge"));
  Intent intent = EdgeIntent();
  translator.Translate(intent, Edge(), "edge/t1", kOurs);
  const uint64_t before = translator.built();
  Put<mesh::v1::Host>(
      R"(name: "edge/app=t1/80/shop.example" hostname: "shop.example" listener: "edge/app=t1/80"
      routes { destination_set: "set" })",
      &intent);
  translator.Translate(intent, Edge(), "edge/t1", kOurs);
  EXPECT_EQ(translator.built(), before + 1);
}

TEST(Translator, NamesTheIntentThatEachResourceIsMadeOf) {
  const Intent intent = EdgeIntent();
  Translator translator(Identity("edge"));
  const auto config = translator.Translate(intent, Edge(), "edge/t1", kOurs);
  const EnvoyResource* set = config->Find(xds::kCluster, "set");
  EXPECT_THAT(
      set->origins,
      ElementsAre(IntentRef{"DestinationSet", "set", intent.destination_sets.at("set").version},
                  IntentRef{"ServiceEndpoints", "c1/shop.example", intent.endpoints.at("c1/shop.example").version},
                  IntentRef{"ServiceEndpoints", "c2/shop.example", intent.endpoints.at("c2/shop.example").version}));
}

TEST(Translator, TellsOurGatewaysWhichMembershipsCountAndStockEnvoyNothing) {
  Translator translator(Identity("edge"));
  Intent intent = EdgeIntent();
  const auto trust = [&](NodeProfile profile) {
    return Get<tls::Secret>(*translator.Translate(intent, Edge(), "edge/t1", profile), xds::kSecret, "trust")
        .validation_context();
  };
  EXPECT_FALSE(trust(kOurs).has_custom_validator_config());  // Nothing is known of them.
  const auto say = [&](int lowest) {
    Put<mesh::v1::TrustBundle>(
        fmt::format(R"(name: "weir" root_pem: "ROOT" memberships {{ uid: "u1" lowest_generation: {}
                                              trust_domain: "c1.weir" }})",
                    lowest),
        &intent);
  };
  for (const int lowest : {1, 2}) {
    say(lowest);
    const auto ours = trust(kOurs);
    EXPECT_EQ(ours.trusted_ca().inline_string(), "ROOT");
    EXPECT_EQ(ours.custom_validator_config().name(), "dev.weir.generations");
    google::protobuf::Struct generations;
    ASSERT_TRUE(ours.custom_validator_config().typed_config().UnpackTo(&generations));
    EXPECT_EQ(generations.fields().at("u1").number_value(), lowest);
    EXPECT_FALSE(trust(kStock).has_custom_validator_config());
  }
}

}  // namespace
}  // namespace weir::translate
