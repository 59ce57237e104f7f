#include "libs/base/text.h"

namespace weir {
namespace {

constexpr std::string_view kCut = "...";

// Bytes of the UTF-8 character that `text` begins with (RFC 3629); 0 = none does.
size_t CharacterSize(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = at(0);
  const size_t size = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (size == 0 || size > text.size()) return 0;
  for (size_t i = 1; i < size; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
  }
  if (size == 3 && ((first == 0xe0 && at(1) < 0xa0) || (first == 0xed && at(1) > 0x9f))) return 0;
  if (size == 4 && ((first == 0xf0 && at(1) < 0x90) || (first == 0xf4 && at(1) > 0x8f))) return 0;
  return size;
}

// C0, DEL and C1: what a terminal obeys.
bool Controls(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  return first < 0x20 || first == 0x7f || (first == 0xc2 && static_cast<unsigned char>(character[1]) < 0xa0);
}

void AppendEscaped(std::string& out, std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  for (const char byte : bytes) {
    const auto value = static_cast<unsigned char>(byte);
    out += "\\x";
    out += kDigits[value >> 4];
    out += kDigits[value & 15];
  }
}

}  // namespace

std::string_view Shortened(std::string_view text, size_t size) {
  if (text.size() <= size) return text;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  return text.substr(0, size);
}

std::string CleanText(std::string_view text, size_t size) {
  std::string out;
  size_t fits = 0;  // How much of `out` may stay when it must be cut.
  while (!text.empty()) {
    const size_t length = CharacterSize(text);
    const std::string_view character = text.substr(0, length == 0 ? 1 : length);
    if (length == 0 || Controls(character))
      AppendEscaped(out, character);
    else
      out += character;
    if (out.size() > size) {
      out.resize(fits);
      if (size >= kCut.size()) out += kCut;
      return out;
    }
    if (out.size() + kCut.size() <= size) fits = out.size();
    text.remove_prefix(character.size());
  }
  return out;
}

}  // namespace weir
