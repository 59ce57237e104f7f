#include <algorithm>
#include <tuple>

#include "libs/resource/kinds.h"
#include "libs/resource/references.h"
#include "mgmt-server/compile/compile.h"
#include "mgmt-server/compile/gateway_shape.h"
#include "mgmt-server/compile/keys.h"

namespace weir::compile {
namespace {

using Where = std::pair<std::string, const GatewayShape*>;  // Cluster FQN, object.
using KeysByPlace = std::map<Where, std::set<Key>>;

bool AddConcern(const Compilation& compilation, const World& world, const Where& where, const std::set<Key>& keys,
                bool if_connected, std::vector<Concern>& out) {
  Concern concern;
  concern.cluster = where.first;
  concern.if_connected = if_connected;
  for (const SelectedWorkload& selected : SelectedIn(world, *where.second, where.first)) {
    concern.workloads.push_back(selected.name);
  }
  const ClusterIntent& intent = compilation.Of(where.first);
  for (const Key& key : keys) {
    const auto found = intent.find(key);
    if (found != intent.end()) concern.keys.push_back({key, found->second.version});
  }
  if (concern.workloads.empty() || concern.keys.empty()) return false;
  if (where.second->tier1 && !if_connected) {
    const auto& targets = where.second->clusters;
    concern.not_admitted = std::any_of(targets.begin(), targets.end(), [&](const std::string& target) {
      return !AdmittedAsTier1(world, where.first, resource::ClusterFqn(where.second->organization, target));
    });
  }
  out.push_back(std::move(concern));
  return true;
}

// By cluster and FQN, so that the order does not depend on addresses.
void AddConcerns(const Compilation& compilation, const World& world, const KeysByPlace& places, bool if_connected,
                 std::vector<Concern>& out) {
  std::vector<const KeysByPlace::value_type*> sorted;
  for (const auto& place : places) sorted.push_back(&place);
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) {
    return std::tie(a->first.first, a->first.second->fqn) < std::tie(b->first.first, b->first.second->fqn);
  });
  for (const auto* place : sorted) AddConcern(compilation, world, place->first, place->second, if_connected, out);
}

}  // namespace

bool ReachesGateways(std::string_view fqn) { return EffectOf(fqn) == resource::Effect::kGateway; }

std::optional<OutOfScope> OutOfScopeOf(const World& world, std::string_view fqn) {
  const GatewayShape* shape = world.gateway(fqn);
  if (shape == nullptr) return std::nullopt;
  const v2::Workspace* workspace = world.workspace(shape->workspace);
  const v2::GatewayGroup* group = world.group(shape->group);
  if (workspace == nullptr || group == nullptr) return std::nullopt;
  const auto violations = resource::CheckScope(*shape->source, *workspace, *group);
  if (violations.empty()) return std::nullopt;
  const FieldViolation& first = violations.front().violation;
  std::string message = fmt::format("{}: {}", first.field, first.description);
  if (violations.size() > 1) message += fmt::format(" (and {} more)", violations.size() - 1);
  return OutOfScope{violations.front().reason, std::move(message)};
}

std::vector<Concern> Concerns(const Compilation& compilation, std::string_view fqn) {
  return ConcernsIn(compilation, compilation.world(), fqn);
}

std::vector<Concern> ConcernsIn(const Compilation& compilation, const World& world, std::string_view fqn) {
  std::vector<Concern> concerns;
  const GatewayShape* shape = world.gateway(fqn);
  if (shape == nullptr) return concerns;
  std::set<Key> own;
  AddObjectKeys(*shape, own);
  const std::vector<std::string> clusters = ClustersOf(world, *shape);
  for (const std::string& cluster : clusters) AddConcern(compilation, world, {cluster, shape}, own, false, concerns);
  if (concerns.empty()) return concerns;
  for (Concern& concern : concerns) concern.own = true;

  KeysByPlace others;
  if (shape->tier1) {
    EachCallee(world, *shape, AllOf(*shape),
               [&](const std::string& cluster, const GatewayShape& tier2, const ServerShape& server) {
                 others[{cluster, &tier2}].insert(
                     {std::string(kHost), HostName(ListenerName(tier2.selector_key, server.port), server.hostname)});
               });
    AddConcerns(compilation, world, others, false, concerns);
    return concerns;
  }
  for (const std::string& cluster : clusters) {
    const std::string_view name = resource::LastName(cluster);
    EachImport(world, *shape, AllOf(*shape), cluster,
               [&](const std::string& importer, const GatewayShape& tier1, const auto& server) {
                 if (tier1.tenant != shape->tenant) return;  // Its gateways are not this tenant's to see.
                 others[{importer, &tier1}].insert({std::string(kServiceEndpoints), EndpointsName(name, server)});
               });
  }
  AddConcerns(compilation, world, others, true, concerns);
  return concerns;
}

}  // namespace weir::compile
