#include "libs/document/scalars.h"

namespace weir::document {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsHex(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

template <typename Accept>
bool AllOf(std::string_view text, Accept accept) {
  for (char c : text) {
    if (!accept(c)) return false;
  }
  return !text.empty();
}

size_t Digits(std::string_view text, size_t at) {
  while (at < text.size() && IsDigit(text[at])) ++at;
  return at;
}

// [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?
bool IsDecimal(std::string_view text) {
  size_t at = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
  const size_t whole = Digits(text, at);
  size_t digits = whole - at;
  at = whole;
  if (at < text.size() && text[at] == '.') {
    const size_t fraction = Digits(text, at + 1);
    digits += fraction - at - 1;
    at = fraction;
  }
  if (digits == 0) return false;
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
    const size_t exponent = Digits(text, at);
    if (exponent == at) return false;
    at = exponent;
  }
  return at == text.size();
}

// Length of the UTF-8 sequence at `at`, 0 if it is none (RFC 3629).
size_t Utf8Length(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) -> unsigned { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0; };
  const unsigned lead = byte(at);
  const auto tail = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return tail(at + 1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    if (!tail(at + 1) || !tail(at + 2)) return 0;
    if (lead == 0xE0 && byte(at + 1) < 0xA0) return 0;
    if (lead == 0xED && byte(at + 1) > 0x9F) return 0;
    return 3;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if (!tail(at + 1) || !tail(at + 2) || !tail(at + 3)) return 0;
    if (lead == 0xF0 && byte(at + 1) < 0x90) return 0;
    if (lead == 0xF4 && byte(at + 1) > 0x8F) return 0;
    return 4;
  }
  return 0;
}

}  // namespace

Node::Type PlainType(std::string_view text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return Node::Type::kNull;
  for (std::string_view word : {"true", "True", "TRUE", "false", "False", "FALSE"}) {
    if (text == word) return Node::Type::kBool;
  }
  if (text.starts_with("0o") && AllOf(text.substr(2), [](char c) { return c >= '0' && c <= '7'; })) {
    return Node::Type::kNumber;
  }
  if (text.starts_with("0x") && AllOf(text.substr(2), IsHex)) return Node::Type::kNumber;
  std::string_view unsigned_text = text;
  if (unsigned_text[0] == '-' || unsigned_text[0] == '+') unsigned_text.remove_prefix(1);
  for (std::string_view word : {".inf", ".Inf", ".INF"}) {
    if (unsigned_text == word) return Node::Type::kNumber;
  }
  for (std::string_view word : {".nan", ".NaN", ".NAN"}) {
    if (text == word) return Node::Type::kNumber;
  }
  return IsDecimal(text) ? Node::Type::kNumber : Node::Type::kString;
}

bool IsJsonNumber(std::string_view text) {
  std::string_view rest = text;
  if (!rest.empty() && rest[0] == '-') rest.remove_prefix(1);
  if (rest.empty() || !IsDigit(rest[0])) return false;
  if (rest.size() > 1 && rest[0] == '0' && IsDigit(rest[1])) return false;
  const size_t dot = rest.find('.');
  if (dot != std::string_view::npos && (dot + 1 >= rest.size() || !IsDigit(rest[dot + 1]))) return false;
  return IsDecimal(rest);
}

std::optional<FieldViolation> CheckText(std::string_view text) {
  int line = 1;
  size_t line_start = 0;
  for (size_t at = 0; at < text.size();) {
    const unsigned char c = static_cast<unsigned char>(text[at]);
    const int column = static_cast<int>(at - line_start) + 1;
    if (c == '\n') {
      ++line;
      line_start = at + 1;
    }
    if ((c < 0x20 && c != '\n' && c != '\r' && c != '\t') || c == 0x7F) {
      return FieldViolation{"", fmt::format("control character 0x{:02x}", c), line, column};
    }
    const size_t length = Utf8Length(text, at);
    if (length == 0) return FieldViolation{"", "not UTF-8", line, column};
    at += length;
  }
  return std::nullopt;
}

void AppendUtf8(std::string& out, unsigned c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | (c >> 6));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | (c >> 12));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (c >> 18));
    out += static_cast<char>(0x80 | ((c >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

}  // namespace weir::document
