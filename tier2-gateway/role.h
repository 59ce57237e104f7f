#pragma once

#include <memory>

#include "libs/gateway/role.h"

namespace weir::tier2 {

// What is special about a cluster's entrance: on 15443 only named callers (tier 1, east-west peers) are let in, and
// what it calls must prove its identity.
std::unique_ptr<gateway::Role> NewTier2Role();

}  // namespace weir::tier2
