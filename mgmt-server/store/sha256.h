#pragma once

#include <string>
#include <string_view>

namespace weir::store {

// 32 bytes.
std::string Sha256(std::string_view bytes);

}  // namespace weir::store
