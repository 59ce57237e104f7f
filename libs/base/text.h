#pragma once

#include <cstddef>
#include <string_view>

namespace weir {

// The beginning of UTF-8 text, at most `size` bytes and never half a character.
std::string_view Shortened(std::string_view text, size_t size);

}  // namespace weir
