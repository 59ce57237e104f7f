#pragma once

#include <span>
#include <string_view>

namespace weir::cli {

// What scripts can trust. The table is printed by `weir help` and stands in docs/operating/cli.md.
enum Exit {
  kExitOk = 0,
  kExitRefused = 1,
  kExitUsage = 2,
  kExitUnreachable = 3,
  kExitTimedOut = 4,
  kExitChanges = 5,
  kExitAlarms = 6,
};

struct ExitCode {
  Exit code;
  std::string_view meaning;
};
std::span<const ExitCode> ExitCodes();  // In their order.

}  // namespace weir::cli
