#include "cli/terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <utility>

namespace weir::cli {
namespace {

bool Says(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

constexpr std::pair<std::string_view, std::string_view> kColours[] = {
    {"READY", "32"}, {"ACCEPTED", "36"}, {"PARTIAL", "33"},      {"FAILED", "31"},
    {"ERROR", "31"}, {"WARNING", "33"},  {"cannot serve", "31"}, {"CONFLICT", "31"}};

}  // namespace

bool ShowsColours() {
  const char* terminal = std::getenv("TERM");
  return isatty(STDOUT_FILENO) != 0 && !Says("NO_COLOR") && terminal != nullptr && std::string_view(terminal) != "dumb";
}

std::string Painted(std::string_view word) {
  for (const auto& [known, colour] : kColours) {
    if (word == known) return fmt::format("\033[{}m{}\033[0m", colour, word);
  }
  return std::string(word);
}

void Progress::Tick() {
  ++seconds_;
  if (isatty(STDERR_FILENO) != 0) std::cerr << "\r… " << seconds_ << " s " << std::flush;
}

void Progress::End() {
  if (std::exchange(seconds_, 0) > 0 && isatty(STDERR_FILENO) != 0) std::cerr << "\r\033[K" << std::flush;
}

}  // namespace weir::cli
