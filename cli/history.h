#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "libs/base/result.h"

namespace google::protobuf {
class Timestamp;
}

namespace weir::cli {

// "417", "2026-11-29T10:00:00Z", or "30m", "2h", "3d" = so long before `now` (seconds since 1970). USAGE.
struct Moment {
  int64_t revision = 0;
  std::optional<int64_t> seconds;  // Since 1970, where it is a time.
};
Result<Moment> ParseMoment(const std::string& flag, const std::string& text, int64_t now);

}  // namespace weir::cli
