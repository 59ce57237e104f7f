#include "libs/obs/log.h"

#include <unistd.h>

#include <array>
#include <atomic>

#include "libs/base/clock.h"
#include "libs/obs/json.h"

namespace weir::obs {
namespace {

constexpr std::array<std::string_view, 4> kNames{"debug", "info", "warn", "error"};
std::atomic<Level> current{Level::kInfo};

}  // namespace

Result<Level> ParseLevel(std::string_view text) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (text == kNames[i]) return static_cast<Level>(i);
  }
  return InvalidArgument("LOG_LEVEL", "unknown log level \"{}\"; use debug, info, warn or error", text);
}

std::string_view LevelName(Level level) { return kNames[static_cast<size_t>(level)]; }
void SetLevel(Level level) { current.store(level, std::memory_order_relaxed); }
Level CurrentLevel() { return current.load(std::memory_order_relaxed); }

void Log(Level level, std::string_view message, std::initializer_list<Field> fields) {
  if (level < CurrentLevel()) return;
  std::string line = R"({"time":")" + Rfc3339(Clock::Real().Wall()) + R"(","level":")";
  line += LevelName(level);
  line += R"(","message":)";
  AppendJsonString(line, message);
  for (const Field& field : fields) {
    line += ',';
    AppendJsonString(line, field.key);
    line += ':';
    AppendJsonString(line, field.value);
  }
  line += "}\n";
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace weir::obs
