#include <cstring>

#include "libs/codec/http1_bytes.h"

// The one canonical target.

namespace weir::codec {
namespace {

bool IsUnreserved(unsigned char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

// Whether a path, decoded once, has an escape that somebody decodes a second time: '%25' before these. Only the decoded
// path shows it: the two digits may have been escaped themselves.
bool DoubleEncoded(std::string_view path) {
  for (size_t at = path.find("%25"); at != std::string_view::npos; at = path.find("%25", at + 3)) {
    const std::string_view behind = path.substr(at + 3);
    if (behind.size() < 2 || Hex(behind[0]) < 0 || Hex(behind[1]) < 0) continue;
    const int byte = Hex(behind[0]) * 16 + Hex(behind[1]);
    if (byte == '.' || byte == '/' || byte == '\\' || byte == '%' || byte < 0x20) return true;
  }
  return false;
}

// Decodes the path into `out`; false = refused.
bool DecodePath(std::string_view path, std::string& out) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  for (size_t i = 0; i < path.size(); ++i) {
    const auto c = static_cast<unsigned char>(path[i]);
    if (c == '\\' || c == '#' || c <= 0x20 || c >= 0x7f) return false;
    if (c != '%') {
      out += static_cast<char>(c);
      continue;
    }
    if (i + 2 >= path.size()) return false;
    const int high = Hex(path[i + 1]), low = Hex(path[i + 2]);
    if (high < 0 || low < 0) return false;
    const auto byte = static_cast<unsigned char>(high * 16 + low);
    i += 2;
    if (byte == '/' || byte == '\\' || byte < 0x20 || byte == 0x7f) return false;
    if (byte == 0xC0 || byte == 0xC1 || byte >= 0xF5) return false;  // In no UTF-8 text: overlong forms.
    if (IsUnreserved(byte)) {
      out += static_cast<char>(byte);
    } else {
      out += '%';
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
  return !DoubleEncoded(out);
}

// Resolves dot segments and merges slashes in place; false = refused.
bool ResolveSegments(std::string& path) {
  size_t out = 1;  // path[0] == '/'.
  size_t at = 1;
  while (at <= path.size()) {
    size_t end = path.find('/', at);
    const bool last = end == std::string::npos;
    if (last) end = path.size();
    const std::string_view segment(path.data() + at, end - at);
    if (segment.starts_with(".;") || segment.starts_with("..;")) return false;
    if (segment == "..") {
      if (out == 1) return false;
      out = path.rfind('/', out - 2) + 1;
    } else if (segment != "." && !segment.empty()) {
      std::memmove(path.data() + out, path.data() + at, segment.size());
      out += segment.size();
      if (!last) path[out++] = '/';
    }
    if (last) break;
    at = end + 1;
  }
  path.resize(out);
  return true;
}

}  // namespace

PathResult CanonicalTarget(std::string_view target, std::string& out) {
  if (target == "*") return PathResult::kSame;
  if (target.starts_with('?')) {  // Of an absolute form without a path.
    out.assign("/").append(target);
    return target.find('#') == std::string_view::npos ? PathResult::kRewritten : PathResult::kRefused;
  }
  // Most targets are canonical: one look at each byte shows it.
  size_t i = 0;
  char before = 0;
  bool plain = true;
  for (; i < target.size() && target[i] != '?'; ++i) {
    const char c = target[i];
    if (c == '%' || c == '\\' || c == '#' || static_cast<signed char>(c) <= 0x20 || c == 0x7f ||
        (before == '/' && (c == '/' || c == '.'))) {
      plain = false;
    }
    before = c;
  }
  if (target.find('#', i) != std::string_view::npos) return PathResult::kRefused;
  if (plain) return PathResult::kSame;
  out.clear();
  if (!DecodePath(target.substr(0, i), out)) return PathResult::kRefused;
  if (!ResolveSegments(out)) return PathResult::kRefused;
  out += target.substr(i);
  return out == target ? PathResult::kSame : PathResult::kRewritten;
}

}  // namespace weir::codec
