#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "libs/codec/http1.h"

// The smallest words of HTTP/1, for the .cc files of this folder only.

namespace weir::codec {

// RFC 9110 section 5.6.2.
constexpr std::array<bool, 256> MakeTokenTable() {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[static_cast<size_t>(c)] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[static_cast<size_t>(c)] = true;
  for (int c = 'A'; c <= 'Z'; ++c) table[static_cast<size_t>(c)] = true;
  for (const char c : {'!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~'}) {
    table[static_cast<unsigned char>(c)] = true;
  }
  return table;
}
inline constexpr std::array<bool, 256> kToken = MakeTokenTable();
inline bool IsToken(char c) { return kToken[static_cast<unsigned char>(c)]; }

inline char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

// `lower` is lower case already.
inline bool Is(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (Lower(text[i]) != lower[i]) return false;
  }
  return true;
}

inline bool Begins(std::string_view text, std::string_view lower) {
  return text.size() >= lower.size() && Is(text.substr(0, lower.size()), lower);
}

inline int Hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = Lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

inline constexpr uint64_t kFnvBasis = 14695981039346656037ull, kFnvPrime = 1099511628211ull;
constexpr uint64_t HashName(std::string_view name) {
  uint64_t hash = kFnvBasis;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(Lower(c))) * kFnvPrime;
  return hash;
}

// What the proxy has to do with a header of this name, which is not empty.
Field Classify(std::string_view name);

// RFC 9110 section 7.2: a name or an address, with or without a port.
bool GoodHost(std::string_view host);
// In any case, the default port of the scheme being the same as none.
bool SameHost(std::string_view a, std::string_view b, bool https);
// Bytes of "http://" or "https://" at the beginning; 0 = the target is not of the absolute form.
size_t SchemeOf(std::string_view target);
// Of an absolute target; "" = it has none.
std::string_view AuthorityOf(std::string_view target);

}  // namespace weir::codec
