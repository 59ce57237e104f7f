#pragma once

#include <vector>

#include "api/weir/v2/plan.pb.h"
#include "libs/base/result.h"
#include "mgmt-server/plan/question.h"

namespace weir::plan {

// Clusters that would get more than they declare (spec.capacity), as all stand or when one of those that the planned
// gateway objects name is lost: by measured rates of what the caller may read, and the shares that gateways would give.
// Where nothing is measured, whether what is left of a list declares as much as the lost one. The error of `go_on`.
Result<std::vector<v2::Finding>> CapacityFindings(const Question& question);

}  // namespace weir::plan
