#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"

namespace weir::xds {

// Where in a server's history its state stands. A server says it with each response (`system_version_info`); an agent
// keeps the one it last acknowledged, so that an older copy of the server's state, or one that grew apart from it, is
// noticed before it takes anything away. Text: "<mark>/<lineage>[/<older lineage>...]".
struct Position {
  // Names of the history, oldest first; 32 hex digits each. A state begins with one. Another is added when an
  // administrator adopts a state in place of what grew under the ones before. At most kMaxLineages.
  std::vector<std::string> lineages;
  // "<revision>-<random>": no two states that grew apart share the random part of a revision. "0-": nothing stored yet.
  std::string mark = "0-";

  int64_t revision() const;
  std::string ToText() const;
  bool operator==(const Position&) const = default;
};
inline constexpr size_t kMaxLineages = 64;

std::string NewLineage();
// INVALID_ARGUMENT POSITION_MALFORMED.
Result<Position> ParsePosition(std::string_view text);

// Whether who acknowledged `held` may take what is `offered`: the same history and not before `held`, or one that was
// adopted in its place. FAILED_PRECONDITION STATE_OLDER, STATE_FOREIGN with both positions.
Status MayFollow(const Position& held, const Position& offered);

}  // namespace weir::xds
