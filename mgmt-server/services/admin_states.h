#pragma once

#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "mgmt-server/store/store.h"

namespace weir::services {

// Clusters whose admin state has ended go back to the one before, each in a write of its own with a record in the
// audit. To be called now and then, and at start: what ended while no server ran has ended.
Status ExpireAdminStates(store::Store& store, WallTime now);

}  // namespace weir::services
