#pragma once

#include <string_view>

namespace weir::process {

inline constexpr std::string_view kVersion = "0.1.0";  // Of every program: they are built and released together.

}  // namespace weir::process
