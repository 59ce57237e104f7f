#pragma once

#include "mgmt-server/compile/compile.h"
#include "mgmt-server/fleet/traffic.h"
#include "mgmt-server/status/wave.h"

namespace weir::fleet {

// How the requests fared that a rollout concerns, as the gateways report it: fills in `counted` and `unservable` of
// `seen`, by reports up to its `now`.
void CountWave(const TrafficTable& table, const compile::Compilation& compilation, const status::WaveQuestion& question,
               status::WaveSeen& seen);

}  // namespace weir::fleet
