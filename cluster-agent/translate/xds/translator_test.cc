#include "cluster-agent/translate/xds/translator.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "api/weir/agent/v1/discovery.pb.h"
#include "cluster-agent/discovery/discovery.h"
#include "cluster-agent/translate/xds/envoy.h"

namespace weir::agent {
namespace {

using namespace envoy_v3;  // NOLINT: the vocabulary of this file.
using testing::ElementsAre;
using testing::HasSubstr;

template <typename Message>
Message Text(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

template <typename Message>
void Put(const std::string& text, Intent* intent) {
  const Message message = Text<Message>(text);
  const std::string bytes = Bytes(message);
  const Status status = UpsertIntent("type.googleapis.com/" + Message::descriptor()->full_name(), message.name(),
                                     Sha256Hex(bytes).substr(0, 16), bytes, intent);
  ASSERT_TRUE(status.ok()) << status.error().ToString();
}

Facts MakeFacts(const std::string& text) { return FactsFrom(Text<v1::Discovery>(text)); }

Facts Edge() {
  return MakeFacts(R"(workloads { name: "t1" namespace: "edge" labels { key: "app" value: "t1" } addresses: "127.0.1.10"
                                  ports { key: 80 value: 18080 } })");
}

Intent EdgeIntent() {
  Intent intent;
  Put<mesh::v1::Listener>(R"(name: "edge/app=t1/80" port: 80 tier: TIER1 hosts: "edge/app=t1/80/shop.example"
                             selector { namespace: "edge" labels { key: "app" value: "t1" } })",
                          &intent);
  Put<mesh::v1::Host>(R"(name: "edge/app=t1/80/shop.example" hostname: "shop.example"
    routes { name: "web/0" match { exact: "/old" } match { prefix: "/older/" } redirect { authority: "new.example" code: 308 } }
    routes { name: "web/1" match { prefix: "/ping" } direct_response { status: 204 } }
    routes { name: "web/2" destination_set: "set" })",
                      &intent);
  Put<mesh::v1::DestinationSet>(R"(name: "set" hostname: "shop.example"
    clusters { cluster: "c1" weight: 75 endpoints: "c1/shop.example" region: "eu" }
    clusters { cluster: "c2" weight: 25 endpoints: "c2/shop.example" region: "us" }
    clusters { cluster: "c3" weight: 0 endpoints: "c3/shop.example" })",
                                &intent);
  Put<mesh::v1::ServiceEndpoints>(
      R"(name: "c1/shop.example" cluster: "c1" hostname: "shop.example" trust_domain: "c1.weir"
    endpoints { address: "127.0.2.10" port: 15443 spiffe_id: "spiffe://c1.weir/ns/in/sa/t2" })",
      &intent);
  Put<mesh::v1::ServiceEndpoints>(
      R"(name: "c2/shop.example" cluster: "c2" hostname: "shop.example" trust_domain: "c2.weir"
    endpoints { address: "127.0.3.10" port: 15443 spiffe_id: "spiffe://c2.weir/ns/in/sa/t2" })",
      &intent);
  Put<mesh::v1::TrustBundle>(R"(name: "weir" root_pem: "ROOT")", &intent);
  return intent;
}

Facts InCluster() {
  return MakeFacts(R"(
    workloads { name: "t2" namespace: "in" labels { key: "app" value: "t2" } addresses: "127.0.2.10" service_account: "t2" }
    workloads { name: "pod1" namespace: "shop" labels { key: "app" value: "web" } addresses: "127.0.2.21" ports { key: 80 value: 8080 } }
    workloads { name: "pod2" namespace: "shop" labels { key: "app" value: "web" } addresses: "127.0.2.22" ports { key: 80 value: 8080 } }
    services { name: "web" namespace: "shop" ports: 80 selector { key: "app" value: "web" } })");
}

Intent InClusterIntent() {
  Intent intent;
  Put<mesh::v1::Listener>(R"(name: "in/app=t2/80" port: 80 tier: TIER2 hosts: "in/app=t2/80/shop.example"
    selector { namespace: "in" labels { key: "app" value: "t2" } } allowed_callers: "spiffe://edge.weir/ns/edge/sa/default")",
                          &intent);
  Put<mesh::v1::Host>(
      R"(name: "in/app=t2/80/shop.example" hostname: "shop.example" routes { name: "web/0" destination_set: "local" timeout { seconds: 3 } })",
      &intent);
  Put<mesh::v1::DestinationSet>(R"(name: "local" hostname: "shop.example"
    service { namespace: "shop" host: "web.shop.svc.cluster.local" port: 80 })",
                                &intent);
  return intent;
}

ClusterIdentity Identity(const std::string& cluster) { return {cluster, cluster + ".weir", "ROOT"}; }

