#pragma once

#include <string>

#include "mgmt-server/store/store.h"

namespace weir::server {

// The organization of the first start; later starts find it.
Status EnsureOrganization(store::Store& store, const std::string& name, const std::string& domain);

}  // namespace weir::server
