#pragma once

#include <cstdint>
#include <string>

#include "api/weir/agent/v1/agent.pb.h"
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
// `last_sequence`: of the last delta on this stream, 0 = none yet (then only the agent's hash tells; house.md 4b).
FactsVerdict JudgeDelta(const store::View& view, const std::string& cluster, uint64_t last_sequence,
                        const agent::v1::FactsDelta& delta);

// NOT_FOUND CLUSTER_UNKNOWN. INVALID_ARGUMENT FACT_UNNAMED.
Status ApplyDelta(store::Txn& txn, const std::string& cluster, const agent::v1::FactsDelta& delta);

}  // namespace weir::fleet
