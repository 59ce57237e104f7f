#include "cluster-agent/serve/workloads.h"

#include <arpa/inet.h>

#include <filesystem>

#include "api/weir/agent/v1/discovery.pb.h"
#include "api/weir/bootstrap/v1/bootstrap.pb.h"
#include "libs/base/file.h"
#include "libs/base/sha256.h"
#include "libs/document/document.h"
#include "libs/identity/certificates.h"
#include "libs/identity/spiffe_id.h"
#include "libs/identity/token.h"

namespace weir::agent {
namespace {

using document::Node;

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
  gateway.set_node_id(membership.cluster + "/" + KeyOf(workload));
  gateway.set_cluster(membership.cluster);
  // The admin door answers on loopback only; elsewhere the default, a unix socket, stays.
  if (IsLoopback(address)) gateway.set_admin(HostPort(address, BoundPort(workload, 15000)));
  gateway.set_probes(HostPort(address, BoundPort(workload, 15021)));
  gateway.set_source_address(address);
  return document::ToJson(gateway, true);
}

Node SocketAddress(const std::string& host_port) {
  const size_t colon = host_port.rfind(':');
  std::string host = host_port.substr(0, colon);
  if (host.starts_with("[")) host = host.substr(1, host.size() - 2);
  Node address = Node::Map();
  Node& socket = address.Add("socket_address", Node::Map());
  socket.Add("address", Node::String(host));
  socket.Add("port_value", Node::Number(host_port.substr(colon + 1)));
  return address;
}

// gRPC to the agent with the workload's token.
Node AgentService(const std::string& token) {
  Node service = Node::Map();
  service.Add("envoy_grpc", Node::Map()).Add("cluster_name", Node::String("weir-agent"));
  Node metadata = Node::Map();
  metadata.Add("key", Node::String("authorization"));
  metadata.Add("value", Node::String("Bearer " + token));
  service.Add("initial_metadata", Node::Sequence()).items.push_back(std::move(metadata));
  return service;
}

// A stock Envoy: delta ADS to the agent, identity and trust by SDS on the same stream.
std::string EnvoyBootstrap(const v1::Workload& workload, const Membership& membership, const std::string& agent,
                           const std::string& token) {
  Node root = Node::Map();
  Node& node = root.Add("node", Node::Map());
  node.Add("id", Node::String(membership.cluster + "/" + KeyOf(workload)));
  node.Add("cluster", Node::String(membership.cluster));
  node.Add("locality", Node::Map()).Add("sub_zone", Node::String(membership.cluster));
  if (IsLoopback(workload.addresses(0))) {
    root.Add("admin", Node::Map())
        .Add("address", SocketAddress(HostPort(workload.addresses(0), BoundPort(workload, 15000))));
  }
  Node& dynamic = root.Add("dynamic_resources", Node::Map());
  Node& ads = dynamic.Add("ads_config", Node::Map());
  ads.Add("api_type", Node::String("DELTA_GRPC"));
  ads.Add("transport_api_version", Node::String("V3"));
  ads.Add("grpc_services", Node::Sequence()).items.push_back(AgentService(token));
  for (const char* config : {"cds_config", "lds_config"}) {
    Node& source = dynamic.Add(config, Node::Map());
    source.Add("resource_api_version", Node::String("V3"));
    source.Add("ads", Node::Map());
  }
  Node& loads = root.Add("cluster_manager", Node::Map()).Add("load_stats_config", Node::Map());
  loads.Add("api_type", Node::String("GRPC"));
  loads.Add("transport_api_version", Node::String("V3"));
  loads.Add("grpc_services", Node::Sequence()).items.push_back(AgentService(token));
  Node cluster = Node::Map();
  cluster.Add("name", Node::String("weir-agent"));
  cluster.Add("type", Node::String("STATIC"));
  cluster.Add("connect_timeout", Node::String("1s"));
  Node& options = cluster.Add("typed_extension_protocol_options", Node::Map())
                      .Add("envoy.extensions.upstreams.http.v3.HttpProtocolOptions", Node::Map());
  options.Add("@type", Node::String("type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"));
  Node& keepalive = options.Add("explicit_http_config", Node::Map())
                        .Add("http2_protocol_options", Node::Map())
                        .Add("connection_keepalive", Node::Map());
  keepalive.Add("interval", Node::String("10s"));
  keepalive.Add("timeout", Node::String("5s"));
  Node endpoint = Node::Map();
  endpoint.Add("endpoint", Node::Map()).Add("address", SocketAddress(agent));
  Node endpoints = Node::Map();
  endpoints.Add("lb_endpoints", Node::Sequence()).items.push_back(std::move(endpoint));
  Node& assignment = cluster.Add("load_assignment", Node::Map());
  assignment.Add("cluster_name", Node::String("weir-agent"));
  assignment.Add("endpoints", Node::Sequence()).items.push_back(std::move(endpoints));
  Node& socket = cluster.Add("transport_socket", Node::Map());
  socket.Add("name", Node::String("envoy.transport_sockets.tls"));
  Node& tls = socket.Add("typed_config", Node::Map());
  tls.Add("@type", Node::String("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"));
  tls.Add("sni", Node::String(identity::AgentDnsName(membership.trust_domain)));
  Node& common = tls.Add("common_tls_context", Node::Map());
  common.Add("alpn_protocols", Node::Sequence()).items.push_back(Node::String("h2"));
  Node& validation = common.Add("validation_context", Node::Map());
  validation.Add("trusted_ca", Node::Map()).Add("inline_string", Node::String(membership.root_pem));
  Node san = Node::Map();
  san.Add("san_type", Node::String("URI"));
  san.Add("matcher", Node::Map()).Add("exact", Node::String(identity::AgentSpiffeId(membership.trust_domain)));
  validation.Add("match_typed_subject_alt_names", Node::Sequence()).items.push_back(std::move(san));
  root.Add("static_resources", Node::Map()).Add("clusters", Node::Sequence()).items.push_back(std::move(cluster));
  return document::WriteYaml(root);
}

}  // namespace

