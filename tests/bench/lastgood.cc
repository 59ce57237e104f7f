// weir-bench-lastgood PATH NODE LISTEN BACKEND ROUTES: writes the last-good file of a gateway with ROUTES hosts, so
// that the real program can be measured without a control plane. The first host is servicea.example.com.
#include <google/protobuf/any.pb.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "libs/xds/protocol/last_good.h"

namespace {

using weir::xds::MakeResource;

void SetAddress(envoy::config::core::v3::Address* address, const std::string& where) {
  const size_t colon = where.rfind(':');
  address->mutable_socket_address()->set_address(where.substr(0, colon));
  address->mutable_socket_address()->set_port_value(static_cast<uint32_t>(std::atoi(where.c_str() + colon + 1)));
}

std::string Listener(const std::string& where) {
  envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager hcm;
  hcm.set_stat_prefix("bench");
  hcm.mutable_rds()->set_route_config_name("bench");
  hcm.mutable_rds()->mutable_config_source()->mutable_ads();
  hcm.mutable_rds()->mutable_config_source()->set_resource_api_version(envoy::config::core::v3::V3);
  auto* filter = hcm.add_http_filters();
  filter->set_name("envoy.filters.http.router");
  filter->mutable_typed_config()->PackFrom(envoy::extensions::filters::http::router::v3::Router());
  envoy::config::listener::v3::Listener listener;
  listener.set_name("bench");
  SetAddress(listener.mutable_address(), where);
  auto* network = listener.add_filter_chains()->add_filters();
  network->set_name("envoy.filters.network.http_connection_manager");
  network->mutable_typed_config()->PackFrom(hcm);
  return listener.SerializeAsString();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) return std::fprintf(stderr, "usage: weir-bench-lastgood PATH NODE LISTEN BACKEND ROUTES\n"), 2;
  const int routes = std::atoi(argv[5]);
  auto listeners = std::make_shared<weir::xds::Resources>();
  (*listeners)["bench"] = MakeResource("bench", Listener(argv[3]));

  envoy::config::route::v3::RouteConfiguration config;
  config.set_name("bench");
  auto clusters = std::make_shared<weir::xds::Resources>();
  auto endpoints = std::make_shared<weir::xds::Resources>();
  for (int i = 0; i < routes; ++i) {
    const std::string host = i == 0 ? "servicea.example.com" : "host" + std::to_string(i) + ".example.com";
    auto* virtual_host = config.add_virtual_hosts();
    virtual_host->set_name(host);
    virtual_host->add_domains(host);
    auto* route = virtual_host->add_routes();
    route->mutable_match()->set_prefix("/");
    route->mutable_route()->set_cluster(host);
    envoy::config::cluster::v3::Cluster cluster;
    cluster.set_name(host);
    cluster.set_type(envoy::config::cluster::v3::Cluster::EDS);
    cluster.mutable_eds_cluster_config()->mutable_eds_config()->mutable_ads();
    cluster.mutable_eds_cluster_config()->mutable_eds_config()->set_resource_api_version(envoy::config::core::v3::V3);
    cluster.mutable_connect_timeout()->set_nanos(500'000'000);
    cluster.mutable_common_lb_config()->mutable_locality_weighted_lb_config();
    (*clusters)[host] = MakeResource(host, cluster.SerializeAsString());
    envoy::config::endpoint::v3::ClusterLoadAssignment assignment;
    assignment.set_cluster_name(host);
    auto* locality = assignment.add_endpoints();
    locality->mutable_locality()->set_sub_zone("cluster1");
    locality->mutable_load_balancing_weight()->set_value(100);
    SetAddress(locality->add_lb_endpoints()->mutable_endpoint()->mutable_address(), argv[4]);
    (*endpoints)[host] = MakeResource(host, assignment.SerializeAsString());
  }
  auto route_configs = std::make_shared<weir::xds::Resources>();
  (*route_configs)["bench"] = MakeResource("bench", config.SerializeAsString());
  weir::xds::Snapshot snapshot;
  snapshot.types[std::string(weir::xds::kListener)] = listeners;
  snapshot.types[std::string(weir::xds::kRoute)] = route_configs;
  snapshot.types[std::string(weir::xds::kCluster)] = clusters;
  snapshot.types[std::string(weir::xds::kEndpoints)] = endpoints;
  const auto written = weir::xds::WriteLastGood(argv[1], snapshot, argv[2], weir::Clock::Real().Wall());
  if (!written.ok()) return std::fprintf(stderr, "%s\n", written.error().ToString().c_str()), 1;
}
