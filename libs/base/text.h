#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace weir {

// The beginning of UTF-8 text, at most `size` bytes and never half a character.
std::string_view Shortened(std::string_view text, size_t size);

// Text of a peer, fit for logs, status and terminals: at most `size` bytes ("..." at the end where it was cut), control
// characters as \xNN, bytes that are no UTF-8 too. Where it enters, not where it is shown.
std::string CleanText(std::string_view text, size_t size);

}  // namespace weir
