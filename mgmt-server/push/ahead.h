#pragma once

#include <vector>

#include "mgmt-server/compile/compile.h"
#include "mgmt-server/store/store.h"

namespace weir::push {

// What the rollouts of a view put ahead of its resources. What is in `before` already is not read anew. A row that
// cannot be read is logged and left out: its clusters are told what is stored.
compile::Ahead AheadOf(const std::vector<store::OverlayPtr>& overlays, const compile::Ahead& before);

}  // namespace weir::push
