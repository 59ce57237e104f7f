#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <typeinfo>
#include <unordered_map>
#include <vector>

#include "libs/translate/facts.h"
#include "libs/translate/intent.h"
#include "libs/xds/protocol/types.h"

namespace weir::translate {

// One Envoy resource, ready to send, and the intent it is made of (sorted): what an ACK or NACK of it means. Never
// changes.
struct EnvoyResource {
  xds::ResourcePtr resource;
  std::vector<IntentRef> origins;
  // Names of Envoy's Clusters without origins of their own (one service, many hosts): only with them does it do what is
  // asked.
  std::vector<std::string> needs;
};
using EnvoyResourcePtr = std::shared_ptr<const EnvoyResource>;

// SPIFFE ids by what they may call on the mesh port: a pod by server name, a tier-2 host by "host/<name of its
// intent>".
using Admitted = std::map<std::string, std::set<std::string>>;

// Everything one node is to run: type URL -> name -> resource.
struct NodeConfig {
  std::map<std::string, std::map<std::string, EnvoyResourcePtr>, std::less<>> types;  // All of xds::kEnvoyTypes.

  const EnvoyResource* Find(std::string_view type_url, const std::string& name) const;  // nullptr = no such resource.
  // Who may call what on its mesh port.
  Admitted admits;
  // What could not be said as asked ("host a.example on port 80 is named by two listeners"), for log and status.
  std::vector<std::string> problems;
};

// How a kind of data plane wants it said.
struct NodeProfile {
  bool vhds = true;         // Virtual hosts as resources of their own (dialect::kFeatureVhds), else inline.
  bool stock_envoy = true;  // Is told each guard that our engine has by itself: limits, path rules, retries.
  // How long a cluster that was judged down stays out at least; over how long it comes back (10 steps).
  int64_t hold_ms = 10'000;
  int64_t slow_return_ms = 10'000;

  bool operator==(const NodeProfile&) const = default;
};

struct ClusterIdentity {
  std::string cluster;
  std::string trust_domain;
  std::string root_pem;  // Served as `trust` until a TrustBundle arrives.
};

class Catalog;

// (intent, facts, node) -> Envoy v3. Pure: the same input gives the same bytes, whatever was translated before; what it
// keeps is an index of intent and facts that follows their differences, and a memory of pieces. A piece is made by a
// plain function of one input object, which can read nothing else, and is remembered by all of that object. Not
// thread-safe.
class Translator {
 public:
  explicit Translator(ClusterIdentity identity);
  ~Translator();

  // `workload` = "<namespace>/<name>". Unknown workloads get an empty configuration. `also`: let in besides those that
  // route to a pod now, for a while, because their gateways may not have turned away yet; names that the pod does not
  // serve are left out.
  std::shared_ptr<const NodeConfig> Translate(std::shared_ptr<const Intent> intent, std::shared_ptr<const Facts> facts,
                                              const std::string& workload, NodeProfile profile,
                                              const Admitted& also = {});
  // The same for values.
  std::shared_ptr<const NodeConfig> Translate(const Intent& intent, const Facts& facts, const std::string& workload,
                                              NodeProfile profile);

  // Drops what the last `turns` translations did not use.
  void Forget(uint64_t turns);

  // Pieces made and pieces taken from memory since the start, and messages read into the index; for tests and metrics.
  uint64_t built() const { return built_; }
  uint64_t reused() const { return reused_; }
  uint64_t read() const;

  void SetIdentity(ClusterIdentity identity) { identity_ = std::move(identity); }

 private:
  friend class NodeTranslation;
  struct Remembered {
    std::shared_ptr<const void> input;
    const std::type_info* type = nullptr;  // Of the input.
    EnvoyResourcePtr resource;
    uint64_t used = 0;  // Turn of the last use; what no turn of the recent ones used is forgotten.
  };
  using ByName = std::unordered_map<std::string, Remembered>;

  ClusterIdentity identity_;
  std::unique_ptr<Catalog> catalog_;
  // Two nodes may give the same name to different things: by workload and type URL, then by name.
  std::map<std::pair<std::string, std::string>, ByName> memory_;
  uint64_t turn_ = 0;
  uint64_t built_ = 0;
  uint64_t reused_ = 0;
};

}  // namespace weir::translate
