#pragma once

#include <string>
#include <string_view>

namespace weir {

std::string Base64(std::string_view bytes);  // RFC 4648 section 4, with padding.

}  // namespace weir
