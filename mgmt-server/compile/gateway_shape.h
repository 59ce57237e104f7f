#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "api/weir/agent/v1/discovery.pb.h"
#include "libs/resource/gateways.h"
#include "libs/resource/kinds.h"
#include "libs/resource/kinds/rules.h"
#include "mgmt-server/compile/world.h"

// Inside compile: gateway objects in one form, and the indexes of a World.
namespace weir::compile {

struct ServerShape {
  std::string name;
  std::string hostname;
  uint32_t port = 0;
  const v2::HttpServer* http = nullptr;  // Never null; lives in the shape's `gateway`.
  std::string tenant;  // FQN: whose tier-2 gateways answer, when it routes to clusters. Only theirs (docs/adr/0003).
};

// A gateway object of any kind. It is tier 1 when a rule of it goes to clusters.
struct GatewayShape {
  std::shared_ptr<const google::protobuf::Message> source;  // As it was written.
  resource::GatewayForm form;                               // The same said as a Gateway.
  // As `form`, but lists of clusters name each: what labels and networks select, and who serves a host (selecting.h).
  std::shared_ptr<const v2::Gateway> gateway;
  std::string fqn;
  std::string group;  // FQNs.
  std::string workspace;
  std::string tenant;
  std::string organization;
  bool tier1 = false;
  const v2::WorkloadSelector* selector = nullptr;
  std::string selector_key;  // "<namespace>:<k>=<v>,<k>=<v>"
  std::vector<ServerShape> servers;
  std::unordered_multimap<std::string, size_t> servers_by_host;
  std::set<std::string> clusters;  // Names of the clusters that it routes to.
  std::set<uint32_t> ports;        // Of its servers.

  const ServerShape* Find(const std::string& hostname, uint32_t port) const;  // The first; nullptr = none.
  int IndexOf(const ServerShape& server) const {
    return static_cast<int>(&server - servers.data());
  }  // One of its own.
  // The clusters that this server routes to, rule by rule.
  static std::vector<const v2::ClusterDestination*> Destinations(const ServerShape& server);
};
// `gateway`: see there; nullptr = as the form says it.
std::shared_ptr<const GatewayShape> ShapeOf(std::string_view fqn,
                                            std::shared_ptr<const google::protobuf::Message> source,
                                            std::shared_ptr<const v2::Gateway> gateway = nullptr);

std::string SelectorKey(const v2::WorkloadSelector& selector);
bool Selects(const v2::WorkloadSelector& selector, const agent::v1::Workload& workload);
// "a.b" -> "b.a.": hosts below one suffix stand together in a sorted map.
std::string Reversed(std::string_view hostname);

using FqnSet = std::set<std::string, std::less<>>;
template <typename T>
using ByFqn = std::map<std::string, std::shared_ptr<const T>, std::less<>>;

struct World::State {
  ByFqn<google::protobuf::Message> resources;  // Those of kinds with an effect on gateways, but the gateways.
  ByFqn<GatewayShape> gateways;
  ByFqn<GatewayShape> selecting;  // Those of them whose clusters follow from the rest of the world.
  std::map<std::string, std::shared_ptr<Facts>, std::less<>> facts;
  std::string roots;

  // Of gateways, kept with them.
  std::map<std::string, FqnSet, std::less<>> by_namespace;       // Workload selector's namespace.
  std::map<std::string, FqnSet, std::less<>> by_selector;        // Selector key.
  std::map<std::string, FqnSet, std::less<>> by_target_cluster;  // Name of a cluster that tier-1 objects route to.
  std::map<std::string, FqnSet, std::less<>> tier1_by_host;      // Reversed hostname.
  std::map<std::string, FqnSet, std::less<>> tier2_by_host;      // Hostname as declared.

  void Index(const GatewayShape& shape, bool add);
  void SetShape(std::string_view fqn, std::shared_ptr<const GatewayShape> shape);  // nullptr = there is none any more.

