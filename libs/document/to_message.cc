#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>
#include <unordered_map>

#include "libs/document/document.h"

namespace weir::document {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::util::TimeUtil;

constexpr size_t kMaxViolations = 100;

std::string_view TypeName(const Node& node) {
  switch (node.type) {
    case Node::Type::kNull:
      return "nothing";
    case Node::Type::kBool:
      return "a boolean";
    case Node::Type::kNumber:
      return "a number";
    case Node::Type::kString:
      return "a text";
    case Node::Type::kSequence:
      return "a list";
    case Node::Type::kMap:
      return "a map";
  }
  return "";
}

// Decimal and the 0x and 0o of YAML; also "75.0", which is a whole number.
template <typename T>
bool ParseInteger(std::string_view text, T& out) {
  if (!text.empty() && text[0] == '+') text.remove_prefix(1);
  int base = 10;
  if (text.starts_with("0x")) base = 16;
  if (text.starts_with("0o")) base = 8;
  if (base != 10) text.remove_prefix(2);
  const size_t dot = text.find('.');
  if (base == 10 && dot != std::string_view::npos && text.find_first_not_of('0', dot + 1) == std::string_view::npos) {
    text = text.substr(0, dot);
  }
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

bool ParseDouble(std::string_view text, double& out) {
  if (!text.empty() && text[0] == '+') text.remove_prefix(1);
  if (text == "NaN" || text == ".nan" || text == ".NaN" || text == ".NAN") return out = std::nan(""), true;
  for (std::string_view inf : {"Infinity", ".inf", ".Inf", ".INF"}) {
    if (text == inf) return out = std::numeric_limits<double>::infinity(), true;
    if (text.starts_with('-') && text.substr(1) == inf) return out = -std::numeric_limits<double>::infinity(), true;
  }
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

bool ParseBase64(std::string_view text, std::string& out) {
  unsigned bits = 0;
  int count = 0;
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  for (char c : text) {
    unsigned value = 0;
    if (c >= 'A' && c <= 'Z')
      value = static_cast<unsigned>(c - 'A');
    else if (c >= 'a' && c <= 'z')
      value = static_cast<unsigned>(c - 'a' + 26);
    else if (c >= '0' && c <= '9')
      value = static_cast<unsigned>(c - '0' + 52);
    else if (c == '+' || c == '-')
      value = 62;
    else if (c == '/' || c == '_')
      value = 63;
    else
      return false;
    bits = bits << 6 | value;
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>(bits >> count & 0xFF);
    }
  }
  return text.size() % 4 != 1;
}

// "1.5s" with up to nine digits of fraction, as proto JSON has it; also ms, m and h, which people write.
bool ParseDuration(std::string_view text, google::protobuf::Duration& out) {
  double scale = 1;
  std::string_view number = text;
  if (text.ends_with("ms"))
    number.remove_suffix(2), scale = 1e-3;
  else if (text.ends_with('s'))
    number.remove_suffix(1);
  else if (text.ends_with('m'))
    number.remove_suffix(1), scale = 60;
  else if (text.ends_with('h'))
    number.remove_suffix(1), scale = 3600;
  else
    return false;
  if (number.empty() || number.find_first_not_of("-0123456789.") != std::string_view::npos) return false;
  if (scale == 1) return TimeUtil::FromString(std::string(text), &out);
  double value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (error != std::errc() || end != number.data() + number.size()) return false;
  const double nanos = value * scale * 1e9;
  if (std::abs(nanos) > 9e18) return false;
  out = TimeUtil::NanosecondsToDuration(std::llround(nanos));
  return true;
}

class MessageReader {
 public:
  MessageReader(std::vector<FieldViolation>& violations, const ReadOptions& options)
      : violations_(violations), options_(options) {}

  void Read(const Node& node, Message& out, const std::string& path, bool outermost) {
    if (node.IsNull()) return;
    if (WellKnown(node, out, path)) return;
    if (node.type != Node::Type::kMap) return Wrong(node, path, "a map");
    std::unordered_map<const FieldDescriptor*, const Member*> seen;
    for (const Member& member : node.members) {
      if (outermost && std::find(options_.ignore.begin(), options_.ignore.end(), member.key) != options_.ignore.end()) {
        continue;
      }
      const std::string at = path.empty() ? member.key : path + "." + member.key;
      const FieldDescriptor* field = FindField(*out.GetDescriptor(), member.key);
      if (field == nullptr) {
        Unknown(member, *out.GetDescriptor(), at);
      } else if (!seen.emplace(field, &member).second) {
        Add(at, fmt::format("the same field as {}", seen[field]->key), member.line, member.column);
      } else if (!member.value.IsNull()) {
        const auto* oneof = field->real_containing_oneof();
        const auto* other = oneof ? out.GetReflection()->GetOneofFieldDescriptor(out, oneof) : nullptr;
        if (other != nullptr) {
          Add(at, fmt::format("not together with {}: exactly one of them", other->json_name()), member.line,
              member.column);
        } else {
          Field(member.value, out, *field, at);
        }
      }
    }
  }

 private:
  static const FieldDescriptor* FindField(const Descriptor& type, const std::string& key) {
    for (int i = 0; i < type.field_count(); ++i) {
      if (type.field(i)->json_name() == key || type.field(i)->name() == key) return type.field(i);
    }
    return nullptr;
  }
  void Add(const std::string& field, std::string description, int line, int column) {
    if (violations_.size() < kMaxViolations) violations_.push_back({field, std::move(description), line, column});
  }
  void Wrong(const Node& node, const std::string& path, std::string_view wanted) {
    Add(path, fmt::format("{} is wanted here, not {}", wanted, TypeName(node)), node.line, node.column);
  }
  void Unknown(const Member& member, const Descriptor& type, const std::string& path) {
    std::string text = options_.unknown_field ? options_.unknown_field(type, member.key) : "";
    if (text.empty()) {
      text = "unknown field";
      const std::string near = Nearest(member.key, type);
      if (!near.empty()) text += fmt::format("; did you mean {}?", near);
    }
    Add(path, std::move(text), member.line, member.column);
  }
  static std::string Nearest(const std::string& key, const Descriptor& type) {
    if (key.size() > 64) return "";
    std::string best;
    size_t best_distance = std::min(std::max<size_t>(2, key.size() / 4) + 1, key.size());
    for (int i = 0; i < type.field_count(); ++i) {
      const std::string& name = type.field(i)->json_name();
      std::vector<size_t> row(name.size() + 1);
      for (size_t j = 0; j < row.size(); ++j) row[j] = j;
      for (size_t a = 0; a < key.size(); ++a) {
        size_t corner = row[0]++;
        for (size_t b = 0; b < name.size(); ++b) {
          const size_t replaced = corner + (std::tolower(key[a]) == std::tolower(name[b]) ? 0 : 1);
          corner = row[b + 1];
          row[b + 1] = std::min({replaced, row[b] + 1, corner + 1});
        }
      }
      if (row.back() < best_distance) best_distance = row.back(), best = name;
    }
    return best;
  }

  bool WellKnown(const Node& node, Message& out, const std::string& path) {
    const std::string& name = out.GetDescriptor()->full_name();
    if (name == "google.protobuf.Duration") {
      google::protobuf::Duration value;
      if (node.type != Node::Type::kString) {
        Wrong(node, path, "a duration like \"15s\"");
      } else if (!ParseDuration(node.text, value)) {
        Add(path, fmt::format("\"{}\" is no duration; write it like 15s or 0.5s", node.text.substr(0, 64)), node.line,
            node.column);
      } else {
        out.ParseFromString(value.SerializeAsString());
      }
      return true;
    }
    if (name == "google.protobuf.Timestamp") {
      google::protobuf::Timestamp value;
      if (node.type != Node::Type::kString) {
        Wrong(node, path, "a time like \"2026-11-21T14:00:00Z\"");
      } else if (!TimeUtil::FromString(node.text, &value)) {
        Add(path, fmt::format("\"{}\" is no time; write it like 2026-11-21T14:00:00Z", node.text.substr(0, 64)),
            node.line, node.column);
      } else {
        out.ParseFromString(value.SerializeAsString());
      }
      return true;
    }
    return false;
  }

  void Field(const Node& node, Message& out, const FieldDescriptor& field, const std::string& path) {
    if (field.is_map()) return Map(node, out, field, path);
    if (!field.is_repeated()) return Value(node, out, field, path);
    if (node.type != Node::Type::kSequence) return Wrong(node, path, "a list");
    for (size_t i = 0; i < node.items.size(); ++i) {
      const std::string at = fmt::format("{}[{}]", path, i);
      if (node.items[i].IsNull()) {
        Wrong(node.items[i], at, "a value");
      } else {
        Value(node.items[i], out, field, at);
      }
    }
  }
  void Map(const Node& node, Message& out, const FieldDescriptor& field, const std::string& path) {
    if (node.type != Node::Type::kMap) return Wrong(node, path, "a map");
    const FieldDescriptor& key = *field.message_type()->map_key();
    const FieldDescriptor& value = *field.message_type()->map_value();
    for (const Member& member : node.members) {
      const std::string at = path + "." + member.key;
      Node name = Node::String(member.key);
      name.line = member.line;
      name.column = member.column;
      if (key.cpp_type() != FieldDescriptor::CPPTYPE_STRING) name.type = Node::Type::kNumber;
      if (key.cpp_type() == FieldDescriptor::CPPTYPE_BOOL) name.type = Node::Type::kBool;
      if (member.value.IsNull()) {
        Wrong(member.value, at, "a value");
        continue;
      }
      Message* entry = out.GetReflection()->AddMessage(&out, &field);
      Value(name, *entry, key, at);
      Value(member.value, *entry, value, at);
    }
  }

  template <typename T, typename Set>
  void Integer(const Node& node, const std::string& path, bool quoted, Set set) {
    T value{};
    if (node.type != Node::Type::kNumber && !(quoted && node.type == Node::Type::kString)) {
      return Wrong(node, path, "a whole number");
    }
    if (!ParseInteger(node.text, value)) {
      return Add(path,
                 fmt::format("{} is not a whole number between {} and {}", node.text.substr(0, 64),
                             std::numeric_limits<T>::min(), std::numeric_limits<T>::max()),
                 node.line, node.column);
    }
    set(value);
  }
  void Value(const Node& node, Message& out, const FieldDescriptor& field, const std::string& path) {
    const Reflection& to = *out.GetReflection();
    const bool many = field.is_repeated();
    const auto set = [&](auto value, auto setter, auto adder) {
      many ? (to.*adder)(&out, &field, value) : (to.*setter)(&out, &field, value);
    };
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        return Integer<int32_t>(node, path, false,
                                [&](int32_t v) { set(v, &Reflection::SetInt32, &Reflection::AddInt32); });
      case FieldDescriptor::CPPTYPE_UINT32:
        return Integer<uint32_t>(node, path, false,
                                 [&](uint32_t v) { set(v, &Reflection::SetUInt32, &Reflection::AddUInt32); });
      case FieldDescriptor::CPPTYPE_INT64:
        return Integer<int64_t>(node, path, true,
                                [&](int64_t v) { set(v, &Reflection::SetInt64, &Reflection::AddInt64); });
      case FieldDescriptor::CPPTYPE_UINT64:
        return Integer<uint64_t>(node, path, true,
                                 [&](uint64_t v) { set(v, &Reflection::SetUInt64, &Reflection::AddUInt64); });
      case FieldDescriptor::CPPTYPE_DOUBLE:
      case FieldDescriptor::CPPTYPE_FLOAT:
        return Real(node, out, field, path);
      case FieldDescriptor::CPPTYPE_BOOL:
        if (node.type != Node::Type::kBool) return Wrong(node, path, "true or false");
        return set(node.text == "true", &Reflection::SetBool, &Reflection::AddBool);
      case FieldDescriptor::CPPTYPE_ENUM:
        return Enum(node, out, field, path);
      case FieldDescriptor::CPPTYPE_STRING:
        return Text(node, out, field, path);
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Read(node, many ? *to.AddMessage(&out, &field) : *to.MutableMessage(&out, &field), path, false);
    }
  }
  void Real(const Node& node, Message& out, const FieldDescriptor& field, const std::string& path) {
    double value = 0;
    if (node.type != Node::Type::kNumber && node.type != Node::Type::kString) return Wrong(node, path, "a number");
    if (!ParseDouble(node.text, value)) return Wrong(node, path, "a number");
    const Reflection& to = *out.GetReflection();
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_FLOAT) {
      const float narrow = static_cast<float>(value);
      field.is_repeated() ? to.AddFloat(&out, &field, narrow) : to.SetFloat(&out, &field, narrow);
    } else {
      field.is_repeated() ? to.AddDouble(&out, &field, value) : to.SetDouble(&out, &field, value);
    }
  }
  void Enum(const Node& node, Message& out, const FieldDescriptor& field, const std::string& path) {
    if (node.type != Node::Type::kString) return Wrong(node, path, "a name");
    const EnumValueDescriptor* value = field.enum_type()->FindValueByName(node.text);
    if (value == nullptr) {
      std::string known;
      for (int i = 0; i < field.enum_type()->value_count(); ++i) {
        known += (i == 0 ? "" : ", ") + field.enum_type()->value(i)->name();
      }
      return Add(path, fmt::format("\"{}\" is not one of {}", node.text.substr(0, 64), known), node.line, node.column);
    }
    const Reflection& to = *out.GetReflection();
    field.is_repeated() ? to.AddEnum(&out, &field, value) : to.SetEnum(&out, &field, value);
  }
  void Text(const Node& node, Message& out, const FieldDescriptor& field, const std::string& path) {
    if (node.type == Node::Type::kNumber || node.type == Node::Type::kBool) {
      return Add(path, fmt::format("a text is wanted here, not {}; put it in quotes", TypeName(node)), node.line,
                 node.column);
    }
    if (node.type != Node::Type::kString) return Wrong(node, path, "a text");
    std::string value = node.text;
    if (field.type() == FieldDescriptor::TYPE_BYTES) {
      value.clear();
      if (!ParseBase64(node.text, value)) return Wrong(node, path, "base64");
    }
    const Reflection& to = *out.GetReflection();
    field.is_repeated() ? to.AddString(&out, &field, std::move(value)) : to.SetString(&out, &field, std::move(value));
  }

  std::vector<FieldViolation>& violations_;
  const ReadOptions& options_;
};

}  // namespace

bool ToMessage(const Node& node, Message& out, std::vector<FieldViolation>& violations, const ReadOptions& options) {
  out.Clear();
  const size_t before = violations.size();
  MessageReader(violations, options).Read(node, out, options.path, true);
  return violations.size() == before;
}

Status ReadMessage(std::string_view text, Message& out, const ReadOptions& options, Syntax syntax) {
  WEIR_ASSIGN(const Node node, ParseOne(text, {}, syntax));
  std::vector<FieldViolation> violations;
  if (ToMessage(node, out, violations, options)) return {};
  Error error = InvalidArgument("INVALID_DOCUMENT", "{} field{} of the document wrong", violations.size(),
                                violations.size() == 1 ? " is" : "s are");
  error.violations = std::move(violations);
  return error;
}

}  // namespace weir::document
