#include "libs/resource/domains.h"

#include "libs/base/text.h"

namespace weir::resource {
namespace {

bool AtOrBelow(std::string_view name, std::string_view above) {
  return name == above || (name.ends_with(above) && name[name.size() - above.size() - 1] == '.');
}

}  // namespace

bool DomainsOverlap(std::string_view one, std::string_view other) {
  if (one.empty() || other.empty()) return false;
  const std::string a = AsciiLower(one), b = AsciiLower(other);
  return AtOrBelow(a, b) || AtOrBelow(b, a);
}

}  // namespace weir::resource
