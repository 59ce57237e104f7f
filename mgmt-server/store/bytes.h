#pragma once

#include "libs/base/result.h"
#include "mgmt-server/store/records.h"

namespace weir::store {

class View;

// Inside store: before a version is put in the place of `before` (null = of nothing). Bounds counted in objects bound
// no bytes, and all that is stored lies in memory. INVALID_ARGUMENT OBJECT_TOO_LARGE: of more than 1 MiB, with the
// names of who set its fields. RESOURCE_EXHAUSTED TOO_MANY_BYTES: all that lies in one tenant (or in anything else
// right below an organization) would have more than 256 MiB. What is there may always be made smaller.
Status CheckBytes(const View& view, const StoredResource* before, const StoredResource& next);

}  // namespace weir::store