template <typename Message>
Message Get(const NodeConfig& config, std::string_view url, const std::string& name) {
  const EnvoyResource* resource = config.Find(url, name);
  Message message;
  if (resource == nullptr) {
    ADD_FAILURE() << url << " " << name << " is missing";
    return message;
  }
  EXPECT_TRUE(message.ParseFromString(resource->resource->value));
  return message;
}

std::vector<std::string> Names(const NodeConfig& config, std::string_view url) {
  std::vector<std::string> names;
  for (const auto& [name, resource] : config.types.find(url)->second) names.push_back(name);
  return names;
}

TEST(Translator, BindsADeclaredPortWhereTheWorkloadSaysAndTakesRoutesByVhds) {
  Translator translator(Identity("edge"));
  const auto config = translator.Translate(EdgeIntent(), Edge(), "edge/t1", {.vhds = true, .hardened = false});
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
  const auto config = translator.Translate(EdgeIntent(), Edge(), "edge/t1", {.vhds = true, .hardened = false});
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
  EXPECT_EQ(host.routes(3).route().timeout().seconds(), 15);
}

TEST(Translator, MakesEachClusterALocalityWithItsWeightAndStandbysALaterPriority) {
  Translator translator(Identity("edge"));
  const auto config = translator.Translate(EdgeIntent(), Edge(), "edge/t1", {.vhds = true, .hardened = false});
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
  const auto config = translator.Translate(EdgeIntent(), Edge(), "edge/t1", {.vhds = true, .hardened = false});
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
  const auto config = translator.Translate(intent, Edge(), "edge/t1", {.vhds = true, .hardened = false});
  tls::UpstreamTlsContext context;
  ASSERT_TRUE(
      Get<cluster::Cluster>(*config, xds::kCluster, "set").transport_socket().typed_config().UnpackTo(&context));
  const auto& validation = context.common_tls_context().combined_validation_context().default_validation_context();
  ASSERT_EQ(validation.match_typed_subject_alt_names_size(), 1);
  EXPECT_EQ(validation.match_typed_subject_alt_names(0).matcher().exact(), "spiffe://nobody.invalid");
}

TEST(Translator, ServesEachTier2HostOnTheMeshPortToItsCallersOnly) {
  Translator translator(Identity("c1"));
  const auto config = translator.Translate(InClusterIntent(), InCluster(), "in/t2", {.vhds = true, .hardened = false});
  EXPECT_THAT(Names(*config, xds::kListener), ElementsAre("15443", "80"));
  const auto mesh = Get<envoy_v3::listener::Listener>(*config, xds::kListener, "15443");
  ASSERT_EQ(mesh.filter_chains_size(), 1);
  EXPECT_THAT(mesh.filter_chains(0).filter_chain_match().server_names(), ElementsAre("shop.example"));
  tls::DownstreamTlsContext context;
  ASSERT_TRUE(mesh.filter_chains(0).transport_socket().typed_config().UnpackTo(&context));
  EXPECT_TRUE(context.require_client_certificate().value());
  EXPECT_EQ(context.common_tls_context()
                .combined_validation_context()
                .default_validation_context()
                .match_typed_subject_alt_names(0)
                .matcher()
                .exact(),
            "spiffe://edge.weir/ns/edge/sa/default");
  hcm::HttpConnectionManager http;
  ASSERT_TRUE(mesh.filter_chains(0).filters(0).typed_config().UnpackTo(&http));
  EXPECT_EQ(http.rds().route_config_name(), "in/app=t2/80");

  const auto endpoints = Get<endpoint::ClusterLoadAssignment>(*config, xds::kEndpoints, "local");
  ASSERT_EQ(endpoints.endpoints(0).lb_endpoints_size(), 2);
  const auto& address = endpoints.endpoints(0).lb_endpoints(0).endpoint().address().socket_address();
  EXPECT_EQ(address.address(), "127.0.2.21");
  EXPECT_EQ(address.port_value(), 15443u);
  tls::UpstreamTlsContext upstream;
  ASSERT_TRUE(
      Get<cluster::Cluster>(*config, xds::kCluster, "local").transport_socket().typed_config().UnpackTo(&upstream));
  EXPECT_EQ(upstream.sni(), "outbound_.80_._.web.shop.svc.cluster.local");
}

TEST(Translator, PutsAPodProxyBeforeEachPortOfAService) {
  Translator translator(Identity("c1"));
  const auto config =
      translator.Translate(InClusterIntent(), InCluster(), "shop/pod1", {.vhds = true, .hardened = false});
  EXPECT_THAT(Names(*config, xds::kListener), ElementsAre("15443"));
  const auto mesh = Get<envoy_v3::listener::Listener>(*config, xds::kListener, "15443");
  EXPECT_THAT(mesh.filter_chains(0).filter_chain_match().server_names(),
              ElementsAre("outbound_.80_._.web.shop.svc.cluster.local"));
  tls::DownstreamTlsContext context;
  ASSERT_TRUE(mesh.filter_chains(0).transport_socket().typed_config().UnpackTo(&context));
  EXPECT_EQ(context.common_tls_context()
                .combined_validation_context()
                .default_validation_context()
                .match_typed_subject_alt_names(0)
                .matcher()
                .prefix(),
            "spiffe://c1.weir/");
  const auto app = Get<cluster::Cluster>(*config, xds::kCluster, "app/80");
  EXPECT_EQ(app.load_assignment().endpoints(0).lb_endpoints(0).endpoint().address().socket_address().port_value(),
            8080u);
  EXPECT_EQ(app.type(), cluster::Cluster::STATIC);
}

