#pragma once

#include <vector>

#include "api/weir/v2/plan.pb.h"
#include "libs/base/result.h"
#include "mgmt-server/services/changing.h"

namespace weir::services {

constexpr int kMostDeletedShown = 1000;

// What would become of documents, what would be deleted, and what is not pruned: `out.items`, `out.changes`.
Status AddItems(const std::vector<Applied>& documents, const WouldBe& state, v2::PlanResponse& out);
// The last two of these alone.
void AddDeletedAndKept(const WouldBe& state, v2::PlanResponse& out);
// Line and column of the findings on documents.
void LocateFindings(const std::vector<Applied>& documents, v2::PlanResponse& response);

}  // namespace weir::services
