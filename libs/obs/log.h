#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "libs/base/result.h"

namespace weir::obs {

enum class Level { kDebug, kInfo, kWarn, kError };

Result<Level> ParseLevel(std::string_view text);  // "debug", "info", "warn", "error"; INVALID_ARGUMENT LOG_LEVEL.
std::string_view LevelName(Level level);

// Lines below it are dropped. Default kInfo. Thread-safe.
void SetLevel(Level level);
Level CurrentLevel();

struct Field {
  std::string_view key;
  std::string value;
};

// One JSON line on standard error: {"time","level","message",…}. Thread-safe, one write per line. Values are escaped,
// so a peer's bytes cannot forge a line. Never pass a secret.
void Log(Level level, std::string_view message, std::initializer_list<Field> fields = {});

}  // namespace weir::obs
