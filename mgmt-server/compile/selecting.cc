#include "mgmt-server/compile/selecting.h"

#include <algorithm>
#include <numeric>

#include "libs/resource/conflicts.h"
#include "libs/resource/kinds.h"

namespace weir::compile {
namespace {

constexpr uint64_t kMostWeight = UINT32_MAX;  // Of a list together.

bool HasNoFixedName(const v2::ClusterDestination& entry) { return entry.name().empty() || !entry.network().empty(); }

bool HasLabels(const v2::Cluster& cluster, const v2::ClusterDestination& entry) {
  return std::all_of(entry.labels().begin(), entry.labels().end(), [&](const auto& label) {
    const auto found = cluster.metadata().labels().find(label.first);
    return found != cluster.metadata().labels().end() && found->second == label.second;
  });
}
bool IsOn(const v2::Cluster& cluster, const std::string& network) {
  return network.empty() || (cluster.spec().network().empty() ? "default" : cluster.spec().network()) == network;
}

bool SameToSelectors(const v2::Cluster& a, const v2::Cluster& b) {
  const std::map<std::string, std::string> had(a.metadata().labels().begin(), a.metadata().labels().end());
  return a.spec().network() == b.spec().network() &&
         had == std::map<std::string, std::string>(b.metadata().labels().begin(), b.metadata().labels().end());
}

// Names of the clusters where a tier-2 gateway of the server's tenant answers for its host.
std::set<std::string> Serving(const World& world, const ServerShape& server) {
  std::set<std::string> names;
  for (const std::string& fqn : Tier2For(world, server.tenant, server.hostname)) {
    for (const std::string& cluster : ClustersOf(world, *world.gateway(fqn))) {
      names.emplace(resource::LastName(cluster));
    }
  }
  return names;
}

// What the clusters of an entry get together is split equally. Weights are whole numbers, so all of them are multiplied
// by what makes each part one, or as near as the sum has room for.
void SplitWeights(const ClusterList& entries, const std::vector<std::vector<std::string>>& selected,
                  ClusterList* named) {
  uint64_t factor = 1, sum = 0;
  bool fits = true;
  for (int i = 0; i < entries.size(); ++i) {
    const uint64_t parts = selected[static_cast<size_t>(i)].size(), weight = entries[i].weight();
    if (parts == 0) continue;
    factor = std::lcm(factor, parts / std::gcd(parts, weight));
    sum += weight;
    fits = fits && factor <= kMostWeight;
    if (!fits) break;
  }
  fits = fits && (sum == 0 || factor <= kMostWeight / sum);
  int next = 0;
  for (int i = 0; i < entries.size(); ++i) {
    const size_t parts = selected[static_cast<size_t>(i)].size();
    for (size_t part = 0; part < parts; ++part, ++next) {
      if (!entries[i].has_weight()) continue;
      const uint64_t weight = entries[i].weight();
      const double near = static_cast<double>(weight) / static_cast<double>(parts) / 4294967296.0 * 4000000000.0;
      const uint64_t whole =
          fits ? weight * factor / parts : std::max<uint64_t>(weight > 0, static_cast<uint64_t>(near));
      named->Mutable(next)->set_weight(static_cast<uint32_t>(whole));
    }
  }
}

void NameClusters(const World& world, const GatewayShape& shape, const ServerShape& server, const ClusterList& entries,
                  ClusterList* named) {
  const auto selected = SelectedBy(world, shape, server, entries);
  named->Clear();
  for (const auto& names : selected) {
    for (const std::string& name : names) named->Add()->set_name(name);
  }
  SplitWeights(entries, selected, named);
}

}  // namespace

bool IsSelecting(const ClusterList& list) {
  return list.empty() || std::any_of(list.begin(), list.end(), HasNoFixedName);
}
bool IsSelecting(const v2::Gateway& gateway) {
  for (const auto& server : gateway.spec().http()) {
    for (const auto& rule : server.routing().rules()) {
      if (!rule.route().has_cluster_destination()) continue;
      if (IsSelecting(rule.route().cluster_destination().clusters())) return true;
    }
  }
  return false;
}

std::vector<std::vector<std::string>> SelectedBy(const World& world, const GatewayShape& shape,
                                                 const ServerShape& server, const ClusterList& list) {
  const std::set<std::string> serving = Serving(world, server);
  if (list.empty()) return {{serving.begin(), serving.end()}};
  std::vector<std::vector<std::string>> selected(static_cast<size_t>(list.size()));
  std::set<std::string_view> taken;
  for (const auto& entry : list) {
    if (!entry.name().empty()) taken.insert(entry.name());
  }
  for (int i = 0; i < list.size(); ++i) {
    std::vector<std::string>& names = selected[static_cast<size_t>(i)];
    if (!list[i].name().empty()) {
      const v2::Cluster* cluster = world.cluster(ClusterFqn(shape.organization, list[i].name()));
      if (list[i].network().empty() || (cluster != nullptr && IsOn(*cluster, list[i].network())))
        names.push_back(list[i].name());
      continue;
    }
    for (const std::string& name : serving) {
      const v2::Cluster* cluster = world.cluster(ClusterFqn(shape.organization, name));
      if (cluster == nullptr || !HasLabels(*cluster, list[i]) || !IsOn(*cluster, list[i].network())) continue;
      if (taken.insert(name).second) names.push_back(name);
    }
  }
  return selected;
}

bool SameSelection(const agent::v1::Workload& a, const agent::v1::Workload& b) {
  const std::map<std::string, std::string> had(a.labels().begin(), a.labels().end());
  return had == std::map<std::string, std::string>(b.labels().begin(), b.labels().end());
}

// --- World: keeping up --------------------------------------------------------------------------------------------

void World::Name(std::string_view fqn, const std::string* pattern) {
  const auto found = state_->selecting.find(fqn);
  if (found == state_->selecting.end()) return;
  const std::shared_ptr<const GatewayShape> shape = found->second;
  auto gateway = std::make_shared<v2::Gateway>(*shape->gateway);
  bool changed = false;
  for (size_t i = 0; i < shape->servers.size(); ++i) {
    const ServerShape& server = shape->servers[i];
    if (pattern != nullptr && !resource::Covers(*pattern, server.hostname)) continue;
    const auto& written = shape->form.gateway->spec().http(static_cast<int>(i)).routing();
    auto* routing = gateway->mutable_spec()->mutable_http(static_cast<int>(i))->mutable_routing();
    for (int rule = 0; rule < written.rules_size(); ++rule) {
      if (!written.rules(rule).route().has_cluster_destination()) continue;
      const ClusterList& entries = written.rules(rule).route().cluster_destination().clusters();
      if (!IsSelecting(entries)) continue;
      auto* named = routing->mutable_rules(rule)->mutable_route()->mutable_cluster_destination();
      const std::string before = named->SerializeAsString();
      NameClusters(*this, *shape, server, entries, named->mutable_clusters());
      changed = changed || named->SerializeAsString() != before;
    }
  }
  if (changed) Own().SetShape(shape->fqn, ShapeOf(shape->fqn, shape->source, std::move(gateway)));
}

void World::FollowHostsOf(const GatewayShape& tier2) {
  if (state_->selecting.empty() || tier2.tier1) return;
  for (const ServerShape& server : tier2.servers) {
    for (const std::string& fqn : Tier1For(*this, tier2.organization, server.hostname)) Name(fqn, &server.hostname);
  }
}

void World::FollowNamespace(std::string_view cluster, std::string_view name_space) {
  if (state_->selecting.empty()) return;
  const auto shapes = state_->by_namespace.find(name_space);
  if (shapes == state_->by_namespace.end()) return;
  const FqnSet fqns = shapes->second;  // Naming anew changes the index.
  for (const std::string& fqn : fqns) {
    const std::shared_ptr<const GatewayShape> shape = state_->gateways.find(fqn)->second;
    if (shape->organization == OrganizationFqn(cluster)) FollowHostsOf(*shape);
  }
}

void World::FollowAll(std::string_view organization) {
  std::vector<std::string> fqns;
  for (const auto& [fqn, shape] : state_->selecting) {
    if (shape->organization == organization) fqns.push_back(fqn);
  }
  for (const std::string& fqn : fqns) Name(fqn, nullptr);
}

World::Follower::Follower(World& world, std::string_view fqn) : world_(world), fqn_(fqn) {
  const State& state = *world.state_;
  if (const auto found = state.gateways.find(fqn); found != state.gateways.end()) shape_ = found->second;
  if (const auto found = state.resources.find(fqn); found != state.resources.end()) {
    if (found->second->GetDescriptor() == v2::Cluster::descriptor()) cluster_ = found->second;
  }
}

World::Follower::~Follower() {
  const State& state = *world_.state_;
  if (state.selecting.empty()) return;
  if (const auto found = state.gateways.find(fqn_); found != state.gateways.end()) {
    const std::shared_ptr<const GatewayShape> shape = found->second;
    if (shape->tier1)
      world_.Name(fqn_, nullptr);
    else
      world_.FollowHostsOf(*shape);
  }
  if (shape_ != nullptr) {
    world_.FollowHostsOf(*shape_);
    return;
  }
  const resource::Effect effect = EffectOf(fqn_);
  if (effect == resource::Effect::kCluster) {
    const auto* was = static_cast<const v2::Cluster*>(cluster_.get());
    const v2::Cluster* is = world_.cluster(fqn_);
    if (was == nullptr || is == nullptr || !SameToSelectors(*was, *is)) world_.FollowAll(OrganizationFqn(fqn_));
  } else if (effect == resource::Effect::kBelow) {
    std::vector<std::shared_ptr<const GatewayShape>> below;
    const std::string prefix = fqn_ + "/";
    for (auto at = state.gateways.lower_bound(prefix); at != state.gateways.end(); ++at) {
      if (!at->first.starts_with(prefix)) break;
      if (!at->second->tier1) below.push_back(at->second);
    }
    for (const auto& shape : below) world_.FollowHostsOf(*shape);
  }
}

}  // namespace weir::compile
