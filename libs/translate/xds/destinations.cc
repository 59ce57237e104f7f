#include <algorithm>
#include <set>

#include "api/weir/agent/v1/discovery.pb.h"
#include "libs/dialect/dialect.h"
#include "libs/traffic/ranking.h"
#include "libs/translate/xds/envoy.h"

namespace weir::translate::envoy_v3 {
namespace {

constexpr int64_t kConnectTimeoutMs = 500;
// So high that a cluster keeps its whole share while one of its gateways can serve.
constexpr uint32_t kOverprovisioning = 100000;
constexpr uint32_t kMostAtOnce = 100'000;
constexpr double kRetryPercent = 20;     // Envoy counts requests in flight, not those of the last 10 s,
constexpr uint32_t kRetriesAtOnce = 20;  // so that a quiet gateway needs room for a burst.

// `panic`: below 1 % healthy, which is nobody, all are asked; our gateways know 0 and 1.
void Start(const std::string& name, cluster::Cluster* out, bool panic = false) {
  out->set_name(name);
  // Envoy takes what stands before the first dot for a cluster's name in its metrics: a family for each host.
  std::string metrics_name = name;
  std::replace(metrics_name.begin(), metrics_name.end(), '.', '_');
  if (metrics_name != name) out->set_alt_stat_name(metrics_name);
  out->set_type(cluster::Cluster::EDS);
  SetAdsSource(out->mutable_eds_cluster_config()->mutable_eds_config());
  SetMilliseconds(kConnectTimeoutMs, out->mutable_connect_timeout());
  out->mutable_common_lb_config()->mutable_locality_weighted_lb_config();
  out->mutable_common_lb_config()->mutable_healthy_panic_threshold()->set_value(panic ? 1 : 0);
}

// What our engine does by itself, as near as Envoy has fields for it.
void AddStockEnvoyLimits(cluster::Cluster* out) {
  AddOutlierDetection(out);
  out->mutable_common_lb_config()->mutable_update_merge_window();  // 0: who is set aside is left now, not in a second.
  out->set_close_connections_on_host_health_failure(true);
  auto* limits = out->mutable_circuit_breakers()->add_thresholds();
  for (auto* limit :
       {limits->mutable_max_connections(), limits->mutable_max_pending_requests(), limits->mutable_max_requests()}) {
    limit->set_value(kMostAtOnce);  // Envoy would stop at 1024.
  }
  limits->mutable_retry_budget()->mutable_budget_percent()->set_value(kRetryPercent);
  limits->mutable_retry_budget()->mutable_min_retry_concurrency()->set_value(kRetriesAtOnce);
}

void AddUpstreamTls(const std::string& sni, const std::set<std::string>& peers, cluster::Cluster* out) {
  tls::UpstreamTlsContext context;
  context.set_sni(sni);
  SetMeshTls(peers, context.mutable_common_tls_context());
  out->mutable_transport_socket()->set_name("envoy.transport_sockets.tls");
  Pack(context, out->mutable_transport_socket()->mutable_typed_config());
}

endpoint::LbEndpoint* AddEndpoint(const std::string& address, uint32_t port, const std::string& spiffe_id,
                                  const std::string& cluster, endpoint::LocalityLbEndpoints* locality) {
  auto* added = locality->add_lb_endpoints();
  SetAddress(address, port, added->mutable_endpoint()->mutable_address());
  WeirMetadataValue(dialect::key::kSpiffeId, added->mutable_metadata()).set_string_value(spiffe_id);
  WeirMetadataValue(dialect::key::kCluster, added->mutable_metadata()).set_string_value(cluster);
  return added;
}

// Where one cluster stands in its set.
struct Place {
  int share = 0;  // Index in DestinationSet.clusters.
  uint32_t priority = 0;
  bool standby = false;
};

// In the steps and the order in which our gateways and the server understand the set. Envoy and gRPC demand priorities
// that are contiguous from 0, and serve from one of them at a time: what carries weight shares the first.
std::vector<Place> PlacesOf(const mesh::v1::DestinationSet& set) {
  const auto& shares = set.clusters();
  const bool ordered = set.mode() == mesh::v1::DestinationSet::ORDERED;
  const bool weighted = std::any_of(shares.begin(), shares.end(), [](const auto& s) { return s.has_weight(); });
  std::vector<traffic::Candidate> candidates;
  for (const auto& share : shares) {
    auto& candidate = candidates.emplace_back();
    if (share.has_weight()) candidate.weight = share.weight();
    candidate.standby = share.standby();
    candidate.priority = share.priority();
  }
  const auto mode = ordered ? traffic::Mode::kOrdered : traffic::Mode::kProportional;
  const traffic::Ranking ranking = traffic::RankingOf(mode, candidates);
  std::vector<Place> places;
  for (const size_t i : ranking.order) {
    const auto& share = shares[static_cast<int>(i)];
    places.push_back({static_cast<int>(i), ranking.steps[i], weighted && (share.weight() == 0 || share.standby())});
  }
  return places;
}

}  // namespace

bool OneBeforeOthers(const mesh::v1::DestinationSet& set) {
  const std::vector<Place> places = PlacesOf(set);
  const auto first = std::count_if(places.begin(), places.end(), [](const Place& p) { return p.priority == 0; });
  return first == 1 && places.size() > 1;
}

void MakeSpread(const SpreadInput& input, cluster::Cluster* out, endpoint::ClusterLoadAssignment* endpoints) {
  const mesh::v1::DestinationSet& set = *input.set.message;
  const NodeProfile& profile = input.profile;
  Start(set.name(), out, set.panic());
  const bool ordered = set.mode() == mesh::v1::DestinationSet::ORDERED;
  WeirMetadataValue(dialect::key::kHost, out->mutable_metadata()).set_string_value(set.hostname());
  WeirMetadataValue(dialect::key::kMode, out->mutable_metadata())
      .set_string_value(std::string(ordered ? dialect::kOrdered : dialect::kProportional));
  SetJudgementMetadata(true, profile, out);
  AddMeshCheck(set.hostname(), input.interval_ms, profile, out);

  endpoints->set_cluster_name(set.name());
  endpoints->mutable_policy()->mutable_overprovisioning_factor()->set_value(kOverprovisioning);
  std::set<std::string> peers;
  for (const Place& place : PlacesOf(set)) {
    const mesh::v1::ClusterShare& share = set.clusters(place.share);
    auto* locality = endpoints->add_endpoints();
    locality->mutable_locality()->set_region(share.region());
    locality->mutable_locality()->set_zone(share.zone());
    locality->mutable_locality()->set_sub_zone(share.cluster());
    locality->mutable_load_balancing_weight()->set_value(std::max(share.weight(), 1u));  // Envoy knows no weight of 0.
    locality->set_priority(place.priority);
    if (!profile.stock_envoy && place.standby) {
      WeirMetadataValue(dialect::key::kStandby, locality->mutable_metadata()).set_bool_value(true);
    }
    if (!profile.stock_envoy && share.drained()) {
      WeirMetadataValue(dialect::key::kDrained, locality->mutable_metadata()).set_bool_value(true);
    }
    const auto& imported = input.endpoints[static_cast<size_t>(place.share)].message;
    if (imported == nullptr) continue;  // The place stays: its share is intended, it cannot serve.
    for (const mesh::v1::ImportedEndpoint& from : imported->endpoints()) {
      auto* added = AddEndpoint(from.address(), from.port(), from.spiffe_id(), share.cluster(), locality);
      if (profile.stock_envoy && share.drained()) added->set_health_status(core::DRAINING);
      peers.insert(from.spiffe_id());
    }
  }
  AddUpstreamTls(set.hostname(), peers, out);
  if (profile.stock_envoy) AddStockEnvoyLimits(out);
}

void MakeLocal(const LocalInput& input, cluster::Cluster* out, endpoint::ClusterLoadAssignment* endpoints) {
  Start(input.name, out);
  SetJudgementMetadata(false, input.profile, out);
  AddMeshCheck(input.host, input.interval_ms, input.profile, out);
  endpoints->set_cluster_name(input.name);
  endpoints->mutable_policy()->mutable_overprovisioning_factor()->set_value(kOverprovisioning);
  auto* locality = endpoints->add_endpoints();
  locality->mutable_locality()->set_sub_zone(input.cluster);
  locality->mutable_load_balancing_weight()->set_value(1);
  std::set<std::string> peers;
  for (const Pod& pod : *input.pods) {
    AddEndpoint(pod.address, pod.port, pod.spiffe_id, input.cluster, locality);
    peers.insert(pod.spiffe_id);
  }
  AddUpstreamTls(dialect::ServiceSni(input.port, input.host), peers, out);
  if (input.profile.stock_envoy) AddStockEnvoyLimits(out);
}

}  // namespace weir::translate::envoy_v3
