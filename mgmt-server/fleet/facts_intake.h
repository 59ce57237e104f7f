#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "api/weir/agent/v1/agent.pb.h"
#include "api/weir/v2/cluster.pb.h"
#include "libs/base/result.h"
#include "mgmt-server/store/store.h"

namespace weir::fleet {

// What the server has of a cluster (FQN): the answer to Hello, and to a delta that does not follow the one before.
agent::v1::ServerMessage FactsStateOf(const store::View& view, const std::string& cluster);

enum class FactsVerdict {
  kTake,
  kGap,            // A delta is missing: the agent must send everything.
  kUnprovenEmpty,  // "Nothing runs any more" without proof: more likely a broken reading than the truth.
};
// `last_sequence`: of the last delta on this stream, 0 = none yet (then only the agent's hash tells;
// docs/life-of-a-fact.md).
FactsVerdict JudgeDelta(const store::View& view, const std::string& cluster, uint64_t last_sequence,
                        const agent::v1::FactsDelta& delta);

// Facts of one cluster that were refused, and why; each stands until it is said anew or taken back. Bounded: of more
// than kMost only the number is kept.
class RefusedFacts {
 public:
  static constexpr size_t kMost = 256;
  // Of ClusterState.problems: the first few by name, the rest counted.
  static constexpr size_t kMostTold = 8;

  void Clear();
  void Add(const std::string& fact, const std::string& why);
  void Remove(const std::string& fact);
  bool empty() const { return why_.empty() && more_ == 0; }
  size_t size() const { return why_.size() + more_; }
  void AddProblems(std::vector<v2::ClusterProblem>& out) const;

 private:
  std::map<std::string, std::string> why_;  // "workload t2/gateway" -> violations.
  size_t more_ = 0;
};

// A delta without what may not be believed: each fact that libs/facts refuses, and those beyond what a cluster may
// have, are left out and named in `refused`; what is stored of them stays. The good ones are a change that never says
// `full`: what a full delta does not name is removed by name.
store::FactsChange TakeGoodFacts(const store::ClusterFacts* stored, const agent::v1::FactsDelta& delta,
                                 RefusedFacts& refused);

// A delta whose parts come one by one (FactsDelta.more).
class FactsParts {
 public:
  static constexpr size_t kMostBytes = 64u << 20;  // Of all of them.

  // Whether `delta` is whole now, what came before it included. RESOURCE_EXHAUSTED FACTS_TOO_LARGE.
  Result<bool> Complete(agent::v1::FactsDelta& delta);

 private:
  agent::v1::FactsDelta held_;
  size_t bytes_ = 0;  // 0: none.
};

// The same change in pieces of at most `most` facts, so that writes of others come between them. Until the last one is
// stored the hash is "", so that an agent which is interrupted says everything again.
std::vector<store::FactsChange> Slices(store::FactsChange change, size_t most);

}  // namespace weir::fleet
