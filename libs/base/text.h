#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace weir {

// Letters of ASCII in lower case, every other byte as it is.
constexpr char AsciiLower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
std::string AsciiLower(std::string_view text);

// The beginning of UTF-8 text, at most `size` bytes and never half a character.
std::string_view Shortened(std::string_view text, size_t size);

// Text of a peer, fit for logs, status and terminals: at most `size` bytes ("..." at the end where it was cut), control
// characters as \xNN, bytes that are no UTF-8 too. Where it enters, not where it is shown.
std::string CleanText(std::string_view text, size_t size);

bool IsUtf8(std::string_view bytes);         // RFC 3629: no surrogates, nothing overlong.
std::string ToUtf8(std::string_view bytes);  // Each byte that is no UTF-8 replaced by U+FFFD.
// Whether text holds what a terminal obeys or what is not seen for what it is: control characters, line and paragraph
// separators, what turns the direction of text; bytes that are no UTF-8 too. Line feed and tab pass with `multiline`.
bool HasControl(std::string_view text, bool multiline = false);
// The same characters as \xNN, everything else as it is: for terminals and tables, whatever the source.
std::string Printable(std::string_view text, bool multiline = false);

}  // namespace weir
