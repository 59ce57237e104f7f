#pragma once

#include <string>
#include <string_view>

namespace weir::obs {

// Appends `text` as a JSON string with quotes. Bytes that are not printable ASCII are written as \u00XX, so that log
// lines stay one line and valid whatever a peer sent.
void AppendJsonString(std::string& out, std::string_view text);

}  // namespace weir::obs
