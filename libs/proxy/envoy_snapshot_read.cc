#include <arpa/inet.h>

#include <algorithm>
#include <set>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "libs/base/text.h"
#include "libs/dialect/heads.h"
#include "libs/obs/log.h"
#include "libs/proxy/envoy_snapshot_pieces.h"
#include "libs/proxy/envoy_snapshot_values.h"

namespace weir::proxy::envoy_v3 {
namespace {

namespace core = ::envoy::config::core::v3;
namespace tls = ::envoy::extensions::transport_sockets::tls::v3;
namespace hcm = ::envoy::extensions::filters::network::http_connection_manager::v3;
namespace route = ::envoy::config::route::v3;
constexpr size_t kMaxQuoted = 512;
using ::envoy::config::endpoint::v3::ClusterLoadAssignment;

struct IpPort {
  std::string address;
  uint16_t port = 0;
};
Result<IpPort> ReadAddress(const core::Address& address, const std::string& path) {
  const auto& socket = address.socket_address();
  unsigned char unused[16];
  const char* text = socket.address().c_str();
  if (!address.has_socket_address() || socket.address().find('\0') != std::string::npos ||
      (inet_pton(AF_INET, text, unused) != 1 && inet_pton(AF_INET6, text, unused) != 1)) {
    return Refuse("{}.socket_address.address '{}' is not an IP address", path, socket.address());
  }
  if (socket.protocol() != core::SocketAddress::TCP)
    return Refuse("{}.socket_address.protocol: only TCP is served", path);
  if (socket.port_value() > 65535)
    return Refuse("{}.socket_address.port_value {} is above 65535", path, socket.port_value());
  return IpPort{socket.address(), static_cast<uint16_t>(socket.port_value())};
}

// --- TLS

struct Peers {
  bool validated = false;  // Against `trust`.
  std::vector<UriMatch> uris;
};

Status CheckSds(const tls::SdsSecretConfig& config, std::string_view name, const std::string& path) {
  if (config.name() != name)
    return Refuse("{}.name: only the secret '{}' is served here, not '{}'", path, name, config.name());
  return {};
}

Result<Peers> ReadPeers(const tls::CommonTlsContext& context, const std::string& path) {
  Peers peers;
  const auto& alpn = context.alpn_protocols();
  if (!alpn.empty() && std::find(alpn.begin(), alpn.end(), "http/1.1") == alpn.end()) {
    return Refuse("{}.alpn_protocols: http/1.1 is served and does not stand there", path);
  }
  for (int i = 0; i < context.tls_certificate_sds_secret_configs_size(); ++i) {
    WEIR_TRY(CheckSds(context.tls_certificate_sds_secret_configs(i), dialect::kIdentitySecret,
                      fmt::format("{}.tls_certificate_sds_secret_configs[{}]", path, i)));
  }
  if (context.has_validation_context_sds_secret_config()) {
    WEIR_TRY(CheckSds(context.validation_context_sds_secret_config(), dialect::kTrustSecret,
                      path + ".validation_context_sds_secret_config"));
    peers.validated = true;
  }
  if (!context.has_combined_validation_context()) return peers;
  const std::string at = path + ".combined_validation_context";
  const auto& combined = context.combined_validation_context();
  WEIR_TRY(CheckSds(combined.validation_context_sds_secret_config(), dialect::kTrustSecret,
                    at + ".validation_context_sds_secret_config"));
  peers.validated = true;
  if (combined.default_validation_context().has_custom_validator_config()) {
    return Refuse("{}.default_validation_context.custom_validator_config: it comes by the secret 'trust'", at);
  }
  if (combined.default_validation_context().has_trusted_ca()) {
    return Refuse("{}.default_validation_context.trusted_ca: roots come by the secret 'trust'", at);
  }
  for (const auto& san : combined.default_validation_context().match_typed_subject_alt_names()) {
    const std::string where = at + ".default_validation_context.match_typed_subject_alt_names";
    if (san.san_type() != tls::SubjectAltNameMatcher::URI) return Refuse("{}.san_type: only URI is served", where);
    const bool prefix = san.matcher().has_prefix();
    const std::string& value = prefix ? san.matcher().prefix() : san.matcher().exact();
    if (value.empty() || (prefix && !value.ends_with('/'))) {
      return Refuse("{}.matcher '{}': an exact URI or a prefix that ends in '/' is served", where, value);
    }
    peers.uris.push_back({value, prefix});
  }
  return peers;
}

Result<DownstreamTls> ReadDownstreamTls(const core::TransportSocket& socket, const std::string& path) {
  WEIR_ASSIGN(const auto context, Unpack<tls::DownstreamTlsContext>(socket.typed_config(), path + ".typed_config"));
  const std::string at = path + ".typed_config.common_tls_context";
  if (context.common_tls_context().tls_certificate_sds_secret_configs_size() != 1) {
    return Refuse("{}.tls_certificate_sds_secret_configs: exactly one is served", at);
  }
  WEIR_ASSIGN(Peers peers, ReadPeers(context.common_tls_context(), at));
  DownstreamTls out;
  out.require_client_certificate = context.require_client_certificate().value();
  if (!out.require_client_certificate && !peers.uris.empty()) {
    return Refuse("{}.typed_config.require_client_certificate must be true where subject names are demanded", path);
  }
  if (out.require_client_certificate && !peers.validated)
    return Refuse("{}: callers must be validated against 'trust'", at);
  out.allowed_uris = std::move(peers.uris);
  return out;
}

Result<UpstreamTls> ReadUpstreamTls(const core::TransportSocket& socket) {
  const std::string at = "transport_socket.typed_config";
  WEIR_ASSIGN(const auto context, Unpack<tls::UpstreamTlsContext>(socket.typed_config(), at));
  WEIR_ASSIGN(Peers peers, ReadPeers(context.common_tls_context(), at + ".common_tls_context"));
  if (!peers.validated) return Refuse("{}.common_tls_context: the peer must be validated against 'trust'", at);
  return UpstreamTls{context.sni(), std::move(peers.uris)};
}

// --- Routes

Result<traffic::RouteRule> ReadMatch(const route::RouteMatch& match, const std::string& path) {
  traffic::RouteRule rule;
  if (match.has_case_sensitive() && !match.case_sensitive().value())
    return Refuse("{}.case_sensitive: paths are case-sensitive", path);
  if (match.has_path()) {
    rule.kind = traffic::PathKind::kExact;
    rule.path = match.path();
  } else if (match.has_path_separated_prefix()) {
    rule.kind = traffic::PathKind::kPathSeparated;
    rule.path = match.path_separated_prefix();
  } else if (match.has_prefix()) {
    rule.path = match.prefix();
  } else {
    return InvalidArgument("BAD_RESOURCE", "{}: one of prefix, path, path_separated_prefix is required", path);
  }
  if (!rule.path.starts_with('/') && !rule.path.empty())
    return Refuse("{}: '{}' does not begin with '/'", path, rule.path);
  return rule;
}

// What the engine does by itself: one move to another endpoint when a connection failed or was refused.
Status CheckRetry(const route::RetryPolicy& retry, const std::string& path) {
  const std::string& on = retry.retry_on();
  for (size_t at = 0; at < on.size();) {
    const size_t end = std::min(on.find(',', at), on.size());
    std::string_view word = std::string_view(on).substr(at, end - at);
    at = end + 1;
    while (word.starts_with(' ')) word.remove_prefix(1);
    while (word.ends_with(' ')) word.remove_suffix(1);
    if (word.empty() || word == "connect-failure" || word == "refused-stream") continue;
    return Refuse("{}.retry_on '{}': connect-failure and refused-stream are served", path, word);
  }
  if (retry.has_num_retries() && retry.num_retries().value() != 1) {
    return Refuse("{}.num_retries: 1 is served", path);
  }
  return {};
}

Result<RouteAction> ReadAction(const route::Route& from, const std::string& path) {
  RouteAction out;
  if (from.has_route()) {
    if (from.route().cluster().empty()) return InvalidArgument("BAD_RESOURCE", "{}.route.cluster is required", path);
    out.destination_set = from.route().cluster();
    if (from.route().has_retry_policy())
      WEIR_TRY(CheckRetry(from.route().retry_policy(), path + ".route.retry_policy"));
    if (from.route().has_timeout()) {
      WEIR_ASSIGN(out.timeout, Milliseconds(from.route().timeout(), path + ".route.timeout"));
    }
    if (from.route().has_idle_timeout()) {
      WEIR_ASSIGN(out.idle, Milliseconds(from.route().idle_timeout(), path + ".route.idle_timeout"));
    }
  } else if (from.has_redirect()) {
    static constexpr uint32_t kCodes[] = {301, 302, 303, 307, 308};
    const auto& redirect = from.redirect();
    const auto code = static_cast<size_t>(redirect.response_code());
    if (code >= std::size(kCodes)) return Refuse("{}.redirect.response_code {} is not known", path, code);
    out.redirect = Redirect{redirect.https_redirect() ? "https" : redirect.scheme_redirect(), redirect.host_redirect(),
                            redirect.path_redirect(), kCodes[code]};
  } else if (from.has_direct_response()) {
    const auto& direct = from.direct_response();
    if (direct.status() < 200 || direct.status() > 599)
      return Refuse("{}.direct_response.status must be 200 to 599", path);
    const auto& body = direct.body();
    out.direct_response =
        DirectResponse{direct.status(), body.has_inline_bytes() ? body.inline_bytes() : body.inline_string()};
  } else {
    return InvalidArgument("BAD_RESOURCE", "{}: one of route, redirect, direct_response is required", path);
  }
  WEIR_ASSIGN(out.idempotent, WeirMetadata(from.metadata(), path + ".metadata").Flag(dialect::key::kIdempotent));
  return out;
}

// The engine looks at no port: a domain with one means the same only where the host claims the domain without it too.
Status CheckPorts(const route::VirtualHost& from, const std::string& path) {
  for (int i = 0; i < from.domains_size(); ++i) {
    const std::string& domain = from.domains(i);
    const std::string_view bare = traffic::WithoutPort(domain);
    if (bare.size() == domain.size() || domain.ends_with('.') || domain.ends_with(":*")) continue;
    if (std::find(from.domains().begin(), from.domains().end(), bare) != from.domains().end()) continue;
    return Refuse("{}domains[{}] '{}': a port is not looked at; '{}' must stand there too", path, i, domain, bare);
  }
  return {};
}

// Who may call this host where SNI chooses the host.
Result<std::shared_ptr<const Callers>> ReadCallers(const route::VirtualHost& from, const std::string& path) {
  WEIR_ASSIGN(const auto ids, WeirMetadata(from.metadata(), path + "metadata").Texts(dialect::key::kCallers));
  if (!ids) return std::shared_ptr<const Callers>();
  auto callers = std::make_shared<Callers>();
  for (const std::string& id : *ids) {
    if (id.empty())
      return Refuse("{}metadata {}.{} holds an empty identity", path, dialect::kMetadata, dialect::key::kCallers);
    callers->push_back({id, false});
  }
  return std::shared_ptr<const Callers>(std::move(callers));
}

Result<HostPiece> ReadHost(const route::VirtualHost& from, const std::string& path) {
  auto host = std::make_shared<traffic::VirtualHost>();
  auto actions = std::make_shared<std::vector<RouteAction>>();
  host->name = from.name();
  if (from.domains().empty()) return InvalidArgument("BAD_RESOURCE", "{}domains is required", path);
  WEIR_TRY(CheckPorts(from, path));
  host->domains.assign(from.domains().begin(), from.domains().end());
  for (int i = 0; i < from.routes_size(); ++i) {
    const std::string at = fmt::format("{}routes[{}]", path, i);
    WEIR_ASSIGN(traffic::RouteRule rule, ReadMatch(from.routes(i).match(), at + ".match"));
    WEIR_ASSIGN(RouteAction action, ReadAction(from.routes(i), at));
    rule.action = static_cast<uint32_t>(i);
    host->rules.push_back(std::move(rule));
    actions->push_back(std::move(action));
  }
  // A host alone in a table says whether its domains are of a form that is served.
  WEIR_TRY(([&]() -> Status {
    WEIR_ASSIGN(const auto unused, traffic::RouteTable::Build({host}));
    return {};
  }()));
  WEIR_ASSIGN(std::shared_ptr<const Callers> callers, ReadCallers(from, path));
  return HostPiece{std::move(host), std::move(actions), std::move(callers)};
}

Result<std::shared_ptr<const RoutesPiece>> ReadRouteConfiguration(const route::RouteConfiguration& from,
                                                                  const std::string& path) {
  auto out = std::make_shared<RoutesPiece>();
  out->name = from.name();
  out->vhds = from.has_vhds();
  if (from.validate_clusters().value()) {
    return Refuse("{}validate_clusters: a cluster that is not there answers 503, false is served", path);
  }
  for (int i = 0; i < from.virtual_hosts_size(); ++i) {
    WEIR_ASSIGN(HostPiece host, ReadHost(from.virtual_hosts(i), fmt::format("{}virtual_hosts[{}].", path, i)));
    out->hosts.push_back(std::move(host));
  }
  // Hosts of one resource that exclude each other make it bad; those of several are judged where they meet.
  std::vector<std::shared_ptr<const traffic::VirtualHost>> hosts;
  for (const HostPiece& host : out->hosts) hosts.push_back(host.host);
  WEIR_TRY(([&]() -> Status {
    WEIR_ASSIGN(const auto unused, traffic::RouteTable::Build(std::move(hosts)));
    return {};
  }()));
  return std::shared_ptr<const RoutesPiece>(std::move(out));
}

// --- Listeners

// What the engine does in one way only: another value is refused, so that nobody believes in it.
Status CheckHttpValues(const hcm::HttpConnectionManager& from, bool from_mesh, const std::string& path) {
  using Manager = hcm::HttpConnectionManager;
  if (from.path_with_escaped_slashes_action() != Manager::IMPLEMENTATION_SPECIFIC_DEFAULT &&
      from.path_with_escaped_slashes_action() != Manager::REJECT_REQUEST) {
    return Refuse("{}.path_with_escaped_slashes_action: REJECT_REQUEST is served", path);
  }
  if (from.has_use_remote_address() && from.use_remote_address().value() == from_mesh) {
    return Refuse(
        "{}.use_remote_address: forwarded headers are believed of callers with a demanded identity, and of no "
        "others; {} is served here",
        path, !from_mesh);
  }
  if (from.has_generate_request_id() && !from.generate_request_id().value())
    return Refuse("{}.generate_request_id: every request has one, true is served", path);
  if (from.has_request_headers_timeout() &&
      (from.request_headers_timeout().seconds() != 10 || from.request_headers_timeout().nanos() != 0)) {
    return Refuse("{}.request_headers_timeout: 10 s is served", path);
  }
  const auto& options = from.common_http_protocol_options();
  const uint32_t fields = (from_mesh ? dialect::kMeshHead : dialect::kEdgeHead).fields;
  if (options.has_max_headers_count() && options.max_headers_count().value() != fields)
    return Refuse("{}.common_http_protocol_options.max_headers_count: {} is served here", path, fields);
  return {};
}

// `from_mesh`: the chain demands identities of its callers.
Result<ChainRoutes> ReadHttp(const hcm::HttpConnectionManager& from, bool from_mesh, const std::string& path) {
  if (from.codec_type() != hcm::HttpConnectionManager::AUTO && from.codec_type() != hcm::HttpConnectionManager::HTTP1) {
    return Refuse("{}.codec_type: AUTO and HTTP1 are served", path);
  }
  if (from.has_normalize_path() && !from.normalize_path().value()) {
    return Refuse("{}.normalize_path: paths are always made canonical", path);
  }
  WEIR_TRY(CheckHttpValues(from, from_mesh, path));
  if (from.http_filters_size() != 1) return Refuse("{}.http_filters: exactly the router is served", path);
  WEIR_TRY(([&]() -> Status {
    using ::envoy::extensions::filters::http::router::v3::Router;
    WEIR_ASSIGN(const Router unused,
                Unpack<Router>(from.http_filters(0).typed_config(), path + ".http_filters[0].typed_config"));
    return {};
  }()));
  ChainRoutes out;
  if (from.has_route_config()) {
    if (from.route_config().has_vhds()) return Refuse("{}.route_config.vhds is served by RDS only", path);
    WEIR_ASSIGN(out.inline_routes, ReadRouteConfiguration(from.route_config(), path + ".route_config."));
  } else if (from.has_rds() && !from.rds().route_config_name().empty()) {
    out.rds = from.rds().route_config_name();
  } else {
    return InvalidArgument("BAD_RESOURCE", "{}: one of rds, route_config is required", path);
  }
  return out;
}

// The chain's matchers name nobody, so that an engine which does not know dialect::key::kByHost lets nobody in.
Status SetByHost(const std::string& path, FilterChain* chain) {
  if (!chain->tls || !chain->tls->require_client_certificate || !chain->server_names.empty()) {
    return Refuse("{}.metadata {}.{} needs a required client certificate and no server_names", path, dialect::kMetadata,
                  dialect::key::kByHost);
  }
  chain->tls->allowed_uris.clear();
  chain->tls->by_host = true;
  return {};
}

Status ReadChain(const ::envoy::config::listener::v3::FilterChain& from, const std::string& path, FilterChain* chain,
                 ChainRoutes* routes) {
  chain->name = from.name();
  for (std::string name : from.filter_chain_match().server_names()) {
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    chain->server_names.push_back(std::move(name));
  }
  const std::string& transport = from.filter_chain_match().transport_protocol();
  if (!transport.empty() && transport != (from.has_transport_socket() ? "tls" : "raw_buffer")) {
    return Refuse("{}.filter_chain_match.transport_protocol '{}' does not fit the chain", path, transport);
  }
  if (from.has_transport_socket()) {
    WEIR_ASSIGN(chain->tls, ReadDownstreamTls(from.transport_socket(), path + ".transport_socket"));
  } else if (!chain->server_names.empty()) {
    return Refuse("{}.filter_chain_match.server_names need a TLS transport_socket", path);
  }
  if (from.filters_size() != 1) return Refuse("{}.filters: exactly one http_connection_manager is served", path);
  const std::string at = path + ".filters[0].typed_config";
  WEIR_ASSIGN(const auto http, Unpack<hcm::HttpConnectionManager>(from.filters(0).typed_config(), at));
  WEIR_ASSIGN(const bool by_host, WeirMetadata(from.metadata(), path + ".metadata").Flag(dialect::key::kByHost));
  if (by_host) WEIR_TRY(SetByHost(path, chain));
  const bool from_mesh = chain->tls && chain->tls->demands();
  WEIR_ASSIGN(*routes, ReadHttp(http, from_mesh, at));
  if (http.has_stream_idle_timeout()) {
    WEIR_ASSIGN(chain->idle, Milliseconds(http.stream_idle_timeout(), at + ".stream_idle_timeout"));
  }
  chain->health_digest = from.name() == dialect::kHealthChain;
  if (chain->health_digest && !chain->tls)
    return Refuse("{}.transport_socket: '{}' needs TLS", path, dialect::kHealthChain);
  return {};
}

Status CheckChains(const std::vector<FilterChain>& chains) {
  std::set<std::string> names;
  for (size_t i = 0; i < chains.size(); ++i) {
    if (chains[i].tls.has_value() != chains[0].tls.has_value()) {
      return Refuse("filter_chains[{}].transport_socket: all chains of a listener are TLS, or none is", i);
    }
    if (chains[i].tls && chains[i].tls->by_host) continue;  // Its hosts are its names.
    std::vector<std::string> claimed = chains[i].server_names;
    if (claimed.empty()) claimed.emplace_back();
    for (const std::string& name : claimed) {
      if (!names.insert(name).second)
        return Refuse("filter_chains[{}].filter_chain_match.server_names: '{}' stands twice", i, name);
    }
  }
  return {};
}

// --- Endpoints

// All endpoints of a destination set are checked on the same port, if not on their own.
Status TakeCheckPort(const ::envoy::config::endpoint::v3::Endpoint& endpoint, const std::string& path, bool first,
                     uint16_t* port) {
  const uint32_t value = endpoint.health_check_config().port_value();
  if (value > 65535) return Refuse("{}.health_check_config.port_value {} is above 65535", path, value);
  if (!first && value != *port) {
    return Refuse("{}.health_check_config.port_value must be the same for all endpoints of a cluster", path);
  }
  *port = static_cast<uint16_t>(value);
  return {};
}

Result<Locality> ReadLocality(const ::envoy::config::endpoint::v3::LocalityLbEndpoints& from, const std::string& path) {
  Locality out;
  out.cluster = from.locality().sub_zone();
  if (from.has_load_balancing_weight()) out.weight = from.load_balancing_weight().value();
  if (from.priority() > 128) return Refuse("{}.priority must be 0 to 128", path);
  out.priority = from.priority();
  const WeirMetadata ours(from.metadata(), path + ".metadata");
  WEIR_ASSIGN(out.drained, ours.Flag(dialect::key::kDrained));
  WEIR_ASSIGN(out.standby, ours.Flag(dialect::key::kStandby));
  return out;
}

// An endpoint that cannot be connected to is refused by itself: those beside it are good.
Status TakeEndpoint(const ::envoy::config::endpoint::v3::LbEndpoint& from, const std::string& at, Locality* locality) {
  WEIR_ASSIGN(IpPort address, ReadAddress(from.endpoint().address(), at + ".endpoint.address"));
  if (address.port == 0) return Refuse("{}.endpoint.address.socket_address.port_value is required", at);
  const WeirMetadata ours(from.metadata(), at + ".metadata");
  WEIR_ASSIGN(std::string spiffe_id, ours.Text(dialect::key::kSpiffeId));
  if (locality->cluster.empty()) {
    WEIR_ASSIGN(locality->cluster, ours.Text(dialect::key::kCluster));
  }
  locality->endpoints.push_back({std::move(address.address), address.port, std::move(spiffe_id)});
  return {};
}

Result<EndpointsPiece> ReadLocalities(const ClusterLoadAssignment& from, const std::string& path) {
  EndpointsPiece out;
  bool first = true;
  for (int i = 0; i < from.endpoints_size(); ++i) {
    const auto& group = from.endpoints(i);
    WEIR_ASSIGN(Locality locality, ReadLocality(group, fmt::format("{}endpoints[{}]", path, i)));
    for (int j = 0; j < group.lb_endpoints_size(); ++j) {
      const auto& endpoint = group.lb_endpoints(j);
      const std::string at = fmt::format("{}endpoints[{}].lb_endpoints[{}]", path, i, j);
      WEIR_TRY(TakeCheckPort(endpoint.endpoint(), at + ".endpoint", std::exchange(first, false), &out.check_port));
      if (endpoint.health_status() == core::UNHEALTHY || endpoint.health_status() == core::DRAINING ||
          endpoint.health_status() == core::TIMEOUT) {
        continue;  // Said to be out: not a place to send to.
      }
      const Status taken = TakeEndpoint(endpoint, at, &locality);
      if (!taken.ok()) out.left_out.push_back(taken.error().message);
    }
    out.localities.push_back(std::move(locality));
  }
  return out;
}

void SayLeftOut(const std::string& name, const EndpointsPiece& endpoints) {
  if (endpoints.left_out.empty()) return;
  obs::Log(obs::Level::kWarn, "endpoints that cannot be connected to are left out",
           {{"set", CleanText(name, kMaxQuoted)},
            {"endpoints", std::to_string(endpoints.left_out.size())},
            {"first", CleanText(endpoints.left_out.front(), kMaxQuoted)}});
}

Status ReadJudgement(const ::envoy::config::cluster::v3::Cluster& from, DestinationSet* out) {
  if (from.health_checks_size() > 1) return Refuse("health_checks[1]: one check for a cluster is served");
  if (from.health_checks_size() == 1) {
    WEIR_ASSIGN(out->check, ReadHealthCheck(from.health_checks(0), "health_checks[0]"));
  }
  const WeirMetadata ours(from.metadata(), "metadata");
  WEIR_ASSIGN(const std::string mode, ours.Text(dialect::key::kMode));
  if (!mode.empty() && mode != dialect::kProportional && mode != dialect::kOrdered)
    return Refuse("metadata {}.{} '{}' is not known", dialect::kMetadata, dialect::key::kMode, mode);
  out->mode = mode == dialect::kOrdered ? traffic::Mode::kOrdered : traffic::Mode::kProportional;
  WEIR_ASSIGN(out->digest, ours.Flag(dialect::key::kDigest));
  WEIR_ASSIGN(out->hold, ours.Milliseconds(dialect::key::kHoldMs, out->hold));
  WEIR_ASSIGN(out->slow_return, ours.Milliseconds(dialect::key::kSlowReturnMs, out->slow_return));
  return {};
}

}  // namespace

Result<std::shared_ptr<const ListenerPiece>> ReadListener(const std::string& name, const std::string& bytes) {
  WEIR_ASSIGN(const auto from, Parse<::envoy::config::listener::v3::Listener>(bytes));
  WEIR_TRY(CheckName(name, from.name()));
  for (int i = 0; i < from.listener_filters_size(); ++i) {
    using ::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
    WEIR_ASSIGN(const auto unused, Unpack<TlsInspector>(from.listener_filters(i).typed_config(),
                                                        fmt::format("listener_filters[{}].typed_config", i)));
  }
  auto out = std::make_shared<ListenerPiece>();
  Listener listener;
  listener.name = listener.resource = from.name();
  if (from.filter_chains().empty()) return InvalidArgument("BAD_RESOURCE", "filter_chains is required");
  for (int i = 0; i < from.filter_chains_size(); ++i) {
    FilterChain chain;
    ChainRoutes routes;
    WEIR_TRY(ReadChain(from.filter_chains(i), fmt::format("filter_chains[{}]", i), &chain, &routes));
    listener.chains.push_back(std::move(chain));
    out->routes.push_back(std::move(routes));
  }
  WEIR_TRY(CheckChains(listener.chains));
  WEIR_ASSIGN(IpPort address, ReadAddress(from.address(), "address"));
  listener.address = address.address;
  listener.port = address.port;
  out->listeners.push_back(listener);
  for (int i = 0; i < from.additional_addresses_size(); ++i) {
    WEIR_ASSIGN(IpPort more, ReadAddress(from.additional_addresses(i).address(),
                                         fmt::format("additional_addresses[{}].address", i)));
    listener.name = from.name() + "@" + more.address;
    listener.address = more.address;
    listener.port = more.port;
    out->listeners.push_back(listener);
  }
  return std::shared_ptr<const ListenerPiece>(std::move(out));
}

Result<std::shared_ptr<const RoutesPiece>> ReadRoutes(const std::string& name, const std::string& bytes) {
  WEIR_ASSIGN(const auto from, Parse<route::RouteConfiguration>(bytes));
  WEIR_TRY(CheckName(name, from.name()));
  return ReadRouteConfiguration(from, "");
}

Result<std::shared_ptr<const HostPiece>> ReadVirtualHost(const std::string&, const std::string& bytes) {
  // The resource is named "<route configuration>/<name>"; the name inside may be either.
  WEIR_ASSIGN(const auto from, Parse<route::VirtualHost>(bytes));
  WEIR_ASSIGN(HostPiece host, ReadHost(from, ""));
  return std::shared_ptr<const HostPiece>(std::make_shared<HostPiece>(std::move(host)));
}

Result<std::shared_ptr<const DestinationSetPiece>> ReadDestinationSet(const std::string& name,
                                                                      const std::string& bytes) {
  using From = ::envoy::config::cluster::v3::Cluster;
  WEIR_ASSIGN(const auto from, Parse<From>(bytes));
  WEIR_TRY(CheckName(name, from.name()));
  auto out = std::make_shared<DestinationSetPiece>();
  out->destination.name = from.name();
  if (from.lb_policy() != From::ROUND_ROBIN) return Refuse("lb_policy: ROUND_ROBIN is served");
  if (from.type() != From::EDS && from.type() != From::STATIC) return Refuse("type: EDS and STATIC are served");
  const double panic = from.common_lb_config().healthy_panic_threshold().value();
  if (panic != 0 && panic != 1) return Refuse("common_lb_config.healthy_panic_threshold: 0 and 1 are served");
  out->destination.panic = panic == 1;
  out->destination.connect_timeout = std::chrono::seconds(5);  // Envoy's default.
  if (from.has_connect_timeout()) {
    WEIR_ASSIGN(out->destination.connect_timeout, Milliseconds(from.connect_timeout(), "connect_timeout"));
    if (out->destination.connect_timeout.count() == 0) return Refuse("connect_timeout must be above 0");
  }
  if (from.has_transport_socket()) {
    WEIR_ASSIGN(out->destination.tls, ReadUpstreamTls(from.transport_socket()));
  }
  WEIR_TRY(ReadJudgement(from, &out->destination));
  out->eds = from.type() == From::EDS;
  if (out->eds) {
    out->endpoints_name =
        from.eds_cluster_config().service_name().empty() ? from.name() : from.eds_cluster_config().service_name();
  } else {
    WEIR_ASSIGN(EndpointsPiece inside, ReadLocalities(from.load_assignment(), "load_assignment."));
    out->destination.localities = std::move(inside.localities);
    if (out->destination.check) out->destination.check->port = inside.check_port;
  }
  return std::shared_ptr<const DestinationSetPiece>(std::move(out));
}

Result<std::shared_ptr<const EndpointsPiece>> ReadEndpoints(const std::string& name, const std::string& bytes) {
  WEIR_ASSIGN(const auto from, Parse<ClusterLoadAssignment>(bytes));
  WEIR_TRY(CheckName(name, from.cluster_name()));
  WEIR_ASSIGN(EndpointsPiece out, ReadLocalities(from, ""));
  SayLeftOut(name, out);
  return std::shared_ptr<const EndpointsPiece>(std::make_shared<EndpointsPiece>(std::move(out)));
}

}  // namespace weir::proxy::envoy_v3
