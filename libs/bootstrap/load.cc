#include "libs/bootstrap/load.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>

#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "libs/base/file.h"
#include "libs/document/document.h"

namespace weir::bootstrap {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::Duration;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// One settable field: nested ones are flattened, log.level is --log-level.
struct Setting {
  std::vector<const FieldDescriptor*> path;
  std::string flag;         // "log-level"
  std::string environment;  // "LOG_LEVEL"
  const FieldDescriptor* leaf() const { return path.back(); }
};

bool IsDuration(const FieldDescriptor* field) {
  return field->message_type() != nullptr && field->message_type() == Duration::descriptor();
}

void Collect(const Descriptor* type, const Setting& above, std::vector<Setting>& out) {
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    Setting setting = above;
    setting.path.push_back(field);
    if (!setting.flag.empty()) {
      setting.flag += '-';
      setting.environment += '_';
    }
    for (const char c : field->name()) {
      setting.flag += c == '_' ? '-' : c;
      setting.environment += c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    }
    if (field->message_type() != nullptr && !IsDuration(field) && !field->is_repeated()) {
      Collect(field->message_type(), setting, out);
    } else {
      out.push_back(std::move(setting));
    }
  }
}

std::vector<Setting> SettingsOf(const Message& message) {
  std::vector<Setting> settings;
  Collect(message.GetDescriptor(), {}, settings);
  return settings;
}

std::string TypeName(const FieldDescriptor* field) {
  if (IsDuration(field)) return "DURATION";
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return "TEXT";
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true|false";
    case FieldDescriptor::CPPTYPE_ENUM:
      return "NAME";
    default:
      return "NUMBER";
  }
}

// "30s", "1.5h", "250ms".
std::optional<double> SecondsOf(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !std::isfinite(number) || number < 0 || number > 1e10) return std::nullopt;
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  if (unit == "ms") return number / 1000;
  if (unit == "s") return number;
  if (unit == "m") return number * 60;
  if (unit == "h") return number * 3600;
  if (unit == "d") return number * 86400;
  return std::nullopt;
}

template <typename T>
std::optional<T> NumberOf(std::string_view text) {
  T number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// Answers what is wrong; "" = set.
std::string SetScalar(Message& parent, const FieldDescriptor* field, const std::string& text) {
  const auto* access = parent.GetReflection();
  if (IsDuration(field)) {
    const auto seconds = SecondsOf(text);
    if (!seconds) return fmt::format("\"{}\" is not a duration; write 30s, 15m, 1.5h or 250ms", text);
    auto* duration = static_cast<Duration*>(access->MutableMessage(&parent, field));
    duration->set_seconds(static_cast<int64_t>(*seconds));
    duration->set_nanos(static_cast<int32_t>(std::lround((*seconds - std::floor(*seconds)) * 1e9)));
    return "";
  }
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      if (field->is_repeated())
        access->AddString(&parent, field, text);
      else
        access->SetString(&parent, field, text);
      return "";
    case FieldDescriptor::CPPTYPE_BOOL:
      if (text != "true" && text != "false") return fmt::format("\"{}\" is neither true nor false", text);
      access->SetBool(&parent, field, text == "true");
      return "";
    case FieldDescriptor::CPPTYPE_UINT32:
      if (const auto n = NumberOf<uint32_t>(text)) return access->SetUInt32(&parent, field, *n), "";
      return fmt::format("\"{}\" is not a number from 0 to 4294967295", text);
    case FieldDescriptor::CPPTYPE_INT32:
      if (const auto n = NumberOf<int32_t>(text)) return access->SetInt32(&parent, field, *n), "";
      return fmt::format("\"{}\" is not a whole number", text);
    case FieldDescriptor::CPPTYPE_INT64:
      if (const auto n = NumberOf<int64_t>(text)) return access->SetInt64(&parent, field, *n), "";
      return fmt::format("\"{}\" is not a whole number", text);
    case FieldDescriptor::CPPTYPE_UINT64:
      if (const auto n = NumberOf<uint64_t>(text)) return access->SetUInt64(&parent, field, *n), "";
      return fmt::format("\"{}\" is not a whole number", text);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      if (const auto n = NumberOf<double>(text)) return access->SetDouble(&parent, field, *n), "";
      return fmt::format("\"{}\" is not a number", text);
    case FieldDescriptor::CPPTYPE_ENUM:
      if (const auto* value = field->enum_type()->FindValueByName(text)) {
        return access->SetEnum(&parent, field, value), "";
      }
      return fmt::format("\"{}\" is not one of its names", text);
    default:
      return "can be set in the file only";
  }
}

