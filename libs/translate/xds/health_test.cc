#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "envoy/extensions/filters/http/health_check/v3/health_check.pb.h"
#include "libs/translate/xds/samples.h"

namespace weir::translate {
namespace {

using namespace samples;  // NOLINT
using testing::ElementsAre;
using testing::HasSubstr;
using FilterCheck = ::envoy::extensions::filters::http::health_check::v3::HealthCheck;

std::shared_ptr<const NodeConfig> Edge1(const Intent& intent, NodeProfile profile, const Facts& facts = Edge()) {
  return Translator(Identity("edge")).Translate(intent, facts, "edge/t1", profile);
}
std::shared_ptr<const NodeConfig> InC1(const std::string& workload, NodeProfile profile,
                                       const Facts& facts = InCluster(), const Intent& intent = InClusterIntent()) {
  return Translator(Identity("c1")).Translate(intent, facts, workload, profile);
}
google::protobuf::Map<std::string, google::protobuf::Value> Ours(const core::Metadata& metadata) {
  const auto found = metadata.filter_metadata().find("dev.weir");
  if (found == metadata.filter_metadata().end()) return {};
  return found->second.fields();
}
Intent WithSet(const std::string& set) {
  Intent intent = EdgeIntent();
  Put<mesh::v1::DestinationSet>("name: 'set' hostname: 'shop.example' " + set, &intent);
  return intent;
}
std::vector<std::string> PlacesAtEdge(const std::string& set) {
  std::vector<std::string> out;
  const auto assignment = Get<endpoint::ClusterLoadAssignment>(*Edge1(WithSet(set), kOurs), xds::kEndpoints, "set");
  for (const auto& locality : assignment.endpoints()) {
    const auto ours = Ours(locality.metadata());
    out.push_back(fmt::format("{} p{} w{}{}{}", locality.locality().sub_zone(), locality.priority(),
                              locality.load_balancing_weight().value(), ours.contains("standby") ? " standby" : "",
                              ours.contains("drained") ? " drained" : ""));
  }
  return out;
}

TEST(TranslateHealth, SaysWhetherAllAreAskedWhileNobodyCanServe) {
  for (const NodeProfile& profile : {kOurs, kStock}) {
    const auto threshold = [&](const std::string& set) {
      return Get<cluster::Cluster>(*Edge1(WithSet(set), profile), xds::kCluster, "set")
          .common_lb_config()
          .healthy_panic_threshold()
          .value();
    };
    EXPECT_EQ(threshold("clusters { cluster: 'c1' endpoints: 'c1/shop' }"), 0);
    EXPECT_EQ(threshold("clusters { cluster: 'c1' endpoints: 'c1/shop' } panic: true"), 1);
  }
}

TEST(TranslateTrust, TellsOursForHowLongALeafThatHasRunOutIsBelieved) {
  Intent intent = EdgeIntent();
  const auto generations = [&](uint32_t grace) {
    Put<mesh::v1::TrustBundle>(
        fmt::format("name: 'weir' root_pem: 'ROOT' memberships {{ uid: 'u1' lowest_generation: 1 "
                    "}} expired_grace_seconds: {}",
                    grace),
        &intent);
    const auto secret = Get<tls::Secret>(*Edge1(intent, kOurs), xds::kSecret, "trust");
    google::protobuf::Struct fields;
    EXPECT_TRUE(secret.validation_context().custom_validator_config().typed_config().UnpackTo(&fields));
    return fields.fields();
  };
  EXPECT_FALSE(generations(0).contains("expired.grace"));
  EXPECT_EQ(generations(60).at("expired.grace").number_value(), 60);
  EXPECT_EQ(generations(60).at("u1").number_value(), 1);
}

TEST(TranslateHealth, AsksTier2WhatItCanServeAndOursForTheDigest) {
  const auto cluster = Get<cluster::Cluster>(*Edge1(EdgeIntent(), kOurs), xds::kCluster, "set");
  ASSERT_EQ(cluster.health_checks_size(), 1);
  const auto& check = cluster.health_checks(0);
  EXPECT_EQ(check.http_health_check().path(), "/.weir/health");
  EXPECT_EQ(check.http_health_check().host(), "shop.example");
  EXPECT_EQ(check.interval().seconds(), 1);
  EXPECT_EQ(check.timeout().nanos(), 500'000'000);
  EXPECT_EQ(check.unhealthy_threshold().value(), 2u);
  EXPECT_EQ(check.healthy_threshold().value(), 3u);
  const auto ours = Ours(cluster.metadata());
  EXPECT_TRUE(ours.at("digest").bool_value());
  EXPECT_EQ(ours.at("hold_ms").number_value(), 10'000);
  EXPECT_EQ(ours.at("slow_return_ms").number_value(), 10'000);
  EXPECT_EQ(ours.at("mode").string_value(), "PROPORTIONAL");
  EXPECT_FALSE(cluster.has_outlier_detection());
}

TEST(TranslateHealth, TellsStockEnvoyToSetAsideWhatCannotBeReachedButNotWhatAnApplicationAnswers) {
  const auto cluster = Get<cluster::Cluster>(*Edge1(EdgeIntent(), kStock), xds::kCluster, "set");
  const auto& outlier = cluster.outlier_detection();
  EXPECT_TRUE(outlier.split_external_local_origin_errors());
  EXPECT_EQ(outlier.consecutive_local_origin_failure().value(), 2u);
  EXPECT_EQ(outlier.max_ejection_percent().value(), 100u);
  EXPECT_EQ(outlier.enforcing_consecutive_5xx().value(), 0u);
  EXPECT_EQ(outlier.base_ejection_time().seconds(), 10);
  EXPECT_EQ(cluster.health_checks(0).no_traffic_interval().seconds(), 1);
  EXPECT_EQ(cluster.circuit_breakers().thresholds(0).retry_budget().budget_percent().value(), 20);
  EXPECT_TRUE(cluster.common_lb_config().has_update_merge_window());  // 0: at once.
  EXPECT_TRUE(cluster.close_connections_on_host_health_failure());
}

TEST(TranslateHealth, StretchesChecksSoThatOneTier2SeesAtMost200PerSecond) {
  EXPECT_EQ(StretchedInterval(0), 1'000);
  EXPECT_EQ(StretchedInterval(200), 1'000);
  EXPECT_EQ(StretchedInterval(201), 2'000);
  EXPECT_EQ(StretchedInterval(10'000), 64'000);
  Intent intent = EdgeIntent();
  for (int i = 0; i < 150; ++i) {
    const std::string host = fmt::format("h{}.example", i);
    Put<mesh::v1::Host>(fmt::format("name: 'edge/app=t1/80/{0}' listener: 'edge/app=t1/80' hostname: '{0}' "
                                    "routes {{ name: 'web/0' destination_set: '{0}' }}",
                                    host),
                        &intent);
    Put<mesh::v1::DestinationSet>(
        fmt::format("name: '{0}' hostname: '{0}' clusters {{ cluster: '{1}' endpoints: '{1}/shop.example' }}", host,
                    i < 100 ? "c1" : "c2"),
        &intent);
  }
  std::string edge;
  for (const char* name : {"t1", "other", "third"}) {
    edge += std::string("workloads { name: '") + name +
            "' namespace: 'edge' labels { key: 'app' value: 't1' } addresses: '127.0.1.10' }";
  }
  const auto config = Edge1(intent, kStock, MakeFacts(edge));
  const auto interval = [&](const std::string& set) {
    return Get<cluster::Cluster>(*config, xds::kCluster, set).health_checks(0).interval().seconds();
  };
  EXPECT_EQ(interval("h0.example"), 2);    // 100 hosts on it, from 3 gateways.
  EXPECT_EQ(interval("h149.example"), 1);  // 50.
}

TEST(TranslateHealth, GivesEachClusterItsPlace) {
  EXPECT_THAT(
      PlacesAtEdge("clusters { cluster: 'c1' weight: 75 } clusters { cluster: 'c2' weight: 25 }"
                   "clusters { cluster: 'c3' weight: 0 priority: 3 } clusters { cluster: 'c4' weight: 0 priority: 2 }"),
      ElementsAre("c1 p0 w75", "c2 p0 w25", "c3 p2 w1 standby", "c4 p1 w1 standby"));
  EXPECT_THAT(
      PlacesAtEdge("clusters { cluster: 'c1' priority: 1 } clusters { cluster: 'c2' } clusters { cluster: 'c3' }"),
      ElementsAre("c1 p1 w1", "c2 p0 w1", "c3 p0 w1"));
  EXPECT_THAT(PlacesAtEdge("mode: ORDERED clusters { cluster: 'c1' priority: 2 } clusters { cluster: 'c2' priority: 0 }"
                           "clusters { cluster: 'c3' priority: 1 }"),
              ElementsAre("c2 p0 w1", "c3 p1 w1", "c1 p2 w1"));
  EXPECT_THAT(PlacesAtEdge("mode: ORDERED clusters { cluster: 'c1' weight: 50 priority: 2 } clusters { cluster: 'c2' "
                           "weight: 0 priority: 1 } clusters { cluster: 'c3' weight: 50 }"),
              ElementsAre("c3 p0 w50", "c2 p1 w1 standby", "c1 p0 w50"));
}

// Envoy asks a later priority when nobody of the earlier ones is healthy; our gateways are told in words, too.
TEST(TranslateHealth, PutsClustersOnStandbyBehindWithTheirWeights) {
  EXPECT_THAT(PlacesAtEdge("clusters { cluster: 'c1' weight: 75 standby: true priority: 2 }"
                           "clusters { cluster: 'c2' weight: 25 standby: true priority: 2 }"
                           "clusters { cluster: 'c3' weight: 0 priority: 1 } clusters { cluster: 'c4' weight: 9 }"),
              ElementsAre("c1 p2 w75 standby", "c2 p2 w25 standby", "c3 p1 w1 standby", "c4 p0 w9"));
  EXPECT_THAT(PlacesAtEdge("clusters { cluster: 'c1' weight: 75 standby: true }"
                           "clusters { cluster: 'c2' weight: 25 standby: true }"),
              ElementsAre("c1 p0 w75 standby", "c2 p0 w25 standby"));
  EXPECT_THAT(PlacesAtEdge("clusters { cluster: 'c1' standby: true priority: 1 } clusters { cluster: 'c2' }"),
              ElementsAre("c1 p1 w1", "c2 p0 w1"));
}

TEST(TranslateHealth, KeepsADrainedClusterForOursAndDrainsItsEndpointsForEnvoy) {
  const std::string set =
      "clusters { cluster: 'c1' weight: 75 endpoints: 'c1/shop.example' drained: true }"
      "clusters { cluster: 'c2' weight: 25 endpoints: 'c2/shop.example' }";
  EXPECT_THAT(PlacesAtEdge(set), ElementsAre("c1 p0 w75 drained", "c2 p0 w25"));
  const auto ours = Get<endpoint::ClusterLoadAssignment>(*Edge1(WithSet(set), kOurs), xds::kEndpoints, "set");
  EXPECT_EQ(ours.endpoints(0).lb_endpoints(0).health_status(), core::UNKNOWN);
  const auto stock = Get<endpoint::ClusterLoadAssignment>(*Edge1(WithSet(set), kStock), xds::kEndpoints, "set");
  EXPECT_EQ(stock.endpoints(0).lb_endpoints(0).health_status(), core::DRAINING);
  EXPECT_EQ(stock.endpoints(1).lb_endpoints(0).health_status(), core::UNKNOWN);
}

TEST(TranslateHealth, GivesTier2AChainForTheDigestThatOnlyItsCallersMayUse) {
  const auto mesh = Get<envoy_v3::listener::Listener>(*InC1("in/t2", kOurs), xds::kListener, "15443");
  const auto found = std::find_if(mesh.filter_chains().begin(), mesh.filter_chains().end(),
                                  [](const auto& chain) { return chain.name() == "weir.health"; });
  ASSERT_NE(found, mesh.filter_chains().end());
  const auto& chain = *found;
  EXPECT_THAT(chain.filter_chain_match().server_names(), ElementsAre("health.c1.weir"));
  tls::DownstreamTlsContext context;
  ASSERT_TRUE(chain.transport_socket().typed_config().UnpackTo(&context));
  EXPECT_TRUE(context.require_client_certificate().value());
  const auto& sans = context.common_tls_context().combined_validation_context().default_validation_context();
  ASSERT_EQ(sans.match_typed_subject_alt_names_size(), 1);
  EXPECT_EQ(sans.match_typed_subject_alt_names(0).matcher().exact(), "spiffe://edge.weir/ns/edge/sa/default");
  hcm::HttpConnectionManager http;
  ASSERT_TRUE(chain.filters(0).typed_config().UnpackTo(&http));
  EXPECT_EQ(http.route_config().virtual_hosts(0).routes(0).direct_response().status(), 404u);
}

TEST(TranslateHealth, LetsStockEnvoyAnswerForWhatStandsBehindEachChain) {
  const auto answered = [](const envoy_v3::listener::FilterChain& chain) -> std::vector<std::string> {
    hcm::HttpConnectionManager http;
    if (!chain.filters(0).typed_config().UnpackTo(&http) || http.http_filters_size() < 2) return {};
    FilterCheck check;
    if (!http.http_filters(0).typed_config().UnpackTo(&check)) return {"not first"};
    EXPECT_EQ(check.headers(0).string_match().exact(), "/.weir/health");
    std::vector<std::string> out;
    for (const auto& [name, percent] : check.cluster_min_healthy_percentages()) {
      out.push_back(fmt::format("{} {}", name, percent.value()));
    }
    return out;
  };
  const auto tier2 = Get<envoy_v3::listener::Listener>(*InC1("in/t2", kStock), xds::kListener, "15443");
  EXPECT_TRUE(answered(tier2.filter_chains(0)).empty());  // The digest's: stock Envoy has none.
  EXPECT_THAT(answered(tier2.filter_chains(1)), ElementsAre("service/shop/web.shop.svc.cluster.local:80 1"));
  const auto pod = Get<envoy_v3::listener::Listener>(*InC1("shop/pod1", kStock), xds::kListener, "15443");
  EXPECT_THAT(answered(pod.filter_chains(0)), ElementsAre("app/80 1"));
  const auto ours = Get<envoy_v3::listener::Listener>(*InC1("in/t2", kOurs), xds::kListener, "15443");
  EXPECT_TRUE(answered(ours.filter_chains(1)).empty());
}

TEST(TranslateHealth, ChecksAnAppAsItsServiceAsksElseByConnecting) {
  const auto tcp = Get<cluster::Cluster>(*InC1("shop/pod1", kOurs), xds::kCluster, "app/80");
  EXPECT_TRUE(tcp.health_checks(0).has_tcp_health_check());
  Facts facts = InCluster();
  auto service = std::make_shared<v1::Service>(*facts.services.at("shop/web"));
  service->mutable_health_check()->set_path("/healthz");
  service->mutable_health_check()->set_port(80);
  facts.services["shop/web"] = service;
  const auto http = Get<cluster::Cluster>(*InC1("shop/pod1", kOurs, facts), xds::kCluster, "app/80");
  EXPECT_EQ(http.health_checks(0).http_health_check().path(), "/healthz");
  EXPECT_EQ(http.health_checks(0).http_health_check().expected_statuses(0).end(), 300);
  EXPECT_EQ(http.load_assignment().endpoints(0).lb_endpoints(0).endpoint().health_check_config().port_value(), 8080u);
  // Pods are asked the same question by their tier 2; nothing is held inside a cluster.
  const auto local =
      Get<cluster::Cluster>(*InC1("in/t2", kOurs), xds::kCluster, "service/shop/web.shop.svc.cluster.local:80");
  EXPECT_EQ(local.health_checks(0).http_health_check().path(), "/.weir/health");
  EXPECT_EQ(Ours(local.metadata()).at("hold_ms").number_value(), 0);
  EXPECT_FALSE(Ours(local.metadata()).contains("digest"));
}

TEST(TranslateRetry, SaysWhatIsIdempotentToOursAndThreeRoutesToStockEnvoy) {
  Intent intent = EdgeIntent();
  Put<mesh::v1::Host>(R"(name: "edge/app=t1/80/shop.example" hostname: "shop.example" listener: "edge/app=t1/80"
    routes { name: "web/0" match { prefix: "/pay" } destination_set: "set" idempotent: true }
    routes { name: "web/1" destination_set: "set" })",
                      &intent);
  const auto ours = Get<route::VirtualHost>(*Edge1(intent, kOurs), xds::kVirtualHost, "edge/app=t1/80/shop.example");
  ASSERT_EQ(ours.routes_size(), 2);
  EXPECT_TRUE(Ours(ours.routes(0).metadata()).at("idempotent").bool_value());
  EXPECT_FALSE(ours.routes(0).route().has_retry_policy());
  EXPECT_FALSE(Ours(ours.routes(1).metadata()).contains("idempotent"));

  const auto routes = Get<route::RouteConfiguration>(*Edge1(intent, kStock), xds::kRoute, "edge/app=t1/80");
  const auto& stock = routes.virtual_hosts(0);
  ASSERT_EQ(stock.routes_size(), 5);
  EXPECT_EQ(stock.routes(0).match().path_separated_prefix(), "/.weir");
  EXPECT_EQ(stock.routes(0).direct_response().status(), 404u);
  const auto retry = [&](int i) { return stock.routes(i).route().retry_policy(); };
  EXPECT_THAT(retry(1).retry_on(), HasSubstr("gateway-error"));
  EXPECT_EQ(stock.routes(2).match().headers(0).name(), ":method");
  EXPECT_THAT(retry(2).retry_on(), HasSubstr("reset"));
  EXPECT_EQ(stock.routes(3).match().headers(0).name(), "idempotency-key");
  EXPECT_EQ(retry(4).retry_on(), "connect-failure,refused-stream,retriable-headers");
  ASSERT_EQ(retry(4).retriable_headers_size(), 2);  // What says that it reached nobody.
  EXPECT_EQ(retry(4).retriable_headers(0).name(), "x-weir-reason");
  EXPECT_EQ(retry(4).retriable_headers(0).string_match().exact(), "no_cluster_can_serve");
  EXPECT_EQ(retry(4).retry_host_predicate(0).name(), "envoy.retry_host_predicates.previous_hosts");
  EXPECT_FALSE(retry(4).has_retry_priority());  // Two clusters share the first place.
}

TEST(TranslateRetry, SkipsThePlaceThatFailedWhenOneClusterComesFirst) {
  const auto retry = [](const std::string& set) {
    const auto routes = Get<route::RouteConfiguration>(*Edge1(WithSet(set), kStock), xds::kRoute, "edge/app=t1/80");
    return routes.virtual_hosts(0).routes(routes.virtual_hosts(0).routes_size() - 1).route().retry_policy();
  };
  EXPECT_TRUE(retry("mode: ORDERED clusters { cluster: 'c1' } clusters { cluster: 'c2' }").has_retry_priority());
  EXPECT_FALSE(retry("clusters { cluster: 'c1' } clusters { cluster: 'c2' }").has_retry_priority());
  EXPECT_FALSE(retry("clusters { cluster: 'c1' }").has_retry_priority());
}

TEST(TranslateRoutes, SendsThePathsOfOneHostToSeveralSets) {
  Intent intent = EdgeIntent();
  Put<mesh::v1::Host>(R"(name: "edge/app=t1/80/shop.example" hostname: "shop.example" listener: "edge/app=t1/80"
    routes { name: "web/0" match { prefix: "/pay" } destination_set: "pay" }
    routes { name: "web/1" destination_set: "set" })",
                      &intent);
  Put<mesh::v1::DestinationSet>(
      "name: 'pay' hostname: 'shop.example' clusters { cluster: 'c2' weight: 1 endpoints: 'c2/shop.example' }",
      &intent);
  const auto config = Edge1(intent, kOurs);
  EXPECT_THAT(Names(*config, xds::kCluster), ElementsAre("pay", "set"));
  EXPECT_THAT(Names(*config, xds::kEndpoints), ElementsAre("pay", "set"));
  const auto host = Get<route::VirtualHost>(*config, xds::kVirtualHost, "edge/app=t1/80/shop.example");
  EXPECT_EQ(host.routes(0).route().cluster(), "pay");
  EXPECT_EQ(host.routes(1).route().cluster(), "set");
}

TEST(TranslateHealth, BuildsOnlyTheSetWhoseClusterIsDrained) {
  Translator translator(Identity("edge"));
  Intent intent = EdgeIntent();
  for (const NodeProfile profile : {kOurs, kStock}) {
    const auto was = translator.Translate(EdgeIntent(), Edge(), "edge/t1", profile);
    const uint64_t before = translator.built();
    Put<mesh::v1::DestinationSet>(R"(name: "set" hostname: "shop.example"
      clusters { cluster: "c1" weight: 75 endpoints: "c1/shop.example" region: "eu" drained: true }
      clusters { cluster: "c2" weight: 25 endpoints: "c2/shop.example" region: "us" }
      clusters { cluster: "c3" weight: 0 endpoints: "c3/shop.example" })",
                                  &intent);
    const auto is = translator.Translate(intent, Edge(), "edge/t1", profile);
    EXPECT_EQ(translator.built(), before + 3);  // Cluster, endpoints, and the host that leads there: how it repeats.
    std::vector<std::string> sent;
    for (const auto& [url, resources] : is->types) {
      for (const auto& [name, resource] : resources) {
        if (was->Find(url, name)->resource->version != resource->resource->version) sent.push_back(url);
      }
    }
    EXPECT_THAT(sent, testing::ElementsAre(xds::kEndpoints));
  }
}

}  // namespace
}  // namespace weir::translate
