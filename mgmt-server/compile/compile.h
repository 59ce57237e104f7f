#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
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
  std::string version;                  // Hex hash of `bytes`; of a Compilation perhaps with ".<number>" behind it.
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

// What some clusters are told before it is stored: they are compiled from the world with these resources in the place
// of its own, all others from the world as it is.
struct Ahead {
  struct Entry {
    std::string kind, uid, body;                               // As in World::PutBody.
    std::shared_ptr<const google::protobuf::Message> message;  // Null: the resource is gone.
    bool SameText(const Entry& other) const { return kind == other.kind && uid == other.uid && body == other.body; }
    bool operator==(const Entry& other) const {
      return SameText(other) && (message == nullptr) == (other.message == nullptr);
    }
  };
  // Null where the body is no message of that kind.
  static std::shared_ptr<const google::protobuf::Message> Read(const Entry& entry);

  std::map<std::string, Entry> resources;  // By FQN.
  std::set<std::string> clusters;          // FQNs of those that are told so.
  // How far it is, by what it changes: FQNs of `resources` -> of how many clusters that it concerns how many run it.
  struct Progress {
    size_t clusters = 0, of = 0;
  };
  std::map<std::string, Progress> progress;
  bool empty() const { return resources.empty(); }
};

struct Delta {
  std::vector<Resource> changed;  // New or with another version.
  std::vector<Key> removed;
  bool empty() const { return changed.empty() && removed.empty(); }
};

// The compiled state of all clusters, kept up to date. After any sequence of updates it equals a full compile, but for
// versions: when a key returns to bytes that it had before, it gets a version that it never had, so that what a gateway
// said of the earlier time (or is still about to say) is not taken for the present.
class Compilation {
 public:
  // Compiles everything.
  explicit Compilation(World world = {}, Ahead ahead = {});
  // Moves on to `after`, and to what is ahead of it; returns what changed, by cluster FQN (clusters without a
  // difference are left out). `change` is of the worlds alone.
  std::map<std::string, Delta> Update(World after, const Change& change, Ahead ahead = {});

  const World& world() const { return world_; }
  const Ahead& ahead() const { return ahead_; }
  bool IsAhead(std::string_view cluster) const { return ahead_.clusters.contains(std::string(cluster)); }
  // With what is ahead: of the clusters that are told so. As `world` where nothing is.
  const World& world_ahead() const { return ahead_.empty() ? world_ : world_ahead_; }
  // What this cluster's intent is made of.
  const World& WorldOf(std::string_view cluster) const { return IsAhead(cluster) ? world_ahead() : world_; }
  const ClusterIntent& Of(std::string_view cluster) const;  // Empty when unknown.
  uint64_t compiled() const { return compiled_; }           // Keys compiled so far.

 private:
  // Versions that keys had and lost, the last of them; far more than can be on their way.
  static constexpr size_t kMaxSpent = 16'384;
  struct SpentVersion {
    std::string cluster;
    Key key;
    std::string version;
    auto operator<=>(const SpentVersion&) const = default;
  };
  // Compiles these keys of a cluster anew.
  Delta Renew(const World& after, const std::string& cluster, const std::set<Key>& keys);
  void Spend(const std::string& cluster, const Resource& resource);
  void MakeFresh(const std::string& cluster, Resource& resource) const;

  World world_, world_ahead_;
  Ahead ahead_;  // Of the clusters only those that are in the world.
  std::map<std::string, ClusterIntent, std::less<>> intents_;
  uint64_t compiled_ = 0;
  uint64_t updates_ = 0;
  std::map<SpentVersion, uint64_t> spent_;  // -> the update that took it away.
  std::deque<std::pair<uint64_t, SpentVersion>> spent_order_;
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
  bool own = false;                    // Gateways of the object itself, not of another that it needs or that needs it.
  // Gateways of other objects that need not be there: they count only while they are connected.
  bool if_connected = false;
  // It routes to other clusters, and there nobody lets its workloads in: the cluster is not a tier1Cluster.
  bool not_admitted = false;
};
// Empty: no workload is concerned (NO_WORKLOAD), or not a kind that reaches gateways. READY must mean that requests go
// through: a tier-1 object also concerns the tier-2 gateways that must let its callers in (with their Hosts only),
// a tier-2 object the tier-1 gateways of its tenant that must learn its endpoints (with these only).
std::vector<Concern> Concerns(const Compilation& compilation, std::string_view fqn);
// The same of the object as it stands in `world`, which is one of the two of this compilation.
std::vector<Concern> ConcernsIn(const Compilation& compilation, const World& world, std::string_view fqn);
// What a gateway object points at although its workspace does not own it (any more): compiled into nothing. Nullopt:
// all of it is in scope, or it is no gateway object.
struct OutOfScope {
  std::string reason;   // SERVICE_OUTSIDE_WORKSPACE, WORKLOADS_OUTSIDE_WORKSPACE
  std::string message;  // With the field.
};
std::optional<OutOfScope> OutOfScopeOf(const World& world, std::string_view fqn);
// Whether this kind reaches gateways at all: Tier1Gateway and Gateway.
bool ReachesGateways(std::string_view fqn);

}  // namespace weir::compile