  // Calls fn(GatewayShape) for those below `parent`, in the order of FQNs; it must leave them as they are.
  template <typename Fn>
  void EachGatewayBelow(std::string_view parent, Fn fn) const {
    const std::string prefix = std::string(parent) + "/";
    for (auto at = gateways.lower_bound(prefix); at != gateways.end() && at->first.starts_with(prefix); ++at) {
      fn(*at->second);
    }
  }
  // nullptr = no such resource, or one of another kind.
  template <typename T>
  const T* Get(std::string_view fqn) const {
    const auto found = resources.find(fqn);
    if (found == resources.end() || found->second->GetDescriptor() != T::descriptor()) return nullptr;
    return static_cast<const T*>(found->second.get());
  }
  // Calls fn(FQN, T) for those of a kind below `parent` ("" = all), in the order of FQNs.
  template <typename T, typename Fn>
  void Each(const std::string& parent, Fn fn) const {
    const std::string prefix = parent.empty() ? "" : parent + "/";
    for (auto at = resources.lower_bound(prefix); at != resources.end() && at->first.starts_with(prefix); ++at) {
      if (at->second->GetDescriptor() == T::descriptor()) fn(at->first, static_cast<const T&>(*at->second));
    }
  }
};

// Where a gateway object counts: workloads of this cluster that it selects in namespaces of its group. Sorted by name.
struct SelectedWorkload {
  std::string name;  // "<namespace>/<name>"
  const agent::v1::Workload* workload = nullptr;
};
std::vector<SelectedWorkload> SelectedIn(const World& world, const GatewayShape& shape, std::string_view cluster);
bool CountsIn(const World& world, const GatewayShape& shape, std::string_view cluster);
// FQNs of the clusters where it counts.
std::vector<std::string> ClustersOf(const World& world, const GatewayShape& shape);
// Whether it would select this workload of this cluster.
bool SelectsIn(const World& world, const GatewayShape& shape, std::string_view cluster,
               const agent::v1::Workload& workload);
// Calls fn(FQN, cluster) for the clusters of an organization, by FQN.
template <typename Fn>
void EachClusterOf(const World& world, std::string_view organization, Fn fn) {
  const std::string prefix = resource::ClusterFqn(organization, "");
  const auto& all = world.state().resources;
  for (auto at = all.lower_bound(prefix); at != all.end() && at->first.starts_with(prefix); ++at) {
    fn(at->first, static_cast<const v2::Cluster&>(*at->second));
  }
}
// Whether workloads of `cluster` count as tier 1 at tier-2 gateways of `callee`: an administrator says so of a cluster
// (tier1Cluster); inside it its own agent's word is enough.
bool AdmittedAsTier1(const World& world, std::string_view cluster, std::string_view callee);
// Tier-2 objects of the tenant that answer for this host; by FQN.
FqnSet Tier2For(const World& world, std::string_view tenant, std::string_view hostname);
// Tier-1 objects of the organization with a server whose host `pattern` covers; by FQN. Whether that server turns to a
// certain tenant says RoutesTo.
FqnSet Tier1For(const World& world, std::string_view organization, std::string_view pattern);

// Where the share of a cluster goes that cannot serve: the nearest setting, whole.
const v2::FailoverSettings* OwnFailover(const ServerShape& server);  // nullptr = the server says nothing.
struct Failover {
  const v2::FailoverSettings* settings = nullptr;  // Null = nobody says anything.
  std::string fqn;                                 // Of the setting that says it, when it is not the server itself.
};
// Of an organization; the first of several by name.
struct Setting {
  const v2::OrganizationSettingSpec* spec = nullptr;  // Null = it has none.
  std::string fqn;
};
Setting SettingOf(const World& world, std::string_view organization);
// What a change of a resource may change at gateways.
resource::Effect EffectOf(std::string_view fqn);
Failover FailoverOf(const World& world, const GatewayShape& shape, const ServerShape& server);

}  // namespace weir::compile
