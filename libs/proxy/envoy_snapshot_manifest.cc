#include "libs/proxy/envoy_snapshot.h"

namespace weir::proxy {

// Sorted by message. A field that is not listed is refused by name.
std::string_view EnvoyManifest() {
  static constexpr std::string_view kManifest = R"(
envoy.config.listener.v3.Listener.name supported
envoy.config.listener.v3.Listener.address supported
envoy.config.listener.v3.Listener.additional_addresses supported
envoy.config.listener.v3.Listener.filter_chains supported
envoy.config.listener.v3.Listener.listener_filters supported
envoy.config.listener.v3.Listener.stat_prefix ignored names metrics
envoy.config.listener.v3.Listener.traffic_direction ignored names metrics
envoy.config.listener.v3.Listener.metadata ignored names things
envoy.config.listener.v3.Listener.per_connection_buffer_limit_bytes ignored the engine has watermarks of its own
envoy.config.listener.v3.Listener.listener_filters_timeout ignored the engine has a head timeout of its own
envoy.config.listener.v3.Listener.enable_reuse_port ignored the engine opens one socket per worker
envoy.config.listener.v3.AdditionalAddress.address supported
envoy.config.listener.v3.ListenerFilter.name ignored names things
envoy.config.listener.v3.ListenerFilter.typed_config supported
envoy.config.listener.v3.FilterChain.name supported
envoy.config.listener.v3.FilterChain.filter_chain_match supported
envoy.config.listener.v3.FilterChain.filters supported
envoy.config.listener.v3.FilterChain.transport_socket supported
envoy.config.listener.v3.FilterChain.metadata supported
envoy.config.listener.v3.FilterChainMatch.server_names supported
envoy.config.listener.v3.FilterChainMatch.transport_protocol supported
envoy.config.listener.v3.Filter.name ignored names things
envoy.config.listener.v3.Filter.typed_config supported
envoy.config.core.v3.Address.socket_address supported
envoy.config.core.v3.SocketAddress.protocol supported
envoy.config.core.v3.SocketAddress.address supported
envoy.config.core.v3.SocketAddress.port_value supported
envoy.config.core.v3.TransportSocket.name ignored names things
envoy.config.core.v3.TransportSocket.typed_config supported
envoy.config.core.v3.Locality.region supported
envoy.config.core.v3.Locality.zone supported
envoy.config.core.v3.Locality.sub_zone supported
envoy.config.core.v3.Metadata.filter_metadata supported
envoy.config.core.v3.ConfigSource.ads supported
envoy.config.core.v3.ConfigSource.resource_api_version supported
envoy.config.core.v3.ConfigSource.initial_fetch_timeout ignored what has not arrived is waited for
envoy.config.core.v3.DataSource.inline_string supported
envoy.config.core.v3.DataSource.inline_bytes supported
envoy.config.core.v3.HealthCheck.timeout supported
envoy.config.core.v3.HealthCheck.interval supported
envoy.config.core.v3.HealthCheck.unhealthy_threshold supported
envoy.config.core.v3.HealthCheck.healthy_threshold supported
envoy.config.core.v3.HealthCheck.http_health_check supported
envoy.config.core.v3.HealthCheck.tcp_health_check supported
envoy.config.core.v3.HealthCheck.initial_jitter ignored the engine spreads its checks by itself
envoy.config.core.v3.HealthCheck.interval_jitter ignored the engine spreads its checks by itself
envoy.config.core.v3.HealthCheck.interval_jitter_percent ignored the engine spreads its checks by itself
envoy.config.core.v3.HealthCheck.no_traffic_interval ignored the engine checks at the interval with and without traffic
envoy.config.core.v3.HealthCheck.no_traffic_healthy_interval ignored the engine checks at the interval with and without traffic
envoy.config.core.v3.HealthCheck.unhealthy_interval ignored the engine checks at the interval in every state
envoy.config.core.v3.HealthCheck.unhealthy_edge_interval ignored the engine checks at the interval in every state
envoy.config.core.v3.HealthCheck.healthy_edge_interval ignored the engine checks at the interval in every state
envoy.config.core.v3.HealthCheck.HttpHealthCheck.host supported
envoy.config.core.v3.HealthCheck.HttpHealthCheck.path supported
envoy.config.core.v3.HealthCheck.HttpHealthCheck.expected_statuses supported
envoy.config.core.v3.HealthCheck.HttpHealthCheck.codec_client_type supported
envoy.config.core.v3.HealthCheck.HttpHealthCheck.method supported
envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector.enable_ja3_fingerprinting ignored names things
envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.codec_type supported
envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.stat_prefix ignored names metrics
envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.rds supported
envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.route_config supported
envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.http_filters supported
envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.strip_any_host_port ignored the engine always does
envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.normalize_path supported
envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.merge_slashes ignored the engine has one canonical path
envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.stream_idle_timeout supported
envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.path_with_escaped_slashes_action supported
envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.use_remote_address supported
envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.request_headers_timeout supported
envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.common_http_protocol_options supported
envoy.config.core.v3.HttpProtocolOptions.max_headers_count supported
envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.generate_request_id supported
envoy.extensions.filters.network.http_connection_manager.v3.Rds.route_config_name supported
envoy.extensions.filters.network.http_connection_manager.v3.Rds.config_source supported
envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter.name ignored names things
envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter.typed_config supported
envoy.extensions.filters.http.router.v3.Router.suppress_envoy_headers ignored the engine adds none
envoy.config.route.v3.RouteConfiguration.name supported
envoy.config.route.v3.RouteConfiguration.virtual_hosts supported
envoy.config.route.v3.RouteConfiguration.vhds supported
envoy.config.route.v3.RouteConfiguration.validate_clusters supported
envoy.config.route.v3.RouteConfiguration.ignore_port_in_host_matching ignored the engine always does
envoy.config.route.v3.Vhds.config_source supported
envoy.config.route.v3.VirtualHost.name supported
envoy.config.route.v3.VirtualHost.domains supported
envoy.config.route.v3.VirtualHost.routes supported
envoy.config.route.v3.VirtualHost.metadata supported
envoy.config.route.v3.Route.name ignored names things
envoy.config.route.v3.Route.match supported
envoy.config.route.v3.Route.route supported
envoy.config.route.v3.Route.redirect supported
envoy.config.route.v3.Route.direct_response supported
envoy.config.route.v3.Route.metadata supported
envoy.config.route.v3.RouteMatch.prefix supported
envoy.config.route.v3.RouteMatch.path supported
envoy.config.route.v3.RouteMatch.path_separated_prefix supported
envoy.config.route.v3.RouteMatch.case_sensitive supported
envoy.config.route.v3.RouteAction.cluster supported
envoy.config.route.v3.RouteAction.timeout supported
envoy.config.route.v3.RouteAction.idle_timeout supported
envoy.config.route.v3.RouteAction.retry_policy supported
envoy.config.route.v3.RetryPolicy.retry_on supported
envoy.config.route.v3.RetryPolicy.num_retries supported
envoy.config.route.v3.RedirectAction.https_redirect supported
envoy.config.route.v3.RedirectAction.scheme_redirect supported
envoy.config.route.v3.RedirectAction.host_redirect supported
envoy.config.route.v3.RedirectAction.path_redirect supported
envoy.config.route.v3.RedirectAction.response_code supported
envoy.config.route.v3.DirectResponseAction.status supported
envoy.config.route.v3.DirectResponseAction.body supported
envoy.config.cluster.v3.Cluster.name supported
envoy.config.cluster.v3.Cluster.alt_stat_name ignored names metrics
envoy.config.cluster.v3.Cluster.type supported
envoy.config.cluster.v3.Cluster.eds_cluster_config supported
envoy.config.cluster.v3.Cluster.connect_timeout supported
envoy.config.cluster.v3.Cluster.lb_policy supported
envoy.config.cluster.v3.Cluster.load_assignment supported
envoy.config.cluster.v3.Cluster.common_lb_config supported
envoy.config.cluster.v3.Cluster.transport_socket supported
envoy.config.cluster.v3.Cluster.metadata supported
envoy.config.cluster.v3.Cluster.health_checks supported
envoy.config.cluster.v3.Cluster.ignore_health_on_host_removal ignored an endpoint that is taken away is taken away at once
envoy.config.cluster.v3.Cluster.per_connection_buffer_limit_bytes ignored the engine has watermarks of its own
envoy.config.cluster.v3.Cluster.EdsClusterConfig.eds_config supported
envoy.config.cluster.v3.Cluster.EdsClusterConfig.service_name supported
envoy.config.cluster.v3.Cluster.CommonLbConfig.healthy_panic_threshold supported
envoy.type.v3.Percent.value supported
envoy.config.cluster.v3.Cluster.CommonLbConfig.locality_weighted_lb_config supported
envoy.config.endpoint.v3.ClusterLoadAssignment.cluster_name supported
envoy.config.endpoint.v3.ClusterLoadAssignment.endpoints supported
envoy.config.endpoint.v3.ClusterLoadAssignment.policy supported
envoy.config.endpoint.v3.ClusterLoadAssignment.Policy.overprovisioning_factor ignored a cluster always keeps its whole share while one endpoint can serve
envoy.config.endpoint.v3.LocalityLbEndpoints.locality supported
envoy.config.endpoint.v3.LocalityLbEndpoints.lb_endpoints supported
envoy.config.endpoint.v3.LocalityLbEndpoints.load_balancing_weight supported
envoy.config.endpoint.v3.LocalityLbEndpoints.priority supported
envoy.config.endpoint.v3.LocalityLbEndpoints.metadata supported
envoy.config.endpoint.v3.LbEndpoint.endpoint supported
envoy.config.endpoint.v3.LbEndpoint.health_status supported
envoy.config.endpoint.v3.LbEndpoint.metadata supported
envoy.config.endpoint.v3.Endpoint.address supported
envoy.config.endpoint.v3.Endpoint.health_check_config supported
envoy.config.endpoint.v3.Endpoint.HealthCheckConfig.port_value supported
envoy.config.endpoint.v3.Endpoint.hostname ignored names things
envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext.common_tls_context supported
envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext.require_client_certificate supported
envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext.common_tls_context supported
envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext.sni supported
envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.tls_certificate_sds_secret_configs supported
envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.combined_validation_context supported
envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.validation_context_sds_secret_config supported
envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.alpn_protocols supported
envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CombinedCertificateValidationContext.default_validation_context supported
envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CombinedCertificateValidationContext.validation_context_sds_secret_config supported
envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext.match_typed_subject_alt_names supported
envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext.trusted_ca supported
envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext.custom_validator_config supported
envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher.san_type supported
envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher.matcher supported
envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig.name supported
envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig.sds_config supported
envoy.extensions.transport_sockets.tls.v3.Secret.name supported
envoy.extensions.transport_sockets.tls.v3.Secret.validation_context supported
envoy.config.core.v3.TypedExtensionConfig.name supported
envoy.config.core.v3.TypedExtensionConfig.typed_config supported
google.protobuf.Struct.fields supported
envoy.type.matcher.v3.StringMatcher.exact supported
envoy.type.matcher.v3.StringMatcher.prefix supported
envoy.type.v3.Int64Range.start supported
envoy.type.v3.Int64Range.end supported
)";
  return kManifest.substr(1);
}

}  // namespace weir::proxy
