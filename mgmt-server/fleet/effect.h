#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mgmt-server/compile/compile.h"

namespace weir::fleet {

// FQNs of the gateway objects whose intent a write of this resource may change, sorted: itself; all below a workspace
// or group; those that route to a cluster; every tier-1 object below an organization that has settings. Empty for kinds
// that reach no gateway.
std::vector<std::string> GatewaysTouched(const compile::World& world, std::string_view fqn);

}  // namespace weir::fleet
