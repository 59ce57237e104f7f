#include "libs/resource/domains.h"

#include <algorithm>

namespace weir::resource {
namespace {

std::string Lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

bool AtOrBelow(std::string_view name, std::string_view above) {
  return name == above || (name.ends_with(above) && name[name.size() - above.size() - 1] == '.');
}

}  // namespace

bool DomainsOverlap(std::string_view one, std::string_view other) {
  if (one.empty() || other.empty()) return false;
  const std::string a = Lower(one), b = Lower(other);
  return AtOrBelow(a, b) || AtOrBelow(b, a);
}

}  // namespace weir::resource
