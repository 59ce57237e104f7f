#pragma once

#include "libs/base/result.h"
#include "mgmt-server/plan/budget.h"
#include "mgmt-server/plan/changes.h"

namespace weir::plan {

// What the gateways of the cluster would be told by its agent, by the agent's own translation: `out.gateways`. Pods are
// left out: whom they let in follows from it.
Status AddGateways(const Question& question, const ClusterChange& change, Budget& budget, v2::PlannedCluster& out);

}  // namespace weir::plan
