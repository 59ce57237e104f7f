#pragma once

#include <vector>

#include "api/weir/v2/traffic.pb.h"
#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "mgmt-server/compile/compile.h"
#include "mgmt-server/services/planned.h"

namespace weir::push {
class Pusher;
}

namespace weir::server {

using MeasuredTraffic = std::vector<v2::HostTraffic>;

// services::FleetView::Plan, from what is compiled and pushed. `traffic`: what gateways do now.
Result<services::PlanEffect> Plan(const push::Pusher& pusher, const Clock& clock, MeasuredTraffic traffic,
                                  const services::PlanQuestion& question);

// The same from a world that was compiled from the state of the question's revision; `intents`: as in plan::Question.
Result<services::PlanEffect> PlanFrom(compile::World world, std::map<std::string, compile::ClusterIntent> intents,
                                      const Clock& clock, MeasuredTraffic traffic,
                                      const services::PlanQuestion& question);

// services::FleetView::ConcernedBy, likewise.
Result<services::Concerned> ConcernedBy(const push::Pusher& pusher, const Clock& clock,
                                        const services::PlanQuestion& question);
Result<services::Concerned> ConcernedFrom(compile::World world, const services::PlanQuestion& question);

}  // namespace weir::server
