#pragma once

#include <string>

#include "api/weir/v2/status.pb.h"

namespace weir::cli {

// One resource: its state and, gateway by gateway, where that comes from.
std::string StatusText(const v2::ResourceStatus& status);

}  // namespace weir::cli
