#include "libs/base/text.h"

#include <limits>

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

// C0, DEL and C1, which a terminal obeys; U+2028 to U+202E and U+2066 to U+2069, which end lines or turn the direction
// of text unseen.
bool Controls(std::string_view character) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(character[i]); };
  const unsigned char first = at(0);
  if (first == 0xe2 && at(1) == 0x80) return at(2) >= 0xa8 && at(2) <= 0xae;
  if (first == 0xe2 && at(1) == 0x81) return at(2) >= 0xa6 && at(2) <= 0xa9;
  return first < 0x20 || first == 0x7f || (first == 0xc2 && at(1) < 0xa0);
}

// The character that `text` begins with, or the byte that is none.
struct Next {
  std::string_view bytes;
  bool good = false;   // UTF-8.
  bool shown = false;  // And safe to be shown.
};

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

std::string AsciiLower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = AsciiLower(c);
  return lower;
}

std::string_view Shortened(std::string_view text, size_t size) {
  if (text.size() <= size) return text;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  return text.substr(0, size);
}

namespace {

Next Take(std::string_view& text, bool multiline) {
  const size_t length = CharacterSize(text);
  Next next{text.substr(0, length == 0 ? 1 : length), length > 0};
  const bool passes = multiline && (text[0] == '\n' || text[0] == '\t');
  next.shown = next.good && (passes || !Controls(next.bytes));
  text.remove_prefix(next.bytes.size());
  return next;
}

// At most `size` bytes, with kCut at the end where there were more.
std::string Escaped(std::string_view text, size_t size, bool multiline) {
  std::string out;
  size_t fits = 0;  // How much of `out` may stay when it must be cut.
  while (!text.empty()) {
    const Next next = Take(text, multiline);
    if (next.shown)
      out += next.bytes;
    else
      AppendEscaped(out, next.bytes);
    if (out.size() > size) {
      out.resize(fits);
      if (size >= kCut.size()) out += kCut;
      return out;
    }
    if (out.size() + kCut.size() <= size) fits = out.size();
  }
  return out;
}

}  // namespace

bool IsUtf8(std::string_view bytes) {
  while (!bytes.empty()) {
    if (!Take(bytes, false).good) return false;
  }
  return true;
}

std::string ToUtf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    const Next next = Take(bytes, false);
    out += next.good ? next.bytes : std::string_view("\xEF\xBF\xBD");
  }
  return out;
}

bool HasControl(std::string_view text, bool multiline) {
  while (!text.empty()) {
    if (!Take(text, multiline).shown) return true;
  }
  return false;
}

std::string CleanText(std::string_view text, size_t size) { return Escaped(text, size, false); }

std::string Printable(std::string_view text, bool multiline) {
  return Escaped(text, std::numeric_limits<size_t>::max() - kCut.size(), multiline);
}

}  // namespace weir
