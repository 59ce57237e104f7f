#pragma once

#include <vector>

#include "api/weir/v2/plan.pb.h"
#include "libs/base/result.h"
#include "mgmt-server/services/applying.h"
#include "mgmt-server/store/store.h"

namespace weir::services {

// The state that a plan was made on, and the one that it would lead to.
struct WouldBe {
  store::ViewPtr before, after;
  std::vector<store::ResourceChange> changes;
  std::vector<Conflict> conflicts;
};

// What would become of documents, and what would be deleted: `out.items`, `out.changes`.
Status AddItems(const std::vector<Applied>& documents, const WouldBe& state, v2::PlanResponse& out);
// Line and column of the findings on documents.
void LocateFindings(const std::vector<Applied>& documents, v2::PlanResponse& response);

}  // namespace weir::services
