#include "cluster-agent/serve/workloads.h"

#include <arpa/inet.h>

#include <filesystem>

#include "api/weir/agent/v1/discovery.pb.h"
#include "api/weir/bootstrap/v1/bootstrap.pb.h"
#include "libs/base/file.h"
#include "libs/base/mutex.h"
#include "libs/base/sha256.h"
#include "libs/document/document.h"
#include "libs/identity/certificates.h"
#include "libs/identity/spiffe_id.h"
#include "libs/identity/token.h"
#include "libs/obs/json.h"

namespace weir::agent {
namespace {

std::string HostPort(const std::string& address, uint32_t port) {
  return address.find(':') == std::string::npos ? fmt::format("{}:{}", address, port)
                                                : fmt::format("[{}]:{}", address, port);
}

bool IsLoopback(const std::string& address) { return address.starts_with("127.") || address == "::1"; }

std::string GatewayBootstrap(const v1::Workload& workload, const Membership& membership, const std::string& agent,
                             const std::string& folder) {
  bootstrap::v1::Gateway gateway;
  const std::string& address = workload.addresses(0);
  gateway.set_state_dir(folder + "/state");
  gateway.set_agent(agent);
  gateway.set_agent_id(identity::AgentSpiffeId(membership.trust_domain));
  gateway.set_root_pem(membership.root_pem);
  gateway.set_token_file(folder + "/token");
  gateway.set_node_id(membership.cluster + "/" + translate::KeyOf(workload));
  gateway.set_cluster(membership.cluster);
  // The admin door answers on loopback only; elsewhere the default, a unix socket, stays.
  if (IsLoopback(address)) gateway.set_admin(HostPort(address, translate::BoundPort(workload, 15000)));
  gateway.set_probes(HostPort(address, translate::BoundPort(workload, 15021)));
  gateway.set_source_address(address);
  return document::ToJson(gateway, true);
}

// A string of YAML, whatever it holds.
std::string Quoted(std::string_view text) {
  std::string out;
  obs::AppendJsonString(out, text);
  return out;
}

std::pair<std::string, std::string> SplitHostPort(const std::string& host_port) {
  const size_t colon = host_port.rfind(':');
  std::string host = host_port.substr(0, colon);
  if (host.starts_with("[")) host = host.substr(1, host.size() - 2);
  return {host, host_port.substr(colon + 1)};
}

constexpr std::string_view kEnvoyAdmin = R"(admin:
  address:
    socket_address: {{address: {address}, port_value: {port}}}
)";

// The limits are those that Envoy's documentation advises for an edge; those of connections and requests come with the
// listeners. The workload's token stands in a file of its own: /config_dump shows its path, and that redacted.
constexpr std::string_view kEnvoyBootstrap = R"(node:
  id: {id}
  cluster: {cluster}
  locality: {{sub_zone: {cluster}}}
dynamic_resources:
  ads_config:
    api_type: DELTA_GRPC
    transport_api_version: V3
    grpc_services:
    - envoy_grpc: {{cluster_name: weir-agent}}
  cds_config: {{resource_api_version: V3, ads: {{}}}}
  lds_config: {{resource_api_version: V3, ads: {{}}}}
cluster_manager:
  load_stats_config:
    api_type: GRPC
    transport_api_version: V3
    grpc_services:
    - envoy_grpc: {{cluster_name: weir-agent}}
overload_manager:
  refresh_interval: 0.25s
  resource_monitors:
  - name: envoy.resource_monitors.fixed_heap
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig
      max_heap_size_bytes: 2147483648
  - name: envoy.resource_monitors.global_downstream_max_connections
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig
      max_active_downstream_connections: 50000
  actions:
  - name: envoy.overload_actions.shrink_heap
    triggers:
    - {{name: envoy.resource_monitors.fixed_heap, threshold: {{value: 0.95}}}}
  - name: envoy.overload_actions.stop_accepting_requests
    triggers:
    - {{name: envoy.resource_monitors.fixed_heap, threshold: {{value: 0.98}}}}
static_resources:
  secrets:
  - name: authorization
    generic_secret:
      secret: {{filename: {authorization}}}
  clusters:
  - name: weir-agent
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config:
          http2_protocol_options:
            connection_keepalive: {{interval: 10s, timeout: 5s}}
        http_filters:
        - name: envoy.filters.http.credential_injector
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector
            overwrite: true
            credential:
              name: envoy.http.injected_credentials.generic
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic
                credential: {{name: authorization}}
                header: authorization
        - name: envoy.filters.http.upstream_codec
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec
    load_assignment:
      cluster_name: weir-agent
      endpoints:
      - lb_endpoints:
        - endpoint:
            address:
              socket_address: {{address: {agent_host}, port_value: {agent_port}}}
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: {agent_name}
        common_tls_context:
          alpn_protocols: [h2]
          validation_context:
            trusted_ca:
              inline_string: {root}
            match_typed_subject_alt_names:
            - san_type: URI
              matcher: {{exact: {agent_id}}}
)";

