#pragma once

#include "libs/gateway/configurator.h"

namespace weir::tier2 {

// What is special about a cluster's entrance: on 15443 only named callers (tier 1, east-west peers) are let in, and
// what it calls must prove its identity.
gateway::Role Tier2Role();

}  // namespace weir::tier2
