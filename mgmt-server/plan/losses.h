#pragma once

#include <vector>

#include "api/weir/v2/plan.pb.h"
#include "mgmt-server/plan/changes.h"

namespace weir::plan {

// The routes at the gateways of this cluster that lose clusters until one or none is left, of what the caller may see.
// By intent: clusters that take requests and have a tier-2 gateway that answers; who is healthy right now is no part of
// a plan.
std::vector<v2::PlannedLoss> LossesOf(const Question& question, const ClusterChange& change);

}  // namespace weir::plan
