#include "libs/translate/xds/envoy.h"

#include "envoy/config/accesslog/v3/accesslog.pb.h"
#include "envoy/extensions/access_loggers/stream/v3/stream.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "libs/dialect/dialect.h"
#include "libs/dialect/heads.h"
#include "libs/traffic/reason.h"

namespace weir::translate::envoy_v3 {

void SetAdsSource(core::ConfigSource* source) {
  source->mutable_ads();
  source->set_resource_api_version(core::V3);
}

void SetAddress(const std::string& ip, uint32_t port, core::Address* address) {
  auto* socket = address->mutable_socket_address();
  socket->set_address(ip);
  socket->set_port_value(port);
}

void SetMilliseconds(int64_t milliseconds, google::protobuf::Duration* duration) {
  duration->set_seconds(milliseconds / 1000);
  duration->set_nanos(static_cast<int32_t>(milliseconds % 1000) * 1'000'000);
}

std::string DestinationName(const mesh::v1::DestinationSet& set) {
  if (!set.has_service()) return set.name();
  return ServiceDestinationName(set.service().namespace_(), set.service().host(), set.service().port());
}
std::string ServiceDestinationName(std::string_view name_space, std::string_view host, uint32_t port) {
  return dialect::ServiceSet(fmt::format("{}/{}", name_space, host), port);
}
std::string AppDestinationName(uint32_t port) { return fmt::format("app/{}", port); }

void SetMeshTls(const std::set<std::string>& peers, tls::CommonTlsContext* context) {
  auto* own = context->add_tls_certificate_sds_secret_configs();
  own->set_name(std::string(dialect::kIdentitySecret));
  SetAdsSource(own->mutable_sds_config());
  auto* validation = context->mutable_combined_validation_context();
  validation->mutable_validation_context_sds_secret_config()->set_name(std::string(dialect::kTrustSecret));
  SetAdsSource(validation->mutable_validation_context_sds_secret_config()->mutable_sds_config());
  const auto add = [&]() {
    auto* san = validation->mutable_default_validation_context()->add_match_typed_subject_alt_names();
    san->set_san_type(tls::SubjectAltNameMatcher::URI);
    return san->mutable_matcher();
  };
  for (const std::string& id : peers) add()->set_exact(id);
  if (peers.empty()) add()->set_exact("spiffe://nobody.invalid");  // No matcher at all would mean anybody.
}

namespace {

// Answers of Envoy's own say why as ours do. A request that reached nobody may be repeated elsewhere by the tier
// before, whatever it is; one that was lost on its way, which is looked at first, only if it is safe.
void SayWhy(hcm::HttpConnectionManager* http) {
  struct Why {
    const char* flag;
    traffic::Reason reason;
    bool sent;
  };
  using traffic::Reason;
  constexpr Why kWhy[] = {{"UC", Reason::kUpstreamLost, true},
                          {"UR", Reason::kUpstreamLost, true},
                          {"UH", Reason::kNoClusterCanServe, false},
                          {"UF", Reason::kConnectFailed, false}};
  for (const auto& [flag, reason, sent] : kWhy) {
    auto* mapper = http->mutable_local_reply_config()->add_mappers();
    mapper->mutable_filter()->mutable_response_flag_filter()->add_flags(flag);
    if (sent) mapper->mutable_status_code()->set_value(502);  // As ours: nobody repeats by himself what may have run.
    const auto say = [mapper](std::string_view key, std::string_view value) {
      auto* header = mapper->add_headers_to_add();
      header->mutable_header()->set_key(std::string(key));
      header->mutable_header()->set_value(std::string(value));
      header->set_append_action(core::HeaderValueOption::OVERWRITE_IF_EXISTS_OR_ADD);
    };
    say(dialect::kReasonHeader, Word(reason));
    if (!sent) say("retry-after", "1");
  }
}

// A JSON line per request on standard output, in the words of our own log (libs/proxy/access_log.h). No header that
// may carry a credential is named, and of the path no query: it is written whether or not somebody asked for it. What
// checks health each second stays out.
void LogRequests(hcm::HttpConnectionManager* http) {
  const std::string cluster = fmt::format("%UPSTREAM_METADATA({}:{})%", dialect::kMetadata, dialect::key::kCluster);
  const std::string reason = fmt::format("%RESP({})%", dialect::kReasonHeader);
  const std::pair<const char*, std::string> fields[] = {
      {"time", "%START_TIME%"},
      {"method", "%REQ(:METHOD)%"},
      {"host", "%REQ(:AUTHORITY)%"},
      {"path", "%PATH(NQ)%"},
      {"status", "%RESPONSE_CODE%"},
      {"durationUs", "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%"},
      {"bytesIn", "%BYTES_RECEIVED%"},
      {"bytesOut", "%BYTES_SENT%"},
      {"cluster", cluster},
      {"upstreamCluster", "%UPSTREAM_CLUSTER_RAW%"},
      {"endpoint", "%UPSTREAM_HOST%"},
      {"attempts", "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"},
      {"reason", reason},
      {"flags", "%RESPONSE_FLAGS%"},
      {"detail", "%RESPONSE_CODE_DETAILS%"},
      {"requestId", "%REQ(X-REQUEST-ID)%"},
      {"peer", "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"},
      {"identity", "%DOWNSTREAM_PEER_URI_SAN%"},
  };
  ::envoy::extensions::access_loggers::stream::v3::StdoutAccessLog to;
  to.mutable_log_format()->set_omit_empty_values(true);
  auto& line = *to.mutable_log_format()->mutable_json_format()->mutable_fields();
  for (const auto& [word, value] : fields) line[word].set_string_value(value);
  auto* log = http->add_access_log();
  log->set_name("envoy.access_loggers.stdout");
  log->mutable_filter()->mutable_not_health_check_filter();
  Pack(to, log->mutable_typed_config());
}

}  // namespace

void AddHttp(const HttpOptions& options, NodeProfile profile, listener::FilterChain* chain) {
  hcm::HttpConnectionManager http;
  http.set_stat_prefix(options.stat_prefix);
  if (options.inline_routes != nullptr) {
    *http.mutable_route_config() = *options.inline_routes;
  } else {
    http.mutable_rds()->set_route_config_name(options.route_config);
    SetAdsSource(http.mutable_rds()->mutable_config_source());
  }
  if (profile.stock_envoy && options.answers_for != nullptr) AddHealthAnswer(*options.answers_for, &http);
  // Towards strangers a bound on how long nothing may move; a caller of the mesh has a clock of its own, and this is
  // only the end of what it forgot.
  SetMilliseconds(options.edge ? kIdleMs : kForgottenMs, http.mutable_stream_idle_timeout());
  auto* router = http.add_http_filters();
  router->set_name("envoy.filters.http.router");
  Pack(::envoy::extensions::filters::http::router::v3::Router(), router->mutable_typed_config());
  if (profile.stock_envoy) {
    SayWhy(&http);
    LogRequests(&http);
    http.set_strip_any_host_port(true);
    http.mutable_normalize_path()->set_value(true);
    http.set_merge_slashes(true);
    http.set_path_with_escaped_slashes_action(hcm::HttpConnectionManager::REJECT_REQUEST);
    http.mutable_use_remote_address()->set_value(options.edge);
    SetMilliseconds(60'000, http.mutable_request_headers_timeout());
    http.mutable_common_http_protocol_options()->set_headers_with_underscores_action(
        core::HttpProtocolOptions::REJECT_REQUEST);  // As our own engine does.
    const dialect::HeadBounds& bounds = options.edge ? dialect::kEdgeHead : dialect::kMeshHead;
    http.mutable_common_http_protocol_options()->mutable_max_headers_count()->set_value(bounds.fields);
    http.mutable_max_request_headers_kb()->set_value(bounds.kib);
    http.add_upgrade_configs()->set_upgrade_type("websocket");
  }
  auto* filter = chain->add_filters();
  filter->set_name("envoy.filters.network.http_connection_manager");
  Pack(http, filter->mutable_typed_config());
}

namespace {

// The application beside a pod proxy.
route::RouteConfiguration AppRoutes(uint32_t port) {
  route::RouteConfiguration routes;
  routes.set_name(AppDestinationName(port));
  auto* host = routes.add_virtual_hosts();
  host->set_name("app");
  host->add_domains("*");
  auto* route = host->add_routes();
  route->set_name("app");
  route->mutable_match()->set_prefix("/");
  route->mutable_route()->set_cluster(routes.name());
  SetMilliseconds(0, route->mutable_route()->mutable_timeout());  // The caller's tier has the clock.
  return routes;
}

void AddMeshTls(const MeshChain& chain, listener::FilterChain* out) {
  if (chain.server_name.empty()) {
    WeirMetadataValue(dialect::key::kByHost, out->mutable_metadata()).set_bool_value(true);
  } else if (chain.server_name != "*") {
    out->mutable_filter_chain_match()->add_server_names(chain.server_name);
  }
  tls::DownstreamTlsContext context;
  context.mutable_require_client_certificate()->set_value(true);
  SetMeshTls(chain.peers, context.mutable_common_tls_context());
  out->mutable_transport_socket()->set_name("envoy.transport_sockets.tls");
  Pack(context, out->mutable_transport_socket()->mutable_typed_config());
}

}  // namespace

void MakeMeshChain(const MeshChain& chain, NodeProfile profile, listener::FilterChain* out) {
  out->set_name(chain.name.empty() ? chain.server_name : chain.name);
  AddMeshTls(chain, out);
  HttpOptions http;
  http.answers_for = &chain.destinations;
  route::RouteConfiguration routes;
  if (!chain.route_config.empty()) {
    http.stat_prefix = "mesh/" + chain.route_config;
    http.route_config = chain.route_config;
  } else {
    routes = chain.app_port == 0 ? DigestRoutes() : AppRoutes(chain.app_port);
    http.stat_prefix = routes.name();
    http.inline_routes = &routes;
    if (chain.app_port == 0) http.answers_for = nullptr;  // The digest is not the health of one host.
  }
  AddHttp(http, profile, out);
}

}  // namespace weir::translate::envoy_v3
