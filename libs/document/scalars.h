#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "libs/document/document.h"

namespace weir::document {

// YAML 1.2 core schema (https://yaml.org/spec/1.2.2/ section 10.3.2): what an unquoted scalar is.
Node::Type PlainType(std::string_view text);
// RFC 8259 section 6.
bool IsJsonNumber(std::string_view text);
// What makes the text unreadable from the outset: not UTF-8, control characters.
std::optional<FieldViolation> CheckText(std::string_view text);
// Appends the code point as UTF-8.
void AppendUtf8(std::string& out, unsigned code_point);

}  // namespace weir::document
