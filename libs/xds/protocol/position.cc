#include "libs/xds/protocol/position.h"

#include <algorithm>
#include <charconv>

#include "libs/base/ids.h"

namespace weir::xds {
namespace {

constexpr size_t kLineageBytes = 16;
constexpr size_t kMarkMax = 64;

bool IsLineage(std::string_view text) {
  return text.size() == 2 * kLineageBytes && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool IsMark(std::string_view text) {
  const size_t dash = text.find('-');
  return text.size() <= kMarkMax && dash != 0 && dash != std::string_view::npos && dash <= 18 &&
         text.substr(0, dash).find_first_not_of("0123456789") == std::string_view::npos &&
         text.substr(dash + 1).find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

int64_t Position::revision() const {
  int64_t revision = 0;
  std::from_chars(mark.data(), mark.data() + mark.size(), revision);
  return revision;
}

std::string Position::ToText() const {
  std::string text = mark;
  for (auto lineage = lineages.rbegin(); lineage != lineages.rend(); ++lineage) text += "/" + *lineage;
  return text;
}

std::string NewLineage() { return RandomHex(kLineageBytes); }

Result<Position> ParsePosition(std::string_view text) {
  Position position;
  size_t end = text.find('/');
  position.mark = std::string(text.substr(0, end));
  bool sound = IsMark(position.mark) && end != std::string_view::npos;
  while (sound && end != std::string_view::npos) {
    text.remove_prefix(end + 1);
    end = text.find('/');
    sound = IsLineage(text.substr(0, end)) && position.lineages.size() < kMaxLineages;
    position.lineages.emplace_back(text.substr(0, end));
  }
  if (!sound) return InvalidArgument("POSITION_MALFORMED", "not a position of a server's state");
  std::reverse(position.lineages.begin(), position.lineages.end());
  return position;
}

Status MayFollow(const Position& held, const Position& offered) {
  const auto& known = offered.lineages;
  const auto found = std::find(known.begin(), known.end(), held.lineages.back());
  if (found == known.end()) {
    return FailedPrecondition("STATE_FOREIGN", "the server's state ({}) is not the one whose intent is held here ({})",
                              offered.ToText(), held.ToText());
  }
  const bool present = std::next(found) == known.end();
  if (present && offered.revision() < held.revision()) {
    return FailedPrecondition("STATE_OLDER", "the server's state is at revision {}, older than revision {} held here",
                              offered.revision(), held.revision());
  }
  return {};
}

}  // namespace weir::xds
