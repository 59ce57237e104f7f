#pragma once

#include <cstddef>
#include <string>

#include "api/weir/v2/server_state.pb.h"
#include "mgmt-server/invariant_watch.h"
#include "mgmt-server/self_watch.h"
#include "mgmt-server/store/store.h"

namespace weir::fleet {
class Fleet;
}
namespace weir::push {
class Pusher;
}

namespace weir::server {

// What there is to know of a server as a whole. `agents`: streams of intent.
v2::ServerStatus StatusOf(const store::View& view, size_t agents, SelfWatch& watch);
void RenderState(const store::View& view, size_t agents, std::string& out);  // As metrics.

// All of it outlives them.
Senses SensesOf(const std::string& state_dir, const store::Store& store, const push::Pusher& pusher,
                const InvariantWatch& invariants);
InvariantWatch::Senses InvariantSensesOf(const fleet::Fleet& fleet, const push::Pusher& pusher);

}  // namespace weir::server
