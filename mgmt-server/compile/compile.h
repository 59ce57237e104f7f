#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "mgmt-server/compile/world.h"

// World -> resolved intent (weir.mesh.v1), per cluster and key. Pure and deterministic: no clock, no I/O.
namespace weir::compile {

struct Key {
  std::string type;  // Short name: "Listener", "Host", "DestinationSet", "ServiceEndpoints", "TrustBundle".
  std::string name;
  auto operator<=>(const Key&) const = default;
};
std::string TypeUrl(std::string_view type);  // "type.googleapis.com/weir.mesh.v1.Host"

struct Resource {
  std::string type;
  std::string name;
  std::string bytes;                    // Deterministic serialization of the message.
  std::string version;                  // Hex hash of `bytes`.
  std::vector<std::string> provenance;  // FQNs of the resources it comes from, sorted.
  bool operator==(const Resource&) const = default;
};
using ClusterIntent = std::map<Key, Resource>;

// Everything one cluster is told. Empty for a cluster that does not exist.
ClusterIntent Compile(const World& world, std::string_view cluster);
// One of them; nullopt = it is not part of this cluster's intent.
std::optional<Resource> CompileKey(const World& world, std::string_view cluster, const Key& key);

// What was touched between two worlds.
struct Change {
  std::set<std::string> fqns;                              // Written or deleted resources, of any kind.
  std::map<std::string, std::set<std::string>> workloads;  // Cluster FQN -> "<namespace>/<name>", put or removed.
  std::set<std::string> clusters;                          // Clusters whose `connected` or `as_of` changed.
  bool roots = false;
  bool empty() const { return fqns.empty() && workloads.empty() && clusters.empty() && !roots; }
};
// Every key whose resource may differ between the two worlds (and a few more), by cluster FQN. The change must name
// all differences between them.
using KeysByCluster = std::map<std::string, std::set<Key>>;
KeysByCluster Affected(const World& before, const World& after, const Change& change);

struct Delta {
  std::vector<Resource> changed;  // New or with another version.
  std::vector<Key> removed;
  bool empty() const { return changed.empty() && removed.empty(); }
};

// The compiled state of all clusters, kept up to date. After any sequence of updates it equals a full compile.
class Compilation {
 public:
  // Compiles everything.
  explicit Compilation(World world = {});
  // Moves on to `after`; returns what changed, by cluster FQN (clusters without a difference are left out).
  std::map<std::string, Delta> Update(World after, const Change& change);

  const World& world() const { return world_; }
  const ClusterIntent& Of(std::string_view cluster) const;  // Empty when unknown.

 private:
  World world_;
  std::map<std::string, ClusterIntent, std::less<>> intents_;
};

// For status: who must acknowledge what before a resource is applied.
struct KeyVersion {
  Key key;
  std::string version;
};
struct Concern {
  std::string cluster;                 // FQN.
  std::vector<std::string> workloads;  // "<namespace>/<name>", sorted; never empty.
  std::vector<KeyVersion> keys;        // Each of these workloads must have acknowledged all of these.
};
// Empty: no workload is concerned (NO_WORKLOAD), or not a kind that reaches gateways. A tier-1 object also concerns the
// tier-2 gateways that must let its callers in (with their Listener only), so that READY means requests go through.
std::vector<Concern> Concerns(const Compilation& compilation, std::string_view fqn);
// Whether this kind reaches gateways at all: Tier1Gateway and Gateway.
bool ReachesGateways(std::string_view fqn);

}  // namespace weir::compile