std::string Set(Message& message, const Setting& setting, const std::vector<std::string>& values) {
  Message* parent = &message;
  for (size_t i = 0; i + 1 < setting.path.size(); ++i) {
    parent = parent->GetReflection()->MutableMessage(parent, setting.path[i]);
  }
  const FieldDescriptor* field = setting.leaf();
  if (!field->is_repeated()) {
    if (values.size() > 1) return "is given more than once";
    return SetScalar(*parent, field, values.front());
  }
  parent->GetReflection()->ClearField(parent, field);
  for (const std::string& value : values) {
    for (size_t begin = 0; begin <= value.size();) {
      const size_t end = std::min(value.find(',', begin), value.size());
      if (end > begin) {
        if (std::string wrong = SetScalar(*parent, field, value.substr(begin, end - begin)); !wrong.empty())
          return wrong;
      }
      begin = end + 1;
    }
  }
  return "";
}

struct CommandLine {
  std::string config;
  std::vector<std::pair<const Setting*, std::vector<std::string>>> values;
};

const Setting* Find(const std::vector<Setting>& settings, std::string name) {
  for (char& c : name) {
    if (c == '.' || c == '_') c = '-';
  }
  for (const Setting& setting : settings) {
    if (setting.flag == name) return &setting;
  }
  return nullptr;
}

CommandLine ReadArguments(const std::vector<Setting>& settings, const std::vector<std::string>& arguments,
                          std::vector<FieldViolation>& violations) {
  CommandLine line;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (!argument.starts_with("--") || argument.size() < 3) {
      violations.push_back({argument, "is not a flag; flags start with --, see --help"});
      continue;
    }
    const size_t equals = argument.find('=');
    const std::string name = argument.substr(2, equals == std::string::npos ? equals : equals - 2);
    const Setting* setting = Find(settings, name);
    if (setting == nullptr && name != "config") {
      violations.push_back({"--" + name, "is not a flag of this program, see --help"});
      continue;
    }
    std::string value;
    if (equals != std::string::npos) {
      value = argument.substr(equals + 1);
    } else if (setting != nullptr && setting->leaf()->cpp_type() == FieldDescriptor::CPPTYPE_BOOL) {
      const bool said = i + 1 < arguments.size() && (arguments[i + 1] == "true" || arguments[i + 1] == "false");
      value = said ? arguments[++i] : "true";
    } else if (i + 1 < arguments.size() && !arguments[i + 1].starts_with("--")) {
      value = arguments[++i];
    } else {
      violations.push_back({"--" + name, "needs a value"});
      continue;
    }
    if (setting == nullptr) {
      line.config = value;
      continue;
    }
    auto known = line.values.begin();
    while (known != line.values.end() && known->first != setting) ++known;
    if (known == line.values.end()) known = line.values.insert(known, {setting, {}});
    known->second.push_back(std::move(value));
  }
  return line;
}

void ReadConfig(const std::string& path, Message& message, std::vector<FieldViolation>& violations) {
  const auto text = ReadFile(path, 4u << 20);
  if (!text.ok()) {
    violations.push_back({path, text.error().message + "; name a file that can be read with --config"});
    return;
  }
  const std::unique_ptr<Message> from_file(message.New());
  const Status read = document::ReadMessage(*text, *from_file);
  if (!read.ok()) {
    for (FieldViolation violation : read.error().violations) {
      violation.description += fmt::format(" ({}:{}:{})", path, violation.line, violation.column);
      violations.push_back(std::move(violation));
    }
    if (read.error().violations.empty()) violations.push_back({path, read.error().message});
    return;
  }
  // A list in the file replaces the default's; MergeFrom would append.
  const auto* access = message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* field = message.GetDescriptor()->field(i);
    if (field->is_repeated() && access->FieldSize(*from_file, field) > 0) access->ClearField(&message, field);
  }
  message.MergeFrom(*from_file);
}

