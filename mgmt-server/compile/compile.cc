#include "mgmt-server/compile/compile.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>

#include "api/weir/mesh/v1/intent.pb.h"
#include "libs/base/sha256.h"
#include "libs/dialect/dialect.h"
#include "libs/resource/kinds.h"
#include "libs/rpc/time.h"
#include "libs/xds/protocol/types.h"
#include "mgmt-server/compile/gateway_shape.h"
#include "mgmt-server/compile/keys.h"
#include "mgmt-server/compile/named_service.h"
#include "mgmt-server/compile/spread.h"

namespace weir::compile {
namespace {

Resource Finish(std::string_view type, const std::string& name, const google::protobuf::Message& message,
                const Sources& sources) {
  Resource resource;
  resource.type = type;
  resource.name = name;
  {
    google::protobuf::io::StringOutputStream stream(&resource.bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  resource.version = Sha256Hex(resource.bytes).substr(0, 32);
  resource.provenance.assign(sources.begin(), sources.end());
  return resource;
}

template <typename List>
void AddProvenance(const Sources& sources, List* list) {
  for (const std::string& fqn : sources) list->Add()->set_fqn(fqn);
}

void SetSelector(const v2::WorkloadSelector& from, mesh::v1::Selector* to) {
  to->set_namespace_(from.namespace_());
  *to->mutable_labels() = from.labels();
}

// SPIFFE ids of the workloads that a tier-1 object selects and that tier-2 gateways of `callee` let in. False: it
// selects none anywhere.
bool AddCallers(const World& world, const GatewayShape& tier1, std::string_view callee,
                std::set<std::string>& callers) {
  const std::vector<std::string> clusters = ClustersOf(world, tier1);
  for (const std::string& cluster : clusters) {
    if (!AdmittedAsTier1(world, cluster, callee)) continue;
    const std::string domain = world.TrustDomain(cluster);
    for (const SelectedWorkload& selected : SelectedIn(world, tier1, cluster)) {
      callers.insert(SpiffeId(domain, *selected.workload));
    }
  }
  return !clusters.empty();
}

// Who may call a tier-2 host on 15443: the workloads of the tier-1 objects that route it here, and of no others.
void SetCallers(const World& world, std::string_view cluster, const Owner& owner, mesh::v1::Host& host,
                Sources& sources) {
  std::set<std::string> callers;
  for (const std::string& fqn : Tier1For(world, owner.shape->organization, host.hostname())) {
    const GatewayShape& tier1 = *world.gateway(fqn);
    if (!RoutesTo(tier1, host.hostname(), resource::LastName(cluster), owner.shape->tenant)) continue;
    if (AddCallers(world, tier1, cluster, callers)) sources.insert(tier1.fqn);
  }
  for (const std::string& caller : callers) host.add_allowed_callers(caller);
}

// Whether this port's routes answer for the host on 15443, which knows hosts, not ports: one that goes to a service
// before one that only redirects, then the lowest. Two that go to services are refused when they are written.
bool AnswersOnMesh(const World& world, std::string_view cluster, const HostParts& name, const Owner& owner) {
  if (owner.shape->tier1) return false;
  const auto fqns = world.state().tier2_by_host.find(name.hostname);
  if (fqns == world.state().tier2_by_host.end()) return false;
  std::pair<bool, uint32_t> best{!resource::GoesToServices(*owner.server->http), owner.server->port};
  const auto mine = best;
  for (const std::string& fqn : fqns->second) {
    const GatewayShape& shape = *world.gateway(fqn);
    if (shape.selector_key != name.listener.selector_key || !CountsIn(world, shape, cluster)) continue;
    const auto [begin, end] = shape.servers_by_host.equal_range(name.hostname);
    for (auto at = begin; at != end; ++at) {
      const ServerShape& server = shape.servers[at->second];
      best = std::min(best, std::pair(!resource::GoesToServices(*server.http), server.port));
    }
  }
  return best == mine;
}

std::optional<Resource> CompileListener(const World& world, std::string_view cluster, const Key& key) {
  const auto name = ParseListenerName(key.name);
  if (!name) return std::nullopt;
  const auto fqns = world.state().by_selector.find(name->selector_key);
  if (fqns == world.state().by_selector.end()) return std::nullopt;
  mesh::v1::Listener listener;
  Sources sources;
  listener.set_tier(mesh::v1::TIER1);
  for (const std::string& fqn : fqns->second) {
    const GatewayShape& shape = *world.gateway(fqn);
    if (!shape.ports.contains(name->port) || !CountsIn(world, shape, cluster)) continue;
    if (sources.empty()) SetSelector(*shape.selector, listener.mutable_selector());
    sources.insert(fqn);
    if (!shape.tier1) listener.set_tier(mesh::v1::TIER2);
  }
  if (sources.empty()) return std::nullopt;
  listener.set_name(key.name);
  listener.set_port(name->port);
  return Finish(key.type, key.name, listener, sources);
}

void SetRule(const v2::HttpRule& rule, mesh::v1::Route* route, const std::string& destination_set) {
  for (const auto& match : rule.match()) {
    auto* to = route->add_match();
    if (match.uri().match_case() == v2::StringMatch::kExact) to->set_exact(match.uri().exact());
    if (match.uri().match_case() == v2::StringMatch::kPrefix) to->set_prefix(match.uri().prefix());
  }
  if (rule.has_redirect()) {
    auto* redirect = route->mutable_redirect();
    redirect->set_authority(rule.redirect().authority());
    redirect->set_path(rule.redirect().uri());
    redirect->set_code(rule.redirect().redirect_code() == 0 ? 301 : rule.redirect().redirect_code());
  } else if (rule.has_direct_response()) {
    route->mutable_direct_response()->set_status(rule.direct_response().status());
    route->mutable_direct_response()->set_body(rule.direct_response().body());
  } else {
    route->set_destination_set(destination_set);
  }
  if (rule.has_timeout()) *route->mutable_timeout() = rule.timeout();
  if (rule.has_idle_timeout()) *route->mutable_idle_timeout() = rule.idle_timeout();
  route->set_idempotent(rule.idempotent());
}

std::optional<Resource> CompileHost(const World& world, std::string_view cluster, const Key& key) {
  const auto name = ParseHostName(key.name);
  if (!name) return std::nullopt;
  const Owner owner = FindOwner(world, cluster, *name);
  if (owner.shape == nullptr) return std::nullopt;
  mesh::v1::Host host;
  host.set_name(key.name);
  host.set_hostname(name->hostname);
  const auto& rules = owner.server->http->routing().rules();
  for (int i = 0; i < rules.size(); ++i) {
    auto* route = host.add_routes();
    route->set_name(RouteName(*owner.server, i));
    SetRule(rules[i], route, DestinationSetName(key.name, *owner.server, i));
  }
  host.mutable_provenance()->set_fqn(owner.shape->fqn);
  host.set_listener(key.name.substr(0, key.name.rfind('/')));
  host.set_on_mesh(AnswersOnMesh(world, cluster, *name, owner));
  Sources sources{owner.shape->fqn};
  if (host.on_mesh()) SetCallers(world, cluster, owner, host, sources);
  return Finish(key.type, key.name, host, sources);
}

// Checked when it was written; the workspace may have lost the namespace since. A set without a service leads nowhere,
// so the health of the host says so too.
void SetService(const World& world, std::string_view cluster, const GatewayShape& shape,
                const v2::ServiceDestination& destination, mesh::v1::DestinationSet& set) {
  const std::string& host = destination.host();
  if (!MayServe(world, shape, cluster, host)) return;
  const size_t slash = host.find('/');
  set.mutable_service()->set_namespace_(host.substr(0, slash));
  set.mutable_service()->set_host(host.substr(slash + 1));
  set.mutable_service()->set_port(destination.port());
}

std::optional<Resource> CompileDestinationSet(const World& world, std::string_view cluster, const Key& key) {
  const auto name = ParseDestinationSetName(key.name);
  if (!name) return std::nullopt;
  const Owner owner = FindOwner(world, cluster, name->host);
  if (owner.shape == nullptr || owner.server->name != name->server) return std::nullopt;
  mesh::v1::DestinationSet set;
  Sources sources{owner.shape->fqn};
  const auto& rules = owner.server->http->routing().rules();
  if (name->rule >= rules.size() || !rules[name->rule].has_route()) return std::nullopt;
  const auto& route = rules[name->rule].route();
  if (route.has_cluster_destination()) {
    SetSpread(world, cluster, *owner.shape, *owner.server, route.cluster_destination().clusters(), set, sources);
  } else {
    SetService(world, cluster, *owner.shape, route.service_destination(), set);
  }
  set.set_name(key.name);
  set.set_hostname(name->host.hostname);
  set.mutable_provenance()->set_fqn(owner.shape->fqn);
  return Finish(key.type, key.name, set, sources);
}

bool Imports(const World& world, std::string_view importer, const EndpointsParts& name) {
  const auto shapes = world.state().tier1_by_host.find(Reversed(name.hostname));
  if (shapes == world.state().tier1_by_host.end()) return false;
  for (const std::string& fqn : shapes->second) {
    const GatewayShape& shape = *world.gateway(fqn);
    const auto [begin, end] = shape.servers_by_host.equal_range(name.hostname);
    const bool goes = std::any_of(begin, end, [&](const auto& entry) {
      const ServerShape& server = shape.servers[entry.second];
      return resource::LastName(server.tenant) == name.tenant && GoesTo(server, name.cluster);
    });
    if (goes && CountsIn(world, shape, importer)) return true;
  }
  return false;
}

std::optional<Resource> CompileEndpoints(const World& world, std::string_view importer, const Key& key) {
  const auto name = ParseEndpointsName(key.name);
  if (!name || !Imports(world, importer, *name)) return std::nullopt;
  const std::string_view organization = resource::OrganizationFqn(importer);
  const std::string cluster = resource::ClusterFqn(organization, name->cluster);
  const std::string tenant = resource::ChildFqn(organization, resource::Kind::kTenant, name->tenant);
  mesh::v1::ServiceEndpoints endpoints;
  endpoints.set_name(key.name);
  endpoints.set_cluster(name->cluster);
  endpoints.set_hostname(name->hostname);
  endpoints.set_trust_domain(world.TrustDomain(cluster));
  Sources sources;
  std::map<std::string, const agent::v1::Workload*> workloads;
  for (const std::string& fqn : Tier2For(world, tenant, name->hostname)) {
    for (const SelectedWorkload& selected : SelectedIn(world, *world.gateway(fqn), cluster)) {
      workloads.emplace(selected.name, selected.workload);
      sources.insert(fqn);
    }
  }
  for (const auto& [workload_name, workload] : workloads) {
    if (workload->addresses_size() == 0) continue;
    auto* endpoint = endpoints.add_endpoints();
    endpoint->set_address(workload->addresses(0));
    endpoint->set_port(dialect::kMeshPort);
    endpoint->set_spiffe_id(SpiffeId(endpoints.trust_domain(), *workload));
    endpoint->set_workload(workload_name);
  }
  const Facts* facts = world.facts(cluster);
  if (facts == nullptr || !facts->connected) {
    *endpoints.mutable_as_of() = rpc::ToTimestamp(facts == nullptr ? WallTime{} : facts->as_of);
  }
  AddProvenance(sources, endpoints.mutable_provenance());
  return Finish(key.type, key.name, endpoints, sources);
}

std::optional<Resource> CompileTrustBundle(const World& world, std::string_view cluster, const Key& key) {
  const v2::Organization* organization = world.organization(resource::OrganizationFqn(cluster));
  if (organization == nullptr || organization->spec().domain() != key.name) return std::nullopt;
  mesh::v1::TrustBundle bundle;
  bundle.set_name(key.name);
  bundle.set_root_pem(world.roots());
  const std::string_view owner = resource::OrganizationFqn(cluster);
  Sources sources{std::string(owner)};
  if (const Setting setting = SettingOf(world, owner); setting.spec != nullptr) {
    bundle.set_expired_grace_seconds(static_cast<uint32_t>(setting.spec->expired_identity_grace().seconds()));
    if (bundle.expired_grace_seconds() > 0) sources.insert(setting.fqn);
  }
  EachClusterOf(world, owner, [&](const std::string& fqn, const v2::Cluster& member) {
    if (member.state().generation() == 0) return;  // Nobody speaks for it yet.
    auto* membership = bundle.add_memberships();
    membership->set_uid(member.metadata().uid());
    membership->set_lowest_generation(member.state().generation());
    membership->set_trust_domain(world.TrustDomain(fqn));
  });
  return Finish(key.type, key.name, bundle, sources);
}

}  // namespace

std::string TypeUrl(std::string_view type) { return std::string(xds::kMeshTypePrefix) + std::string(type); }

std::optional<Resource> CompileKey(const World& world, std::string_view cluster, const Key& key) {
  if (world.cluster(cluster) == nullptr) return std::nullopt;
  if (key.type == kListener) return CompileListener(world, cluster, key);
  if (key.type == kHost) return CompileHost(world, cluster, key);
  if (key.type == kDestinationSet) return CompileDestinationSet(world, cluster, key);
  if (key.type == kServiceEndpoints) return CompileEndpoints(world, cluster, key);
  if (key.type == kTrustBundle) return CompileTrustBundle(world, cluster, key);
  return std::nullopt;
}

ClusterIntent Compile(const World& world, std::string_view cluster) {
  ClusterIntent intent;
  for (const Key& key : KeysOf(world, cluster)) {
    if (auto resource = CompileKey(world, cluster, key)) intent.emplace(key, std::move(*resource));
  }
  return intent;
}

}  // namespace weir::compile
