#pragma once

#include <memory>

#include "libs/gateway/role.h"

namespace weir::podproxy {

// What is special beside a pod: everything that comes in must prove an identity of the mesh, and plain bytes go to its
// own workload only.
std::unique_ptr<gateway::Role> NewPodProxyRole();

}  // namespace weir::podproxy
