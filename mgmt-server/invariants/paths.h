#pragma once

#include <functional>
#include <vector>

#include "libs/resource/conflicts.h"
#include "mgmt-server/invariants/intent.h"

// Inside invariants: where gateway objects may stand, and what they lead to from there.
namespace weir::invariants {

// "cluster/namespace"; empty = what its workspace and group own leaves it no place.
std::vector<resource::NamespacePattern> PlacesOf(const compile::World& world, const compile::GatewayShape& shape);
// The gateway objects that the Invariant looks at, by FQN; with `only` those that are touched.
void EachGateway(const compile::World& world, const Invariant& invariant, const Touched* only,
                 const std::function<void(const compile::GatewayShape&)>& fn);

std::vector<Breach> JudgeNoPath(const compile::World& world, const Invariant& invariant, const Touched* only);

}  // namespace weir::invariants
