#pragma once

#include <string>
#include <string_view>

namespace weir {

std::string Sha256(std::string_view bytes);     // FIPS 180-4; 32 bytes.
std::string Sha256Hex(std::string_view bytes);  // The same as 64 lower-case characters.

}  // namespace weir
