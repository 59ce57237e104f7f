#include "mgmt-server/compile/world.h"

#include <fmt/format.h>

#include "api/weir/v2/metadata.pb.h"
#include "libs/base/labels.h"
#include "libs/resource/conflicts.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/compile/gateway_shape.h"
#include "mgmt-server/compile/selecting.h"

namespace weir::compile {
namespace {

template <typename Map>
auto Lookup(const Map& map, std::string_view key) -> decltype(map.begin()->second.get()) {
  const auto found = map.find(key);
  return found == map.end() ? nullptr : found->second.get();
}

void Mark(std::map<std::string, FqnSet, std::less<>>& index, const std::string& key, const std::string& fqn, bool add) {
  if (add) {
    index[key].insert(fqn);
    return;
  }
  const auto found = index.find(key);
  if (found == index.end()) return;
  found->second.erase(fqn);
  if (found->second.empty()) index.erase(found);
}

}  // namespace

World::World() : state_(std::make_shared<State>()) {}
World::~World() = default;
World::World(const World&) = default;
World::World(World&& other) noexcept = default;
World& World::operator=(const World&) = default;
World& World::operator=(World&&) noexcept = default;

// Copies share until one of them is changed.
World::State& World::Own() {
  if (state_.use_count() > 1) state_ = std::make_shared<State>(*state_);
  return *state_;
}

void World::State::Index(const GatewayShape& shape, bool add) {
  Mark(by_namespace, shape.selector->namespace_(), shape.fqn, add);
  Mark(by_selector, shape.selector_key, shape.fqn, add);
  for (const std::string& cluster : shape.clusters) Mark(by_target_cluster, cluster, shape.fqn, add);
  for (const ServerShape& server : shape.servers) {
    if (shape.tier1) {
      Mark(tier1_by_host, Reversed(server.hostname), shape.fqn, add);
    } else {
      Mark(tier2_by_host, server.hostname, shape.fqn, add);
    }
  }
}

void World::State::SetShape(std::string_view fqn, std::shared_ptr<const GatewayShape> shape) {
  if (const GatewayShape* old = Lookup(gateways, fqn)) {
    Index(*old, false);
    gateways.erase(gateways.find(fqn));
    if (const auto found = selecting.find(fqn); found != selecting.end()) selecting.erase(found);
  }
  if (shape == nullptr) return;
  Index(*shape, true);
  if (IsSelecting(*shape->form.gateway)) selecting.emplace(fqn, shape);
  gateways.emplace(fqn, std::move(shape));
}

void World::Put(std::string_view fqn, std::shared_ptr<const google::protobuf::Message> resource) {
  if (resource == nullptr) return;
  const resource::KindInfo* info = resource::KindOf(*resource);
  if (info == nullptr || info->rules.effect == resource::Effect::kNone) return;
  State& state = Own();
  const Follower follower(*this, fqn);
  if (info->rules.effect != resource::Effect::kGateway) {
    state.resources.insert_or_assign(std::string(fqn), std::move(resource));
  } else {
    state.SetShape(fqn, ShapeOf(fqn, std::move(resource)));
  }
}

bool World::PutBody(std::string_view kind, std::string_view fqn, std::string_view uid, std::string_view body) {
  const resource::KindInfo* info = resource::FindKind(kind);
  if (info == nullptr) return false;
  std::shared_ptr<google::protobuf::Message> message = resource::NewMessage(info->kind);
  if (!message->ParseFromArray(body.data(), static_cast<int>(body.size()))) return false;
  resource::MutableMetadataOf(*message).set_uid(std::string(uid));
  Put(fqn, std::move(message));
  return true;
}

void World::Remove(std::string_view fqn) {
  State& state = Own();
  const Follower follower(*this, fqn);
  state.SetShape(fqn, nullptr);
  if (const auto found = state.resources.find(fqn); found != state.resources.end()) state.resources.erase(found);
}

namespace {

// The cluster's facts, no longer shared with any copy of the World.
Facts& OwnFacts(World::State& state, std::string_view cluster) {
  auto& facts = state.facts[std::string(cluster)];
  if (facts == nullptr) {
    facts = std::make_shared<Facts>();
  } else if (facts.use_count() > 1) {
    facts = std::make_shared<Facts>(*facts);
  }
  return *facts;
}

}  // namespace

void World::SetFacts(std::string_view cluster, Facts facts) {
  Own().facts[std::string(cluster)] = std::make_shared<Facts>(std::move(facts));
  FollowAll(resource::OrganizationFqn(cluster));
}
void World::PutWorkload(std::string_view cluster, const agent::v1::Workload& workload) {
  State& state = Own();
  auto& workloads = OwnFacts(state, cluster).workloads;
  const std::string name = workload.namespace_() + "/" + workload.name();
  const auto before = workloads.find(name);
  const bool same = before != workloads.end() && SameSelection(*before->second, workload);
  std::optional<Follower> follower;
  if (!same) follower.emplace(*this, cluster, workload.namespace_());
  workloads[name] = std::make_shared<agent::v1::Workload>(workload);
}
void World::RemoveWorkload(std::string_view cluster, const std::string& name) {
  State& state = Own();
  const Follower follower(*this, cluster, name.substr(0, name.find('/')));
  OwnFacts(state, cluster).workloads.erase(name);
}
void World::PutService(std::string_view cluster, const agent::v1::Service& service) {
  OwnFacts(Own(), cluster).PutService(std::make_shared<agent::v1::Service>(service));
}
void World::RemoveService(std::string_view cluster, const std::string& name) {
  OwnFacts(Own(), cluster).RemoveService(name);
}
void World::SetConnected(std::string_view cluster, bool connected, std::chrono::system_clock::time_point as_of) {
  Facts& facts = OwnFacts(Own(), cluster);
  facts.connected = connected;
  facts.as_of = as_of;
}
void World::SetRoots(std::string pem) { Own().roots = std::move(pem); }

const v2::Organization* World::organization(std::string_view fqn) const { return state_->Get<v2::Organization>(fqn); }
const v2::Workspace* World::workspace(std::string_view fqn) const { return state_->Get<v2::Workspace>(fqn); }
const v2::GatewayGroup* World::group(std::string_view fqn) const { return state_->Get<v2::GatewayGroup>(fqn); }
const v2::Cluster* World::cluster(std::string_view fqn) const { return state_->Get<v2::Cluster>(fqn); }
const GatewayShape* World::gateway(std::string_view fqn) const { return Lookup(state_->gateways, fqn); }
const Facts* World::facts(std::string_view cluster) const { return Lookup(state_->facts, cluster); }
const std::string& World::roots() const { return state_->roots; }

std::vector<std::string> World::clusters() const {
  std::vector<std::string> fqns;
  state_->Each<v2::Cluster>("", [&](const std::string& fqn, const v2::Cluster&) { fqns.push_back(fqn); });
  return fqns;
}

std::string World::TrustDomain(std::string_view fqn) const {
  const v2::Cluster* found = cluster(fqn);
  const v2::Organization* owner = organization(resource::OrganizationFqn(fqn));
  if (found == nullptr || owner == nullptr) return "";
  return std::string(resource::LastName(fqn)) + "." + owner->spec().domain();
}

std::string SpiffeId(std::string_view trust_domain, const agent::v1::Workload& workload) {
  const std::string& account = workload.service_account();
  return fmt::format("spiffe://{}/ns/{}/sa/{}", trust_domain, workload.namespace_(),
                     account.empty() ? "default" : account);
}

// --- Shapes -------------------------------------------------------------------------------------------------------

std::string SelectorKey(const v2::WorkloadSelector& selector) {
  const std::map<std::string, std::string> labels(selector.labels().begin(), selector.labels().end());
  std::string key = selector.namespace_() + ":";
  for (const auto& [name, value] : labels) {
    if (key.back() != ':') key += ',';
    key.append(name).append("=").append(value);
  }
  return key;
}

bool Selects(const v2::WorkloadSelector& selector, const agent::v1::Workload& workload) {
  return selector.namespace_() == workload.namespace_() && !selector.labels().empty() &&
         LabelsMatch(selector.labels(), workload.labels());
}

std::string Reversed(std::string_view hostname) {
  std::string out;
  out.reserve(hostname.size() + 1);
  while (true) {
    const size_t dot = hostname.rfind('.');
    out.append(hostname.substr(dot == std::string_view::npos ? 0 : dot + 1)).append(1, '.');
    if (dot == std::string_view::npos) return out;
    hostname = hostname.substr(0, dot);
  }
}

const ServerShape* GatewayShape::Find(const std::string& hostname, uint32_t port) const {
  const ServerShape* found = nullptr;
  const auto [begin, end] = servers_by_host.equal_range(hostname);
  for (auto at = begin; at != end; ++at) {
    const ServerShape& server = servers[at->second];
    if (server.port == port && (found == nullptr || &server < found)) found = &server;
  }
  return found;
}

std::vector<const v2::ClusterDestination*> GatewayShape::Destinations(const ServerShape& server) {
  std::vector<const v2::ClusterDestination*> destinations;
  for (const auto& rule : server.http->routing().rules()) {
    for (const auto& destination : rule.route().cluster_destination().clusters()) destinations.push_back(&destination);
  }
  return destinations;
}

resource::Effect EffectOf(std::string_view fqn) {
  const auto parsed = resource::ParseFqn(fqn);
  return parsed.ok() ? resource::Info(parsed->kind).rules.effect : resource::Effect::kNone;
}

namespace {

std::string TenantOf(const GatewayShape& shape, const std::string& named) {
  return named.empty() ? shape.tenant : resource::ChildFqn(shape.organization, resource::Kind::kTenant, named);
}

}  // namespace

std::shared_ptr<const GatewayShape> ShapeOf(std::string_view fqn,
                                            std::shared_ptr<const google::protobuf::Message> source,
                                            std::shared_ptr<const v2::Gateway> gateway) {
  auto shape = std::make_shared<GatewayShape>();
  shape->fqn = fqn;
  shape->group = resource::ParentFqn(fqn);
  shape->workspace = resource::ParentFqn(shape->group);
  shape->tenant = resource::ParentFqn(shape->workspace);
  shape->organization = resource::OrganizationFqn(fqn);
  shape->form = resource::FormOf(source);
  shape->gateway = gateway == nullptr ? shape->form.gateway : std::move(gateway);
  shape->tier1 = resource::IsTier1(*shape->form.gateway);
  shape->selector = &shape->form.gateway->spec().workload_selector();
  for (const auto& server : shape->gateway->spec().http()) {
    shape->servers.push_back(
        {server.name(), server.hostname(), server.port(), &server, TenantOf(*shape, server.tenant())});
  }
  for (size_t i = 0; i < shape->servers.size(); ++i) {
    const ServerShape& server = shape->servers[i];
    shape->servers_by_host.emplace(server.hostname, i);
    shape->ports.insert(server.port);
    for (const auto* destination : GatewayShape::Destinations(server)) shape->clusters.insert(destination->name());
  }
  shape->selector_key = SelectorKey(*shape->selector);
  shape->source = std::move(source);
  return shape;
}

namespace {

// Whether objects of this shape's group count in this namespace of this cluster.
bool Governed(const World& world, const GatewayShape& shape, std::string_view cluster) {
  if (resource::OrganizationFqn(cluster) != shape.organization || world.cluster(cluster) == nullptr) return false;
  const v2::Workspace* workspace = world.workspace(shape.workspace);
  const v2::GatewayGroup* group = world.group(shape.group);
  return workspace != nullptr && group != nullptr &&
         resource::Governs(*workspace, *group, resource::LastName(cluster), shape.selector->namespace_());
}

template <typename Fn>
void EachSelected(const World& world, const GatewayShape& shape, std::string_view cluster, Fn fn) {
  const Facts* facts = world.facts(cluster);
  if (facts == nullptr || !Governed(world, shape, cluster)) return;
  const std::string prefix = shape.selector->namespace_() + "/";
  for (auto at = facts->workloads.lower_bound(prefix); at != facts->workloads.end(); ++at) {
    if (!at->first.starts_with(prefix)) break;
    if (Selects(*shape.selector, *at->second) && !fn(at->first, *at->second)) return;
  }
}

}  // namespace

std::vector<SelectedWorkload> SelectedIn(const World& world, const GatewayShape& shape, std::string_view cluster) {
  std::vector<SelectedWorkload> selected;
  EachSelected(world, shape, cluster, [&](const std::string& name, const agent::v1::Workload& workload) {
    selected.push_back({name, &workload});
    return true;
  });
  return selected;
}
bool CountsIn(const World& world, const GatewayShape& shape, std::string_view cluster) {
  bool found = false;
  EachSelected(world, shape, cluster, [&](const std::string&, const agent::v1::Workload&) { return !(found = true); });
  return found;
}
bool SelectsIn(const World& world, const GatewayShape& shape, std::string_view cluster,
               const agent::v1::Workload& workload) {
  return Selects(*shape.selector, workload) && Governed(world, shape, cluster);
}
std::vector<std::string> ClustersOf(const World& world, const GatewayShape& shape) {
  std::vector<std::string> clusters;
  for (const auto& [fqn, facts] : world.state().facts) {
    if (CountsIn(world, shape, fqn)) clusters.push_back(fqn);
  }
  return clusters;
}

bool AdmittedAsTier1(const World& world, std::string_view cluster, std::string_view callee) {
  const v2::Cluster* member = world.cluster(cluster);
  return cluster == callee || (member != nullptr && member->spec().tier1_cluster());
}

FqnSet Tier2For(const World& world, std::string_view tenant, std::string_view hostname) {
  FqnSet found;
  for (const std::string& pattern : resource::PatternsFor(hostname)) {
    const auto at = world.state().tier2_by_host.find(pattern);
    if (at == world.state().tier2_by_host.end()) continue;
    for (const std::string& fqn : at->second) {
      if (world.gateway(fqn)->tenant == tenant) found.insert(fqn);
    }
  }
  return found;
}

FqnSet Tier1For(const World& world, std::string_view organization, std::string_view pattern) {
  FqnSet found;
  const auto& index = world.state().tier1_by_host;
  const auto add = [&](const FqnSet& fqns) {
    for (const std::string& fqn : fqns) {
      if (resource::OrganizationFqn(fqn) == organization) found.insert(fqn);
    }
  };
  if (!pattern.starts_with("*.")) {
    const auto at = index.find(Reversed(pattern));
    if (at != index.end()) add(at->second);
    return found;
  }
  const std::string prefix = Reversed(pattern.substr(2));
  for (auto at = index.lower_bound(prefix); at != index.end() && at->first.starts_with(prefix); ++at) {
    if (at->first.size() > prefix.size()) add(at->second);  // The suffix itself is not below it.
  }
  return found;
}

const v2::FailoverSettings* OwnFailover(const ServerShape& server) {
  return server.http->has_failover_settings() ? &server.http->failover_settings() : nullptr;
}

}  // namespace weir::compile
