#pragma once

#include <string>

#include "libs/base/result.h"

namespace weir::admin {

// A new secret in `path` (0600). When the disk takes nothing, the one that stands there: its owner alone knows that
// too, and a program starts again on a full disk. The error is that of the write.
Result<std::string> WriteToken(const std::string& path);

}  // namespace weir::admin
