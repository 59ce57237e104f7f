#include <algorithm>
#include <set>

#include "api/weir/agent/v1/discovery.pb.h"
#include "cluster-agent/translate/xds/envoy.h"

namespace weir::agent::envoy_v3 {
namespace {

constexpr int64_t kConnectTimeoutMs = 500;
// So high that a cluster keeps its whole share while one of its gateways can serve.
constexpr uint32_t kOverprovisioning = 100000;

void Start(const std::string& name, cluster::Cluster* out) {
  out->set_name(name);
  out->set_type(cluster::Cluster::EDS);
  FromAds(out->mutable_eds_cluster_config()->mutable_eds_config());
  SetMilliseconds(kConnectTimeoutMs, out->mutable_connect_timeout());
  out->mutable_common_lb_config()->mutable_locality_weighted_lb_config();
  out->mutable_common_lb_config()->mutable_healthy_panic_threshold()->set_value(0);
}

// Our engine judges health itself; Envoy is told to put a silent or failing host aside.
void AddOutlierDetection(cluster::Cluster* out) {
  auto* outlier = out->mutable_outlier_detection();
  outlier->mutable_consecutive_gateway_failure()->set_value(2);
  outlier->mutable_enforcing_consecutive_gateway_failure()->set_value(100);
  outlier->mutable_consecutive_5xx()->set_value(1000);
  outlier->mutable_enforcing_consecutive_5xx()->set_value(0);
  outlier->mutable_max_ejection_percent()->set_value(100);
  SetMilliseconds(1'000, outlier->mutable_interval());
  SetMilliseconds(10'000, outlier->mutable_base_ejection_time());
}

void AddUpstreamTls(const std::string& sni, const std::set<std::string>& peers, cluster::Cluster* out) {
  tls::UpstreamTlsContext context;
  context.set_sni(sni);
  MeshTls({{peers.begin(), peers.end()}, ""}, context.mutable_common_tls_context());
  out->mutable_transport_socket()->set_name("envoy.transport_sockets.tls");
  Pack(context, out->mutable_transport_socket()->mutable_typed_config());
}

google::protobuf::Map<std::string, google::protobuf::Value>* WeirMetadata(core::Metadata* metadata) {
  return (*metadata->mutable_filter_metadata())["dev.weir"].mutable_fields();
}

void AddEndpoint(const std::string& address, uint32_t port, const std::string& spiffe_id, const std::string& cluster,
                 endpoint::LocalityLbEndpoints* locality) {
  auto* added = locality->add_lb_endpoints();
  SetAddress(address, port, added->mutable_endpoint()->mutable_address());
  auto* fields = WeirMetadata(added->mutable_metadata());
  (*fields)["spiffe_id"].set_string_value(spiffe_id);
  (*fields)["cluster"].set_string_value(cluster);
}

struct Place {
  uint32_t priority = 0;
  uint32_t weight = 1;
};

// Without weights: the own locality first. What is not known of the own place makes all equal.
uint32_t LocalityRank(const mesh::v1::ClusterShare& share, const mesh::v1::ClusterShare* own) {
  if (own == nullptr || own->region().empty()) return 0;
  if (share.region() != own->region()) return 2;
  return share.zone() == own->zone() ? 0 : 1;
}

// Priorities are contiguous from 0, as Envoy and gRPC demand.
std::vector<Place> PlacesOf(const mesh::v1::DestinationSet& set, const std::string& own_cluster) {
  const auto& shares = set.clusters();
  std::vector<Place> places(static_cast<size_t>(shares.size()));
  const bool ordered = set.mode() == mesh::v1::DestinationSet::ORDERED;
  const bool weighted = std::any_of(shares.begin(), shares.end(), [](const auto& s) { return s.has_weight(); });
  const auto own =
      std::find_if(shares.begin(), shares.end(), [&](const auto& s) { return s.cluster() == own_cluster; });
  bool standby_began = false;
  uint32_t standby = 0;
  for (int i = 0; i < shares.size(); ++i) {
    Place& place = places[static_cast<size_t>(i)];
    if (weighted) {
      if (shares[i].weight() > 0) {
        place.weight = shares[i].weight();
      } else {  // Standby: after all that carry weight.
        if (ordered || !standby_began) ++standby;
        standby_began = true;
        place.priority = standby;
      }
    } else if (ordered) {
      place.priority = static_cast<uint32_t>(i);
    } else {
      place.priority = LocalityRank(shares[i], own == shares.end() ? nullptr : &*own);
    }
  }
  std::set<uint32_t> used;
  for (const Place& place : places) used.insert(place.priority);
  for (Place& place : places) {
    place.priority = static_cast<uint32_t>(std::distance(used.begin(), used.find(place.priority)));
  }
  return places;
}

}  // namespace

void MakeSpread(const mesh::v1::DestinationSet& set, const Intent& intent, const std::string& own_cluster,
                NodeProfile profile, cluster::Cluster* out, endpoint::ClusterLoadAssignment* endpoints) {
  Start(set.name(), out);
  auto* metadata = WeirMetadata(out->mutable_metadata());
  (*metadata)["host"].set_string_value(set.hostname());
  (*metadata)["mode"].set_string_value(set.mode() == mesh::v1::DestinationSet::ORDERED ? "ORDERED" : "PROPORTIONAL");
  auto* order = (*metadata)["order"].mutable_list_value();

  endpoints->set_cluster_name(set.name());
  endpoints->mutable_policy()->mutable_overprovisioning_factor()->set_value(kOverprovisioning);
  const std::vector<Place> places = PlacesOf(set, own_cluster);
  std::set<std::string> peers;
  for (int i = 0; i < set.clusters_size(); ++i) {
    const mesh::v1::ClusterShare& share = set.clusters(i);
    order->add_values()->set_string_value(share.cluster());
    auto* locality = endpoints->add_endpoints();
    locality->mutable_locality()->set_region(share.region());
    locality->mutable_locality()->set_zone(share.zone());
    locality->mutable_locality()->set_sub_zone(share.cluster());
    locality->mutable_load_balancing_weight()->set_value(places[static_cast<size_t>(i)].weight);
    locality->set_priority(places[static_cast<size_t>(i)].priority);
    const auto imported = intent.endpoints.find(share.endpoints());
    if (imported == intent.endpoints.end()) continue;  // The place stays: its share is intended, it cannot serve.
    for (const mesh::v1::ImportedEndpoint& from : imported->second.message->endpoints()) {
      AddEndpoint(from.address(), from.port(), from.spiffe_id(), share.cluster(), locality);
      peers.insert(from.spiffe_id());
    }
  }
  AddUpstreamTls(set.hostname(), peers, out);
  if (profile.hardened) AddOutlierDetection(out);
}

void MakeLocal(const mesh::v1::DestinationSet& set, const v1::Service* service, const Facts& facts,
               const ClusterIdentity& identity, NodeProfile profile, cluster::Cluster* out,
               endpoint::ClusterLoadAssignment* endpoints) {
  Start(set.name(), out);
  (*WeirMetadata(out->mutable_metadata()))["host"].set_string_value(set.hostname());
  endpoints->set_cluster_name(set.name());
  endpoints->mutable_policy()->mutable_overprovisioning_factor()->set_value(kOverprovisioning);
  auto* locality = endpoints->add_endpoints();
  locality->mutable_locality()->set_sub_zone(identity.cluster);
  locality->mutable_load_balancing_weight()->set_value(1);
  std::set<std::string> peers;
  if (service != nullptr) {
    for (const v1::Workload* pod : EndpointsOf(facts, *service)) {
      const std::string id = SpiffeIdOf(identity.trust_domain, *pod);
      AddEndpoint(pod->addresses(0), BoundPort(*pod, kMeshPort), id, identity.cluster, locality);
      peers.insert(id);
    }
  }
  AddUpstreamTls(ServiceSni(set.service().port(), set.service().host()), peers, out);
  if (profile.hardened) AddOutlierDetection(out);
}

}  // namespace weir::agent::envoy_v3
