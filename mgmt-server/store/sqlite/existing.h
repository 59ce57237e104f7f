#pragma once

#include <string>

#include "libs/base/result.h"
#include "mgmt-server/store/sqlite/database.h"

namespace weir::store {

// Opens what exists; never makes a new file. NOT_FOUND STORE_MISSING.
Result<Database> OpenExisting(const std::string& path);

}  // namespace weir::store
