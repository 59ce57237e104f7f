#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace weir::proxy {

// What was said a moment ago need not be said again: the same words at most once a minute.
class Sayings {
 public:
  static constexpr uint64_t kAgainMs = 60'000;
  static constexpr size_t kMost = 256;  // Remembered; where there are more, all are forgotten.

  bool New(std::string what, uint64_t now_ms) {
    if (said_.size() >= kMost && !said_.contains(what)) said_.clear();
    const auto [at, fresh] = said_.try_emplace(std::move(what), now_ms);
    if (!fresh && now_ms < at->second + kAgainMs) return false;
    at->second = now_ms;
    return true;
  }

 private:
  std::map<std::string, uint64_t> said_;
};

}  // namespace weir::proxy
