#pragma once

#include <set>
#include <string>
#include <vector>

#include "api/weir/v2/traffic.pb.h"
#include "mgmt-server/status/reach.h"

namespace weir::status {

struct FailoverQuestion {
  std::string host;               // "" = every host.
  std::set<std::string> without;  // Names of clusters.
};
// Shares and order of each route of one tier-1 object now, and without those clusters; where rules of tier-2 objects
// make a difference, of the paths that come off worst. Pure: the code that routes,
// asked beforehand. Empty when there is no such object.
std::vector<v2::FailoverPlan> PlanFailover(const compile::Compilation& compilation, const std::string& tier1,
                                           const FailoverQuestion& question, const ReportedHealth& health);

}  // namespace weir::status
