#include "cli/flags.h"

#include <charconv>

#include "libs/base/text.h"

namespace weir::cli {
namespace {

bool IsNumber(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
}

// They are sent as texts.
Result<Flags> WithProperWords(Flags flags) {
  for (const std::string& word : flags.words) {
    if (!IsUtf8(word)) return InvalidArgument("USAGE", "\"{}\" is not UTF-8", CleanText(word, 256));
  }
  return flags;
}

}  // namespace

std::string Flags::Get(const std::string& name, std::string otherwise) const {
  const auto found = values.find(name);
  if (found == values.end()) return otherwise;
  return found->second.back();
}
std::vector<std::string> Flags::All(const std::string& name) const {
  const auto found = values.find(name);
  return found == values.end() ? std::vector<std::string>{} : found->second;
}

Result<Flags> ParseFlags(const std::vector<std::string>& arguments, const FlagSpec& spec) {
  Flags flags;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--") {
      flags.words.insert(flags.words.end(), arguments.begin() + static_cast<long>(i) + 1, arguments.end());
      break;
    }
    if (argument.size() < 2 || argument[0] != '-') {  // "-" alone is standard input.
      flags.words.push_back(argument);
      continue;
    }
    std::string name;
    std::string value;
    bool given = false;
    if (argument[1] == '-') {
      const size_t equals = argument.find('=');
      name = argument.substr(2, equals == std::string::npos ? equals : equals - 2);
      given = equals != std::string::npos;
      if (given) value = argument.substr(equals + 1);
    } else {
      const auto letter = spec.letters.find(argument[1]);
      if (letter == spec.letters.end()) return InvalidArgument("USAGE", "unknown flag -{}", argument[1]);
      name = letter->second;
      given = argument.size() > 2;
      if (given) value = argument.substr(argument[2] == '=' ? 3 : 2);
    }
    if (!spec.values.contains(name) && !spec.switches.contains(name)) {
      return InvalidArgument("USAGE", "unknown flag --{}", name);
    }
    const bool optional = name == "wait" || name == "watch";
    if (spec.values.contains(name)) {
      if (!given && i + 1 < arguments.size()) value = arguments[++i];
      if (value.empty()) return InvalidArgument("USAGE", "--{} needs a value", name);
    } else if (given && !optional) {
      return InvalidArgument("USAGE", "--{} takes no value", name);
    } else if (given && value.empty()) {
      return InvalidArgument("USAGE", "--{}= needs a value", name);
    } else if (optional && !given && i + 1 < arguments.size() && IsNumber(arguments[i + 1])) {
      return InvalidArgument("USAGE", "--{0} takes its value after \"=\": --{0}={1}", name, arguments[i + 1]);
    }
    flags.values[name].push_back(value);
  }
  return WithProperWords(std::move(flags));
}

Result<int> WaitSeconds(const Flags& flags) {
  if (flags.Get("wait").empty()) return 60;
  return ParseNumber("wait", flags.Get("wait"), 1, 300);
}

Result<int64_t> ParseDuration(const std::string& flag, const std::string& text, int64_t max) {
  const auto bad = [&] {
    return InvalidArgument("USAGE", "--{} must be like 90s, 45m, 2h, 1h30m or 7d, at most {} days, not \"{}\"", flag,
                           max / 86400, text);
  };
  int64_t seconds = 0, last_unit = INT64_MAX;
  for (const char *at = text.data(), *end = at + text.size(); at != end || text.empty();) {
    int64_t value = 0;
    const auto [unit, error] = std::from_chars(at, end, value);
    if (error != std::errc() || unit == end || value < 0 || value > max) return bad();
    const int64_t size = *unit == 'd' ? 86400 : *unit == 'h' ? 3600 : *unit == 'm' ? 60 : *unit == 's' ? 1 : 0;
    if (size == 0 || size >= last_unit) return bad();
    last_unit = size;
    seconds += value * size;
    at = unit + 1;
  }
  if (seconds < 1 || seconds > max) return bad();
  return seconds;
}

Result<int> ParseNumber(const std::string& flag, const std::string& text, int min, int max) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < min || value > max) {
    return InvalidArgument("USAGE", "--{} must be {} to {}, not \"{}\"", flag, min, max, text);
  }
  return value;
}

}  // namespace weir::cli