TEST(Translator, MergesSeveralListenersOfOneWorkloadAndPort) {
  Intent intent = EdgeIntent();
  Put<mesh::v1::Listener>(
      R"(name: "edge/zone=a/80" port: 80 tier: TIER1 selector { namespace: "edge" labels { key: "app" value: "t1" } }
    hosts: "edge/zone=a/80/pay.example" hosts: "edge/zone=a/80/shop.example")",
      &intent);
  for (const std::string host : {"pay.example", "shop.example"}) {
    Put<mesh::v1::Host>(
        "name: 'edge/zone=a/80/" + host + "' hostname: '" + host + "' routes { direct_response { status: 200 } }",
        &intent);
  }
  Translator translator(Identity("edge"));
  const auto config = translator.Translate(intent, Edge(), "edge/t1", {.vhds = true, .hardened = false});
  EXPECT_THAT(Names(*config, xds::kListener), ElementsAre("80"));
  EXPECT_THAT(Names(*config, xds::kVirtualHost),
              ElementsAre("edge/app=t1/80/pay.example", "edge/app=t1/80/shop.example"));
  ASSERT_EQ(config->problems.size(), 1u);  // The same host twice: the first keeps it, and it is said.
  EXPECT_THAT(config->problems[0], HasSubstr("shop.example"));
}

TEST(Translator, GivesStockEnvoyItsVirtualHostsInline) {
  Translator translator(Identity("edge"));
  const auto config = translator.Translate(EdgeIntent(), Edge(), "edge/t1", {.vhds = false, .hardened = true});
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
  const auto config = translator.Translate(intent, Edge(), "edge/t1", {.vhds = true, .hardened = false});
  const auto host = Get<route::VirtualHost>(*config, xds::kVirtualHost, "edge/app=t1/80/shop.example");
  EXPECT_EQ(host.routes(3).direct_response().status(), 503u);
}

TEST(Translator, GivesTheSameBytesWhateverItTranslatedBefore) {
  Translator used(Identity("edge"));
  Intent other = EdgeIntent();
  other.hosts.clear();
  used.Translate(other, Edge(), "edge/t1", {.vhds = true, .hardened = false});
  used.Translate(EdgeIntent(), Edge(), "edge/t1", {.vhds = false, .hardened = true});
  const auto warm = used.Translate(EdgeIntent(), Edge(), "edge/t1", {.vhds = true, .hardened = false});
  Translator fresh(Identity("edge"));
  const auto cold = fresh.Translate(EdgeIntent(), Edge(), "edge/t1", {.vhds = true, .hardened = false});
  for (const std::string_view url : kEnvoyTypes) {
    ASSERT_EQ(Names(*warm, url), Names(*cold, url));
    for (const std::string& name : Names(*cold, url)) {
      EXPECT_EQ(warm->Find(url, name)->resource->value, cold->Find(url, name)->resource->value) << url << " " << name;
      EXPECT_EQ(warm->Find(url, name)->origins, cold->Find(url, name)->origins);
    }
  }
}

TEST(Translator, BuildsOnlyWhatAChangeTouches) {
  Translator translator(Identity("edge"));
  Intent intent = EdgeIntent();
  translator.Translate(intent, Edge(), "edge/t1", {.vhds = true, .hardened = false});
  const uint64_t before = translator.built();
  Put<mesh::v1::Host>(
      R"(name: "edge/app=t1/80/shop.example" hostname: "shop.example" routes { destination_set: "set" })", &intent);
  translator.Translate(intent, Edge(), "edge/t1", {.vhds = true, .hardened = false});
  EXPECT_EQ(translator.built(), before + 1);
}

TEST(Translator, NamesTheIntentThatEachResourceIsMadeOf) {
  const Intent intent = EdgeIntent();
  Translator translator(Identity("edge"));
  const auto config = translator.Translate(intent, Edge(), "edge/t1", {.vhds = true, .hardened = false});
  const EnvoyResource* set = config->Find(xds::kCluster, "set");
  EXPECT_THAT(
      set->origins,
      ElementsAre(IntentRef{"DestinationSet", "set", intent.destination_sets.at("set").version},
                  IntentRef{"ServiceEndpoints", "c1/shop.example", intent.endpoints.at("c1/shop.example").version},
                  IntentRef{"ServiceEndpoints", "c2/shop.example", intent.endpoints.at("c2/shop.example").version}));
}

}  // namespace
}  // namespace weir::agent
