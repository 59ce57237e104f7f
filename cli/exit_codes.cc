#include "cli/exit_codes.h"

namespace weir::cli {

std::span<const ExitCode> ExitCodes() {
  static constexpr ExitCode kCodes[] = {
      {kExitOk, "done"},
      {kExitRefused, "the server refused, or `weir diff` found a difference"},
      {kExitUsage, "wrong usage; nothing was asked of the server"},
      {kExitUnreachable, "the server cannot be reached, or did not answer in time"},
      {kExitTimedOut, "stored, but not served when --wait ran out of time"},
      {kExitChanges, "`weir plan`: something would change"},
      {kExitAlarms, "`weir server status`: there is an alarm"},
  };
  return kCodes;
}

}  // namespace weir::cli
