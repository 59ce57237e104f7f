#pragma once

#include <optional>

namespace weir::recovery {

extern const char* const kVerbsHelp;

// `weir-server backup`, `restore`, `verify` and `reset-password`. The exit code, or nothing when the arguments name no
// such verb. 0 done, 1 refused, 2 usage.
std::optional<int> RunVerb(int argc, const char* const* argv);

}  // namespace weir::recovery
