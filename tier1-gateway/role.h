#pragma once

#include <memory>

#include "libs/gateway/role.h"

namespace weir::tier1 {

// What is special about the edge: whatever it calls must prove its identity, and callers from outside never reach the
// paths below /.weir/, which tiers keep for themselves (they get 404).
std::unique_ptr<gateway::Role> NewTier1Role();

}  // namespace weir::tier1
