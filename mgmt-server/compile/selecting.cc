#include "mgmt-server/compile/selecting.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "libs/base/labels.h"
#include "libs/resource/conflicts.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/compile/keys.h"

namespace weir::compile {
namespace {

constexpr uint64_t kMostWeight = UINT32_MAX;  // Of a list together.
constexpr double kNearWeight = 4e9;           // Likewise, with room for what is rounded up.

bool HasNoFixedName(const v2::ClusterDestination& entry) { return entry.name().empty() || !entry.network().empty(); }

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
  for (int i = 0; i < entries.size(); ++i) {
    const uint64_t parts = selected[static_cast<size_t>(i)].size(), weight = entries[i].weight();
    if (parts == 0) continue;
    if (factor <= kMostWeight) factor = std::lcm(factor, parts / std::gcd(parts, weight));
    sum += weight;
  }
  const bool fits = sum == 0 || factor <= kMostWeight / sum;
  int next = 0;
  for (int i = 0; i < entries.size(); ++i) {
    const size_t parts = selected[static_cast<size_t>(i)].size();
    for (size_t part = 0; part < parts; ++part, ++next) {
      if (!entries[i].has_weight()) continue;
      const uint64_t weight = entries[i].weight();
      const double near =
          static_cast<double>(weight) / static_cast<double>(parts) * (kNearWeight / static_cast<double>(sum));
      const uint64_t whole =
          fits ? weight * factor / parts : std::max<uint64_t>(weight > 0, static_cast<uint64_t>(std::llround(near)));
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
  std::set<std::string_view> taken;  // First by those that name it, if it is on the network that they ask for.
  for (int i = 0; i < list.size(); ++i) {
    const std::string& name = list[i].name();
    if (name.empty()) continue;
    const v2::Cluster* cluster = world.cluster(resource::ClusterFqn(shape.organization, name));
    if (!list[i].network().empty() && (cluster == nullptr || !IsOn(*cluster, list[i].network()))) continue;
    if (taken.insert(name).second) selected[static_cast<size_t>(i)].push_back(name);
  }
  for (int i = 0; i < list.size(); ++i) {
    if (!list[i].name().empty()) continue;
    std::vector<std::string>& names = selected[static_cast<size_t>(i)];
    for (const std::string& name : serving) {
      const v2::Cluster* cluster = world.cluster(resource::ClusterFqn(shape.organization, name));
      if (cluster == nullptr || !LabelsMatch(list[i].labels(), cluster->metadata().labels()) ||
          !IsOn(*cluster, list[i].network()))
        continue;
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

// Objects that are to name their clusters anew: each is looked at once, whatever number of its hosts a change concerns,
// and made anew only when a list of it differs.
class World::Follower::Naming {
 public:
  explicit Naming(World& world) : world_(world) {}

  // Of an object that selects: the servers whose host `pattern` covers; nullptr = all.
  void Add(std::string_view fqn, const std::string* pattern) {
    const auto found = world_.state_->selecting.find(fqn);
    if (found == world_.state_->selecting.end()) return;
    const GatewayShape& shape = *found->second;
    std::set<size_t>& servers = servers_[found->first];
    const auto add = [&](const ServerShape& server) { servers.insert(static_cast<size_t>(shape.IndexOf(server))); };
    if (pattern != nullptr)
      EachCovered(shape, *pattern, add);
    else
      std::for_each(shape.servers.begin(), shape.servers.end(), add);
  }
  void AddHostsOf(const GatewayShape& tier2) {
    if (tier2.tier1) return;
    for (const ServerShape& server : tier2.servers) {
      for (const std::string& fqn : Tier1For(world_, tier2.organization, server.hostname)) Add(fqn, &server.hostname);
    }
  }
  void Do() {
    for (const auto& [fqn, servers] : servers_) Rename(*world_.state_->selecting.find(fqn)->second, servers);
  }

 private:
  struct Renamed {
    size_t server = 0;
    int rule = 0;
    ClusterList clusters;
  };
  void Rename(const GatewayShape& now, const std::set<size_t>& servers) {
    std::vector<Renamed> lists;
    for (const size_t at : servers) {
      const ServerShape& server = now.servers[at];
      const auto& written = now.form.gateway->spec().http(static_cast<int>(at)).routing();
      for (int rule = 0; rule < written.rules_size(); ++rule) {
        if (!written.rules(rule).route().has_cluster_destination()) continue;
        const ClusterList& entries = written.rules(rule).route().cluster_destination().clusters();
        if (!IsSelecting(entries)) continue;
        Renamed list{at, rule, {}};
        NameClusters(world_, now, server, entries, &list.clusters);
        const auto& known = server.http->routing().rules(rule).route().cluster_destination().clusters();
        if (!Same(list.clusters, known)) lists.push_back(std::move(list));
      }
    }
    if (lists.empty()) return;
    auto gateway = std::make_shared<v2::Gateway>(*now.gateway);
    for (Renamed& list : lists) {
      auto* routing = gateway->mutable_spec()->mutable_http(static_cast<int>(list.server))->mutable_routing();
      auto* route = routing->mutable_rules(list.rule)->mutable_route();
      *route->mutable_cluster_destination()->mutable_clusters() = std::move(list.clusters);
    }
    const auto shape = ShapeOf(now.fqn, now.source, std::move(gateway));
    world_.Own().SetShape(shape->fqn, shape);  // `now` may end here.
  }
  // Of lists that name each cluster.
  static bool Same(const ClusterList& a, const ClusterList& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& one, const auto& other) {
      return one.name() == other.name() && one.has_weight() == other.has_weight() && one.weight() == other.weight() &&
             other.labels().empty() && other.network().empty();
    });
  }

  World& world_;
  std::map<std::string, std::set<size_t>, std::less<>> servers_;  // By object.
};

void World::Name(std::string_view fqn, const std::string* pattern) {
  Follower::Naming naming(*this);
  naming.Add(fqn, pattern);
  naming.Do();
}

void World::FollowHostsOf(const GatewayShape& tier2) {
  Follower::Naming naming(*this);
  naming.AddHostsOf(tier2);
  naming.Do();
}

void World::FollowNamespace(std::string_view cluster, std::string_view name_space) {
  const auto shapes = state_->by_namespace.find(name_space);
  if (shapes == state_->by_namespace.end()) return;
  Follower::Naming naming(*this);
  for (const std::string& fqn : shapes->second) {
    const GatewayShape& shape = *state_->gateways.find(fqn)->second;
    if (shape.organization == resource::OrganizationFqn(cluster)) naming.AddHostsOf(shape);
  }
  naming.Do();
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

World::Follower::Follower(World& world, std::string_view cluster, std::string_view name_space)
    : world_(world), fqn_(cluster), namespace_(name_space), counted_(Counted()) {}

// Of the objects that select workloads of the namespace, those that count in the cluster.
std::vector<std::string> World::Follower::Counted() const {
  std::vector<std::string> counted;
  const State& state = *world_.state_;
  const auto shapes = state.by_namespace.find(namespace_);
  if (state.selecting.empty() || shapes == state.by_namespace.end()) return counted;
  for (const std::string& fqn : shapes->second) {
    const GatewayShape& shape = *state.gateways.find(fqn)->second;
    if (!shape.tier1 && CountsIn(world_, shape, fqn_)) counted.push_back(fqn);
  }
  return counted;
}

World::Follower::~Follower() {
  const State& state = *world_.state_;
  if (state.selecting.empty()) return;
  if (!namespace_.empty()) {
    if (counted_ != Counted()) world_.FollowNamespace(fqn_, namespace_);
    return;
  }
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
    if (was == nullptr || is == nullptr || !SameToSelectors(*was, *is))
      world_.FollowAll(resource::OrganizationFqn(fqn_));
  } else if (effect == resource::Effect::kBelow) {
    Naming naming(world_);
    state.EachGatewayBelow(fqn_, [&](const GatewayShape& shape) { naming.AddHostsOf(shape); });
    naming.Do();
  }
}

}  // namespace weir::compile