void PrintHelp(const Program& program, const Message& message) {
  fmt::print("{} {}\n{}\n\nUsage: {} [--config FILE] [--FLAG VALUE]...\n\n", program.name, program.version,
             program.purpose, program.name);
  if (!program.verbs.empty()) fmt::print("{}\n", program.verbs);
  fmt::print("A flag wins over the environment, the environment over the file, the file over the default.\n\n");
  const auto row = [](const std::string& flag, const std::string& text) { fmt::print("  {:<38} {}\n", flag, text); };
  row("--config FILE", "YAML or JSON; environment " + program.environment_prefix + "CONFIG");
  row("--check", "Only say whether the settings are right");
  row("--print-bootstrap", "Print the settings in effect, defaults included");
  row("--version", "Print the version");
  for (const Setting& setting : SettingsOf(message)) {
    const bool list = setting.leaf()->is_repeated();
    row(fmt::format("--{} {}{}", setting.flag, TypeName(setting.leaf()), list ? ",..." : ""),
        program.environment_prefix + setting.environment);
  }
}

void PrintViolations(const Program& program, const Error& error) {
  if (error.violations.empty()) fmt::print(stderr, "{}: {}\n", program.name, error.message);
  for (const FieldViolation& violation : error.violations) {
    fmt::print(stderr, "{}: {}: {}\n", program.name, violation.field, violation.description);
  }
}

// Takes `flag` out of the arguments.
bool Take(std::vector<std::string>& arguments, std::string_view flag) { return std::erase(arguments, flag) > 0; }

}  // namespace

Status Fill(const Program& program, const std::vector<std::string>& arguments, Message& message) {
  const std::vector<Setting> settings = SettingsOf(message);
  std::vector<FieldViolation> violations;
  CommandLine line = ReadArguments(settings, arguments, violations);
  if (line.config.empty()) {
    if (const char* path = std::getenv((program.environment_prefix + "CONFIG").c_str())) line.config = path;
  }
  if (!line.config.empty()) ReadConfig(line.config, message, violations);
  for (const Setting& setting : settings) {
    const std::string name = program.environment_prefix + setting.environment;
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) continue;
    if (std::string wrong = Set(message, setting, {value}); !wrong.empty()) violations.push_back({name, wrong});
  }
  for (const auto& [setting, values] : line.values) {
    if (std::string wrong = Set(message, *setting, values); !wrong.empty()) {
      violations.push_back({"--" + setting->flag, wrong});
    }
  }
  if (violations.empty()) return {};
  Error error = InvalidArgument("BOOTSTRAP_INVALID", "the settings are not right");
  error.violations = std::move(violations);
  return error;
}

Outcome Load(const Program& program, int argc, const char* const* argv, Message& message,
             const std::function<Status(const Message&)>& check) {
  std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  if (Take(arguments, "--help") || Take(arguments, "-h")) return PrintHelp(program, message), Outcome{false, 0};
  if (Take(arguments, "--version")) return fmt::print("{} {}\n", program.name, program.version), Outcome{false, 0};
  const bool only_check = Take(arguments, "--check");
  const bool print = Take(arguments, "--print-bootstrap");
  Status status = Fill(program, arguments, message);
  if (status.ok() && check) status = check(message);
  if (!status.ok()) return PrintViolations(program, status.error()), Outcome{false, 2};
  if (program.defaults) program.defaults(message);
  if (print) fmt::print("{}", document::ToYaml(message));
  if (only_check && !print) fmt::print("{}: the settings are right\n", program.name);
  return {!print && !only_check, 0};
}

}  // namespace weir::bootstrap
