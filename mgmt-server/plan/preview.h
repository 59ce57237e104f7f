#pragma once

#include <string>

#include "api/weir/v2/plan.pb.h"
#include "libs/base/result.h"
#include "mgmt-server/plan/question.h"

// What a change of the world would do to clusters and gateways, as far as somebody may see it. Pure: no clock, no I/O.
namespace weir::plan {

struct Preview {
  v2::PlanResponse seen;  // `clusters`, `losses`, `findings`: at most about 1 MiB.
  std::string digest;     // SHA-256 (hex) of all intent that would change and that he may see.
};
// The error of `go_on`. Clusters for whose gateways no time is left say so (`not_translated`).
Result<Preview> PreviewOf(const Question& question);

}  // namespace weir::plan
