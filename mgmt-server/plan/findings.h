#pragma once

#include <string>
#include <vector>

#include "api/weir/v2/plan.pb.h"
#include "mgmt-server/compile/compile.h"

namespace weir::plan {

// What a gateway object (FQN) or an OrganizationSetting asks for that cannot happen, or not as it seems, in this world.
std::vector<v2::Finding> FindingsOf(const compile::World& world, const std::string& fqn);

}  // namespace weir::plan
