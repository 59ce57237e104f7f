// weir-bench-lastgood PATH NODE LISTEN BACKEND ROUTES [CALLER ROOT_FILE]: writes the last-good file of a gateway with
// ROUTES hosts, so that the real program can be measured without a control plane. The first host is
// servicea.example.com. With CALLER the listener is one of the mesh: TLS, a client certificate with that SPIFFE id.
#include <google/protobuf/any.pb.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "libs/base/file.h"
#include "libs/xds/protocol/last_good.h"

namespace {

using weir::xds::MakeResource;

void SetAddress(envoy::config::core::v3::Address* address, const std::string& where) {
  const size_t colon = where.rfind(':');
  address->mutable_socket_address()->set_address(where.substr(0, colon));
  address->mutable_socket_address()->set_port_value(static_cast<uint32_t>(std::atoi(where.c_str() + colon + 1)));
}

constexpr char kHost[] = "servicea.example.com";

void FromAds(envoy::config::core::v3::ConfigSource* source) {
  source->mutable_ads();
  source->set_resource_api_version(envoy::config::core::v3::V3);
}

void SetMeshTls(const std::string& caller, envoy::config::listener::v3::FilterChain* chain) {
  chain->mutable_filter_chain_match()->add_server_names(kHost);
  envoy::extensions::transport_sockets::tls::v3::DownstreamTlsContext context;
  context.mutable_require_client_certificate()->set_value(true);
  auto* common = context.mutable_common_tls_context();
  auto* own = common->add_tls_certificate_sds_secret_configs();
  own->set_name("identity");
  FromAds(own->mutable_sds_config());
  auto* validation = common->mutable_combined_validation_context();
  validation->mutable_validation_context_sds_secret_config()->set_name("trust");
  FromAds(validation->mutable_validation_context_sds_secret_config()->mutable_sds_config());
  auto* san = validation->mutable_default_validation_context()->add_match_typed_subject_alt_names();
  san->set_san_type(envoy::extensions::transport_sockets::tls::v3::SubjectAltNameMatcher::URI);
  san->mutable_matcher()->set_exact(caller);
  chain->mutable_transport_socket()->set_name("envoy.transport_sockets.tls");
  chain->mutable_transport_socket()->mutable_typed_config()->PackFrom(context);
}

std::string Listener(const std::string& where, const std::string& caller) {
  envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager hcm;
  hcm.set_stat_prefix("bench");
  hcm.mutable_rds()->set_route_config_name("bench");
  FromAds(hcm.mutable_rds()->mutable_config_source());
  auto* filter = hcm.add_http_filters();
  filter->set_name("envoy.filters.http.router");
  filter->mutable_typed_config()->PackFrom(envoy::extensions::filters::http::router::v3::Router());
  envoy::config::listener::v3::Listener listener;
  listener.set_name("bench");
  SetAddress(listener.mutable_address(), where);
  auto* chain = listener.add_filter_chains();
  if (!caller.empty()) SetMeshTls(caller, chain);
  auto* network = chain->add_filters();
  network->set_name("envoy.filters.network.http_connection_manager");
  network->mutable_typed_config()->PackFrom(hcm);
  return listener.SerializeAsString();
}

std::string VirtualHost(const std::string& name, const std::string& host) {
  envoy::config::route::v3::VirtualHost out;
  out.set_name(name);
  out.add_domains(host);
  auto* route = out.add_routes();
  route->mutable_match()->set_prefix("/");
  route->mutable_route()->set_cluster(host);
  route->mutable_route()->mutable_timeout()->set_seconds(15);
  return out.SerializeAsString();
}

std::string Cluster(const std::string& name) {
  envoy::config::cluster::v3::Cluster cluster;
  cluster.set_name(name);
  cluster.set_type(envoy::config::cluster::v3::Cluster::EDS);
  FromAds(cluster.mutable_eds_cluster_config()->mutable_eds_config());
  cluster.mutable_connect_timeout()->set_nanos(500'000'000);
  cluster.mutable_common_lb_config()->mutable_locality_weighted_lb_config();
  return cluster.SerializeAsString();
}

std::string Endpoints(const std::string& name, const std::string& backend) {
  envoy::config::endpoint::v3::ClusterLoadAssignment assignment;
  assignment.set_cluster_name(name);
  auto* locality = assignment.add_endpoints();
  locality->mutable_locality()->set_sub_zone("cluster1");
  locality->mutable_load_balancing_weight()->set_value(100);
  SetAddress(locality->add_lb_endpoints()->mutable_endpoint()->mutable_address(), backend);
  return assignment.SerializeAsString();
}

std::string Trust(const std::string& roots) {
  envoy::extensions::transport_sockets::tls::v3::Secret secret;
  secret.set_name("trust");
  secret.mutable_validation_context()->mutable_trusted_ca()->set_inline_string(roots);
  return secret.SerializeAsString();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6 && argc != 8) {
    std::fprintf(stderr, "usage: weir-bench-lastgood PATH NODE LISTEN BACKEND ROUTES [CALLER ROOT_FILE]\n");
    return 2;
  }
  const std::string caller = argc == 8 ? argv[6] : "";
  std::map<std::string_view, std::shared_ptr<weir::xds::Resources>> types;
  for (const auto type : {weir::xds::kListener, weir::xds::kRoute, weir::xds::kVirtualHost, weir::xds::kCluster,
                          weir::xds::kEndpoints, weir::xds::kSecret}) {
    types[type] = std::make_shared<weir::xds::Resources>();
  }
  const auto add = [&](std::string_view type, const std::string& name, const std::string& bytes) {
    (*types[type])[name] = MakeResource(name, bytes);
  };
  add(weir::xds::kListener, "bench", Listener(argv[3], caller));
  envoy::config::route::v3::RouteConfiguration routes;
  routes.set_name("bench");
  FromAds(routes.mutable_vhds()->mutable_config_source());
  add(weir::xds::kRoute, "bench", routes.SerializeAsString());
  for (int i = 0; i < std::atoi(argv[5]); ++i) {
    const std::string host = i == 0 ? kHost : "host" + std::to_string(i) + ".example.com";
    add(weir::xds::kVirtualHost, "bench/" + host, VirtualHost("bench/" + host, host));
    add(weir::xds::kCluster, host, Cluster(host));
    add(weir::xds::kEndpoints, host, Endpoints(host, argv[4]));
  }
  if (!caller.empty()) {
    const auto roots = weir::ReadFile(argv[7]);
    if (!roots.ok()) return std::fprintf(stderr, "%s\n", roots.error().ToString().c_str()), 1;
    add(weir::xds::kSecret, "trust", Trust(*roots));
  }
  weir::xds::Snapshot snapshot;
  for (const auto& [type, resources] : types) snapshot.types[std::string(type)] = resources;
  const auto written = weir::xds::WriteLastGood(argv[1], snapshot, argv[2], weir::Clock::Real().Wall());
  if (!written.ok()) return std::fprintf(stderr, "%s\n", written.error().ToString().c_str()), 1;
}
