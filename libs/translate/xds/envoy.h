#pragma once

// The vocabulary of Envoy v3 messages that the translation is written in. Included by .cc files of this folder only.

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/weir/mesh/v1/intent.pb.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "libs/translate/bytes.h"
#include "libs/translate/xds/catalog.h"
#include "libs/translate/xds/translator.h"

namespace weir::translate::envoy_v3 {

namespace core = ::envoy::config::core::v3;
namespace cluster = ::envoy::config::cluster::v3;
namespace endpoint = ::envoy::config::endpoint::v3;
namespace listener = ::envoy::config::listener::v3;
namespace route = ::envoy::config::route::v3;
namespace tls = ::envoy::extensions::transport_sockets::tls::v3;
namespace hcm = ::envoy::extensions::filters::network::http_connection_manager::v3;

// Like PackFrom, but with deterministic bytes.
template <typename Message>
void Pack(const Message& message, google::protobuf::Any* any) {
  any->set_type_url("type.googleapis.com/" + message.GetDescriptor()->full_name());
  any->set_value(Bytes(message));
}

// `ads: {}` with resource_api_version V3 (rule T50).
void SetAdsSource(core::ConfigSource* source);
void SetAddress(const std::string& ip, uint32_t port, core::Address* address);
void SetMilliseconds(int64_t milliseconds, google::protobuf::Duration* duration);

// Name of Envoy's Cluster that serves a set. Sets that lead to a service are served by the Cluster of that service,
// whatever their host: ten thousand hosts on one service share its connections and its checks, and when a route turns
// to another service, the old one serves until the new one is whole and the routes point there (make before break).
std::string DestinationName(const mesh::v1::DestinationSet& set);
// The same of a service.
std::string ServiceDestinationName(std::string_view name_space, std::string_view host, uint32_t port);
// Of the application beside a pod proxy, by the port that its service declares.
std::string AppDestinationName(uint32_t port);

// Own certificate by SDS `identity`, peers against SDS `trust`. An empty list of ids means nobody, never anybody.
void SetMeshTls(const std::set<std::string>& peers, tls::CommonTlsContext* context);

// Without a word on it: how long an endpoint may be quiet before the first byte of an answer and between two.
inline constexpr int64_t kIdleMs = 60'000;
inline constexpr int64_t kForgottenMs = 3'600'000;

struct HttpOptions {
  std::string stat_prefix;
  std::string route_config;                                  // By RDS...
  const route::RouteConfiguration* inline_routes = nullptr;  // ...or, when set, these.
  bool edge = false;                                         // Clients are strangers.
  // Set: stock Envoy answers dialect::kHealthPath itself, 200 when each of these destinations has a healthy endpoint.
  const std::set<std::string>* answers_for = nullptr;
};
void AddHttp(const HttpOptions& options, NodeProfile profile, listener::FilterChain* chain);

// One chain of the mesh port.
struct MeshChain {
  std::string server_name;      // "" = the hosts of its routes say by themselves who may call (our gateways only).
  std::set<std::string> peers;  // SPIFFE ids that may call.
  std::string route_config;     // Tier 2,
  uint32_t app_port = 0;        // or a pod; neither: the health digest.
  std::set<std::string> destinations;  // What stands behind it, for stock Envoy's answer to dialect::kHealthPath.
  std::string name;                    // "" = the server name.

  bool operator==(const MeshChain&) const = default;
};
void MakeMeshChain(const MeshChain& chain, NodeProfile profile, listener::FilterChain* out);

// What a virtual host is made of.
struct HostInput {
  std::string name;
  Piece<mesh::v1::Host> host;
  std::vector<Piece<mesh::v1::DestinationSet>> sets;  // Of routes that lead to one; null: not here yet.
  NodeProfile profile;
  std::set<std::string> also = {};  // SPIFFE ids that may call beside those that the host names.

  bool operator==(const HostInput&) const = default;
};
// Host intent -> virtual host. Sets that do not exist answer 503, so no route points at a Cluster that is not there.
void MakeVirtualHost(const HostInput& input, route::VirtualHost* out);

// What Envoy's Cluster and the endpoints of a destination set are made of.
struct SpreadInput {
  std::string name;
  Piece<mesh::v1::DestinationSet> set;
  std::vector<Piece<mesh::v1::ServiceEndpoints>> endpoints;  // By share; null: not here (yet).
  int64_t interval_ms = 0;                                   // Of checks, where a peer has no digest.
  NodeProfile profile;

  bool operator==(const SpreadInput&) const = default;
};
// Tier 1: one locality per Weir cluster with its weight and place.
void MakeSpread(const SpreadInput& input, cluster::Cluster* out, endpoint::ClusterLoadAssignment* endpoints);
// Whether only one cluster comes first and others wait behind it, so that a repeated request should skip the first.
bool OneBeforeOthers(const mesh::v1::DestinationSet& set);

struct LocalInput {
  std::string name;
  std::string host;  // Of the service.
  uint32_t port = 0;
  PodsPtr pods;
  std::string cluster;
  int64_t interval_ms = 0;
  NodeProfile profile;

  bool operator==(const LocalInput&) const = default;
};
// Tier 2: the pods of a service of this cluster, through their proxies.
void MakeLocal(const LocalInput& input, cluster::Cluster* out, endpoint::ClusterLoadAssignment* endpoints);

// --- Health

inline constexpr int64_t kCheckIntervalMs = 1'000;

// The value of one of dialect::key, for what Envoy has no field for; made when it is not there.
google::protobuf::Value& WeirMetadataValue(std::string_view key, core::Metadata* metadata);

// How often to check when one endpoint is checked `checks_per_round` times at each turn: at most 200 a second.
int64_t StretchedInterval(uint64_t checks_per_round);
// "Can what stands behind you serve `host`?"
void AddMeshCheck(const std::string& host, int64_t interval_ms, NodeProfile profile, cluster::Cluster* out);
// Of the application itself, as its service asks; a TCP connect without a word on it.
void AddAppCheck(const v1::Service& service, const v1::Workload& workload, NodeProfile profile, cluster::Cluster* out);
// Hold and slow return, and whether to ask for the digest: `spread` over clusters, or inside one.
void SetJudgementMetadata(bool spread, NodeProfile profile, cluster::Cluster* out);
// Our engine judges health itself; Envoy is told to set aside at once what cannot be reached.
void AddOutlierDetection(cluster::Cluster* out);
// Stock Envoy's answer to dialect::kHealthPath.
void AddHealthAnswer(const std::set<std::string>& destinations, hcm::HttpConnectionManager* http);
// What stands on dialect::kHealthChain for those that have no digest.
route::RouteConfiguration DigestRoutes();

}  // namespace weir::translate::envoy_v3
