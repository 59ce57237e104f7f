#include <algorithm>

#include "api/weir/agent/v1/discovery.pb.h"
#include "envoy/extensions/filters/http/health_check/v3/health_check.pb.h"
#include "libs/dialect/dialect.h"
#include "libs/translate/xds/envoy.h"

namespace weir::translate::envoy_v3 {
namespace {

constexpr int64_t kTimeoutMs = 500;
constexpr uint32_t kDownAfter = 2;
constexpr uint32_t kUpAfter = 3;
constexpr uint64_t kChecksPerSecond = 200;  // That one endpoint sees, from all the gateways of one cluster.

core::HealthCheck* AddCheck(int64_t interval_ms, NodeProfile profile, cluster::Cluster* out) {
  auto* check = out->add_health_checks();
  SetMilliseconds(interval_ms, check->mutable_interval());
  SetMilliseconds(kTimeoutMs, check->mutable_timeout());
  check->mutable_unhealthy_threshold()->set_value(kDownAfter);
  check->mutable_healthy_threshold()->set_value(kUpAfter);
  if (profile.stock_envoy) {
    *check->mutable_no_traffic_interval() = check->interval();  // Envoy would wait for 60 s.
    if (interval_ms > kCheckIntervalMs) check->set_interval_jitter_percent(10);
    out->set_ignore_health_on_host_removal(true);
  }
  return check;
}

void SetHttp(const std::string& host, const std::string& path, core::HealthCheck* check) {
  check->mutable_http_health_check()->set_host(host);
  check->mutable_http_health_check()->set_path(path);
}

}  // namespace

google::protobuf::Value& WeirMetadataValue(std::string_view key, core::Metadata* metadata) {
  auto& ours = (*metadata->mutable_filter_metadata())[std::string(dialect::kMetadata)];
  return (*ours.mutable_fields())[std::string(key)];
}

int64_t StretchedInterval(uint64_t checks_per_round) {
  const uint64_t seconds = (checks_per_round + kChecksPerSecond - 1) / kChecksPerSecond;
  int64_t interval_ms = kCheckIntervalMs;  // Doubled, so that one more host seldom changes all clusters.
  while (interval_ms < static_cast<int64_t>(seconds) * 1000 && interval_ms < 3'600'000) interval_ms *= 2;
  return std::min<int64_t>(interval_ms, 3'600'000);
}

void AddMeshCheck(const std::string& host, int64_t interval_ms, NodeProfile profile, cluster::Cluster* out) {
  SetHttp(host, std::string(dialect::kHealthPath), AddCheck(interval_ms, profile, out));
}

void AddAppCheck(const v1::Service& service, const v1::Workload& workload, NodeProfile profile, cluster::Cluster* out) {
  auto* check = AddCheck(kCheckIntervalMs, profile, out);
  const v1::HealthCheck& wanted = service.health_check();
  if (wanted.path().empty()) {
    check->mutable_tcp_health_check();
  } else {
    SetHttp(HostOf(service), wanted.path(), check);
    auto* statuses = check->mutable_http_health_check()->add_expected_statuses();
    statuses->set_start(200);
    statuses->set_end(300);
  }
  if (wanted.port() == 0) return;
  for (auto& locality : *out->mutable_load_assignment()->mutable_endpoints()) {
    for (auto& endpoint : *locality.mutable_lb_endpoints()) {
      endpoint.mutable_endpoint()->mutable_health_check_config()->set_port_value(BoundPort(workload, wanted.port()));
    }
  }
}

void SetJudgementMetadata(bool spread, NodeProfile profile, cluster::Cluster* out) {
  const auto value = [out](std::string_view key) -> google::protobuf::Value& {
    return WeirMetadataValue(key, out->mutable_metadata());
  };
  // Inside a cluster nothing is gained by keeping out what answers again.
  value(dialect::key::kHoldMs).set_number_value(static_cast<double>(spread ? profile.hold_ms : 0));
  value(dialect::key::kSlowReturnMs).set_number_value(static_cast<double>(spread ? profile.slow_return_ms : 0));
  if (spread) value(dialect::key::kDigest).set_bool_value(true);
}

void AddOutlierDetection(cluster::Cluster* out) {
  auto* outlier = out->mutable_outlier_detection();
  outlier->set_split_external_local_origin_errors(true);
  outlier->mutable_consecutive_local_origin_failure()->set_value(2);
  outlier->mutable_enforcing_consecutive_local_origin_failure()->set_value(100);
  outlier->mutable_enforcing_local_origin_success_rate()->set_value(0);
  // What an application answers says nothing about its cluster: the health checks do.
  outlier->mutable_enforcing_consecutive_5xx()->set_value(0);
  outlier->mutable_enforcing_consecutive_gateway_failure()->set_value(0);
  outlier->mutable_enforcing_success_rate()->set_value(0);
  outlier->mutable_max_ejection_percent()->set_value(100);
  SetMilliseconds(1'000, outlier->mutable_interval());
  SetMilliseconds(10'000, outlier->mutable_base_ejection_time());
  SetMilliseconds(10'000, outlier->mutable_max_ejection_time());
}

void AddHealthAnswer(const std::set<std::string>& destinations, hcm::HttpConnectionManager* http) {
  ::envoy::extensions::filters::http::health_check::v3::HealthCheck check;
  check.mutable_pass_through_mode()->set_value(false);
  auto* path = check.add_headers();
  path->set_name(":path");
  path->mutable_string_match()->set_exact(std::string(dialect::kHealthPath));
  for (const std::string& destination : destinations) {
    (*check.mutable_cluster_min_healthy_percentages())[destination].set_value(1);
  }
  auto* filter = http->add_http_filters();
  filter->set_name("envoy.filters.http.health_check");
  Pack(check, filter->mutable_typed_config());
}

route::RouteConfiguration DigestRoutes() {
  route::RouteConfiguration routes;
  routes.set_name(std::string(dialect::kHealthChain));
  auto* host = routes.add_virtual_hosts();
  host->set_name(routes.name());
  host->add_domains("*");
  auto* route = host->add_routes();
  route->mutable_match()->set_prefix("/");
  route->mutable_direct_response()->set_status(404);
  return routes;
}

}  // namespace weir::translate::envoy_v3
