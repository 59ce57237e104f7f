#pragma once

#include "libs/gateway/configurator.h"

namespace weir::podproxy {

// What is special beside a pod: everything that comes in must prove an identity of the mesh, and plain bytes go to its
// own workload only.
gateway::Role PodProxyRole();

}  // namespace weir::podproxy