Result<std::string> WorkloadRegistry::TokenOf(const std::string& folder) {
  const std::string path = folder + "/token";
  auto token = identity::ReadSecretFile(path);
  if (token.ok() && !token->empty()) {
    while (token->ends_with('\n')) token->pop_back();
    return token;
  }
  if (!token.ok() && token.error().code != Code::kNotFound) return token;
  std::string fresh = identity::NewBearerToken();
  WEIR_TRY(identity::WriteSecretFile(path, fresh + "\n"));
  return fresh;
}

Status WorkloadRegistry::Update(const Facts& facts, const Membership& membership, const std::string& agent_address) {
  std::map<std::string, std::string> by_token_hash, spiffe_ids;
  Status outcome;
  const auto write = [&](const std::string& path, const std::string& content) {
    std::string& written = written_[path];
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
    const auto token = TokenOf(folder);
    if (!token.ok()) {
      outcome = token.error();
      continue;
    }
    by_token_hash[Sha256Hex(*token)] = key;
    spiffe_ids[key] = SpiffeIdOf(membership.trust_domain, *workload);
    write(folder + "/gateway.json", GatewayBootstrap(*workload, membership, agent_address, folder));
    write(folder + "/envoy.yaml", EnvoyBootstrap(*workload, membership, agent_address, *token));
  }
  std::lock_guard lock(mutex_);
  known_ = true;
  by_token_hash_ = std::move(by_token_hash);
  spiffe_ids_ = std::move(spiffe_ids);
  return outcome;
}

Result<std::string> WorkloadRegistry::WorkloadOf(const std::string& bearer_token) const {
  if (bearer_token.empty()) return Unauthenticated("TOKEN_MISSING", "no workload token was sent");
  const std::string hash = Sha256Hex(bearer_token);
  std::lock_guard lock(mutex_);
  if (!known_) return Unavailable("STARTING", "the agent does not know its workloads yet; try again");
  const auto found = by_token_hash_.find(hash);
  if (found == by_token_hash_.end()) {
    return Unauthenticated("TOKEN_UNKNOWN", "the token belongs to no workload that is declared here");
  }
  return found->second;
}

Result<std::string> WorkloadRegistry::SpiffeIdOfWorkload(const std::string& workload) const {
  std::lock_guard lock(mutex_);
  const auto found = spiffe_ids_.find(workload);
  if (found == spiffe_ids_.end()) return NotFound("WORKLOAD_UNKNOWN", "{} is not declared here", workload);
  return found->second;
}

}  // namespace weir::agent
