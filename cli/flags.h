#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"

namespace weir::cli {

// What a command accepts: "--name VALUE", "--name=VALUE", "--switch". The switches wait and watch may take a value,
// after "=" only.
struct FlagSpec {
  std::set<std::string> values;              // "server"
  std::set<std::string> switches;            // "force"
  std::map<char, std::string> letters = {};  // 'f' -> "file"
};

// A command line taken apart. Everything after "--" is a word.
struct Flags {
  std::vector<std::string> words;
  std::map<std::string, std::vector<std::string>> values;

  bool Has(const std::string& name) const { return values.contains(name); }
  std::string Get(const std::string& name, std::string otherwise = "") const;  // The last one given.
  std::vector<std::string> All(const std::string& name) const;
};

// INVALID_ARGUMENT USAGE.
Result<Flags> ParseFlags(const std::vector<std::string>& arguments, const FlagSpec& spec);

// Of "--wait[=SECONDS]": 1 to 300, 60 when not said. USAGE.
Result<int> WaitSeconds(const Flags& flags);

// Of "90s", "45m", "2h", "1h30m", "7d": seconds, 1 to `max`. USAGE.
Result<int64_t> ParseDuration(const std::string& flag, const std::string& text, int64_t max);
// USAGE unless a whole number in the range.
Result<int> ParseNumber(const std::string& flag, const std::string& text, int min, int max);

}  // namespace weir::cli
