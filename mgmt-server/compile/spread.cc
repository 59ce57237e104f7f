#include "mgmt-server/compile/spread.h"

#include <algorithm>

#include "api/weir/mesh/v1/intent.pb.h"
#include "libs/resource/admin_state.h"
#include "libs/resource/inheritance.h"
#include "libs/resource/kinds.h"
#include "libs/traffic/failover_order.h"
#include "mgmt-server/compile/keys.h"

namespace weir::compile {
namespace {

traffic::FailoverRules RulesOf(const v2::FailoverSettings* settings) {
  traffic::FailoverRules rules;
  if (settings == nullptr) return rules;
  if (settings->mode() == v2::FailoverSettings::ORDERED) rules.mode = traffic::Mode::kOrdered;
  for (const auto& pair : settings->regional_failover()) rules.regions.push_back({pair.from(), pair.to()});
  rules.labels.assign(settings->failover_priority().begin(), settings->failover_priority().end());
  return rules;
}

// With the labels that the rules ask for.
traffic::ClusterPlace PlaceOf(const v2::Cluster* cluster, std::string_view name, const traffic::FailoverRules& rules) {
  traffic::ClusterPlace place;
  place.cluster = name;
  if (cluster == nullptr) return place;
  place.region = cluster->spec().locality().region();
  place.zone = cluster->spec().locality().zone();
  const auto& labels = cluster->metadata().labels();
  for (const std::string& label : rules.labels) {
    const auto has = labels.find(label.substr(0, label.find('=')));
    if (has != labels.end()) place.labels.emplace(has->first, has->second);
  }
  return place;
}

}  // namespace

namespace {

// The setting of an organization, tenant or workspace; the first of several by name.
struct Found {
  std::string fqn;
  const google::protobuf::Message* setting = nullptr;
};
Found SettingIn(const World& world, std::string_view parent) {
  const std::string prefix = std::string(parent) + "/settings/";
  const auto& resources = world.state().resources;
  const auto found = resources.lower_bound(prefix);
  if (found == resources.end() || !found->first.starts_with(prefix)) return {};
  return {found->first, found->second.get()};
}

}  // namespace

Setting SettingOf(const World& world, std::string_view organization) {
  const Found found = SettingIn(world, organization);
  if (found.setting == nullptr) return {};
  return {&static_cast<const v2::OrganizationSetting&>(*found.setting).spec(), found.fqn};
}

Failover FailoverOf(const World& world, const GatewayShape& shape, const ServerShape& server) {
  static const resource::InheritedField& field = *resource::FindInherited("failover_settings");
  std::vector<resource::Setter> setters{{"", server.http}};
  for (const std::string* scope : {&shape.workspace, &shape.tenant, &shape.organization}) {
    const Found found = SettingIn(world, *scope);
    if (found.setting != nullptr) setters.push_back({found.fqn, found.setting});
  }
  setters = resource::InOrder(field, std::move(setters));
  if (setters.empty()) return {};
  return {static_cast<const v2::FailoverSettings*>(resource::Said(*setters.front().by, field)), setters.front().fqn};
}

void SetSpread(const World& world, std::string_view cluster, const GatewayShape& shape, const ServerShape& server,
               const ClusterList& list, mesh::v1::DestinationSet& set, Sources& sources) {
  const Failover failover = FailoverOf(world, shape, server);
  if (!failover.fqn.empty()) sources.insert(failover.fqn);
  sources.insert(std::string(cluster));
  const traffic::FailoverRules rules = RulesOf(failover.settings);
  set.set_mode(rules.mode == traffic::Mode::kOrdered ? mesh::v1::DestinationSet::ORDERED
                                                     : mesh::v1::DestinationSet::PROPORTIONAL);
  set.set_panic(failover.settings != nullptr && failover.settings->panic());
  bool weighted = false;
  std::vector<traffic::FailoverCandidate> candidates;
  for (const auto& destination : list) {
    const std::string fqn = resource::ClusterFqn(shape.organization, destination.name());
    const v2::Cluster* target = world.cluster(fqn);
    candidates.push_back({PlaceOf(target, destination.name(), rules), std::nullopt});
    auto* share = set.add_clusters();
    share->set_cluster(destination.name());
    share->set_endpoints(EndpointsName(destination.name(), server));
    if (destination.has_weight()) {
      weighted = true;
      candidates.back().weight = destination.weight();
      share->set_weight(destination.weight());
    }
    if (target == nullptr) continue;
    sources.insert(fqn);
    share->set_region(target->spec().locality().region());
    share->set_zone(target->spec().locality().zone());
    share->set_drained(resource::TakesNoRequests(target->spec().admin_state()));
    share->set_standby(target->spec().admin_state() == v2::STANDBY);
    candidates.back().standby = share->standby();
  }
  const traffic::ClusterPlace own = PlaceOf(world.cluster(cluster), resource::LastName(cluster), rules);
  const std::vector<uint32_t> order = traffic::FailoverOrder(own, candidates, rules);
  for (int i = 0; i < set.clusters_size(); ++i) set.mutable_clusters(i)->set_priority(order[static_cast<size_t>(i)]);
  if (!weighted || rules.mode != traffic::Mode::kOrdered) return;
  std::sort(set.mutable_clusters()->begin(), set.mutable_clusters()->end(),
            [](const auto& a, const auto& b) { return a.priority() < b.priority(); });
}

ListedClusters ListedIn(const mesh::v1::DestinationSet& set) {
  ListedClusters listed;
  if (set.mode() == mesh::v1::DestinationSet::ORDERED) listed.mode = traffic::Mode::kOrdered;
  for (const auto& share : set.clusters()) {
    auto& candidate = listed.candidates.emplace_back();
    if (share.has_weight()) candidate.weight = share.weight();
    candidate.standby = share.standby();
    candidate.can_serve = !share.drained();
    candidate.priority = share.priority();
  }
  return listed;
}

}  // namespace weir::compile