// A stock Envoy: delta ADS to the agent, identity and trust by SDS on the same stream.
std::string EnvoyBootstrap(const v1::Workload& workload, const Membership& membership, const std::string& agent,
                           const std::string& folder) {
  std::string out;
  if (IsLoopback(workload.addresses(0))) {
    out += fmt::format(kEnvoyAdmin, fmt::arg("address", Quoted(workload.addresses(0))),
                       fmt::arg("port", translate::BoundPort(workload, 15000)));
  }
  const auto [agent_host, agent_port] = SplitHostPort(agent);
  out += fmt::format(kEnvoyBootstrap, fmt::arg("id", Quoted(membership.cluster + "/" + translate::KeyOf(workload))),
                     fmt::arg("cluster", Quoted(membership.cluster)),
                     fmt::arg("authorization", Quoted(folder + "/authorization")),
                     fmt::arg("agent_host", Quoted(agent_host)), fmt::arg("agent_port", agent_port),
                     fmt::arg("agent_name", Quoted(identity::AgentDnsName(membership.trust_domain))),
                     fmt::arg("agent_id", Quoted(identity::AgentSpiffeId(membership.trust_domain))),
                     fmt::arg("root", Quoted(membership.root_pem)));
  return out;
}

}  // namespace

Status WorkloadRegistry::Update(const translate::Facts& facts, const Membership& membership,
                                const std::string& agent_address) {
  if (membership.workload_key.empty()) {
    return FailedPrecondition("WORKLOAD_KEY_MISSING", "the membership has no key for the tokens of workloads");
  }
  std::map<std::string, std::string> by_token_hash, spiffe_ids;
  Status outcome;
  const auto write = [&](const std::string& path, const std::string& content) {
    std::string& written = written_[path];
    if (written.empty()) {
      if (auto kept = identity::ReadSecretFile(path); kept.ok()) written = std::move(*kept);  // Of an earlier start.
    }
    if (written == content) return;
    const Status status = identity::WriteSecretFile(path, content);
    if (status.ok())
      written = content;
    else
      outcome = status;
  };
  const std::string dir = std::filesystem::absolute(dir_).lexically_normal().string();
  for (const auto& [key, workload] : facts.workloads) {
    const std::string folder = dir + "/" + key;
    const std::string token = identity::WorkloadToken(membership.workload_key, key);
    by_token_hash[Sha256Hex(token)] = key;
    spiffe_ids[key] = translate::SpiffeIdOf(membership.trust_domain, *workload);
    write(folder + "/gateway.json", GatewayBootstrap(*workload, membership, agent_address, folder));
    write(folder + "/roots.pem", membership.root_pem);
    write(folder + "/token", token + "\n");
    write(folder + "/authorization", "Bearer " + token);
    write(folder + "/envoy.yaml", EnvoyBootstrap(*workload, membership, agent_address, folder));
  }
  MutexLock lock(mutex_);
  known_ = true;
  by_token_hash_ = std::move(by_token_hash);
  spiffe_ids_ = std::move(spiffe_ids);
  return outcome;
}

Result<std::string> WorkloadRegistry::WorkloadOf(const std::string& bearer_token) const {
  if (bearer_token.empty()) return Unauthenticated("TOKEN_MISSING", "no workload token was sent");
  const std::string hash = Sha256Hex(bearer_token);
  MutexLock lock(mutex_);
  if (!known_) return Unavailable("STARTING", "the agent does not know its workloads yet; try again");
  const auto found = by_token_hash_.find(hash);
  if (found == by_token_hash_.end()) {
    return Unauthenticated("TOKEN_UNKNOWN", "the token belongs to no workload that is declared here");
  }
  return found->second;
}

Result<std::string> WorkloadRegistry::SpiffeIdOfWorkload(const std::string& workload) const {
  MutexLock lock(mutex_);
  const auto found = spiffe_ids_.find(workload);
  if (found == spiffe_ids_.end()) return NotFound("WORKLOAD_UNKNOWN", "{} is not declared here", workload);
  return found->second;
}

}  // namespace weir::agent
