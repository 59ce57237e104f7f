#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <cmath>

#include "libs/base/base64.h"
#include "libs/base/text.h"
#include "libs/document/document.h"
#include "libs/document/scalars.h"

namespace weir::document {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::util::TimeUtil;

Node Real(double value) {
  if (std::isnan(value)) return Node::String("NaN");
  if (std::isinf(value)) return Node::String(value < 0 ? "-Infinity" : "Infinity");
  return Node::Number(fmt::format("{}", value));
}

// One value of a field; `index` < 0 = not repeated.
Node ValueOf(const Message& message, const FieldDescriptor& field, int index) {
  const auto& from = *message.GetReflection();
  const bool many = index >= 0;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return Node::Number(
          std::to_string(many ? from.GetRepeatedInt32(message, &field, index) : from.GetInt32(message, &field)));
    case FieldDescriptor::CPPTYPE_UINT32:
      return Node::Number(
          std::to_string(many ? from.GetRepeatedUInt32(message, &field, index) : from.GetUInt32(message, &field)));
    case FieldDescriptor::CPPTYPE_INT64:  // Proto JSON writes 64-bit integers as strings: JavaScript rounds them.
      return Node::String(
          std::to_string(many ? from.GetRepeatedInt64(message, &field, index) : from.GetInt64(message, &field)));
    case FieldDescriptor::CPPTYPE_UINT64:
      return Node::String(
          std::to_string(many ? from.GetRepeatedUInt64(message, &field, index) : from.GetUInt64(message, &field)));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return Real(many ? from.GetRepeatedDouble(message, &field, index) : from.GetDouble(message, &field));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return Real(
          static_cast<double>(many ? from.GetRepeatedFloat(message, &field, index) : from.GetFloat(message, &field)));
    case FieldDescriptor::CPPTYPE_BOOL:
      return Node::Bool(many ? from.GetRepeatedBool(message, &field, index) : from.GetBool(message, &field));
    case FieldDescriptor::CPPTYPE_ENUM: {
      const int number = many ? from.GetRepeatedEnumValue(message, &field, index) : from.GetEnumValue(message, &field);
      const auto* value = field.enum_type()->FindValueByNumber(number);
      return value != nullptr ? Node::String(value->name()) : Node::Number(std::to_string(number));
    }
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string text = many ? from.GetRepeatedString(message, &field, index) : from.GetString(message, &field);
      return Node::String(field.type() == FieldDescriptor::TYPE_BYTES ? Base64(text) : std::move(text));
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return FromMessage(many ? from.GetRepeatedMessage(message, &field, index) : from.GetMessage(message, &field));
  }
  return {};
}

Node MapOf(const Message& message, const FieldDescriptor& field) {
  Node node = Node::Map();
  const auto& from = *message.GetReflection();
  for (int i = 0; i < from.FieldSize(message, &field); ++i) {
    const Message& entry = from.GetRepeatedMessage(message, &field, i);
    node.Add(ValueOf(entry, *field.message_type()->map_key(), -1).text,
             ValueOf(entry, *field.message_type()->map_value(), -1));
  }
  std::sort(node.members.begin(), node.members.end(), [](const Member& a, const Member& b) { return a.key < b.key; });
  return node;
}

// Bytes of the character at `i` if a terminal obeys it or it is not seen for what it is (C1, line separators, what
// turns the direction of text); 0 for all others.
size_t UnseenSize(const std::string& text, size_t i) {
  const size_t size = text[i] == '\xC2' ? 2 : text[i] == '\xE2' ? 3 : 0;
  return size > 0 && HasControl(std::string_view(text).substr(i, size)) ? size : 0;
}
unsigned CodeOf(const std::string& text, size_t i, size_t size) {
  const auto low = [&](size_t at) { return static_cast<unsigned>(static_cast<unsigned char>(text[at])) & 0x3F; };
  return size == 2 ? 0x80 | low(i + 1) : 0x2000 | low(i + 1) << 6 | low(i + 2);
}

// Whatever came in, what goes out is valid: RFC 8259 section 8.1.
void Escaped(std::string& out, std::string_view bytes) {
  const std::string text = ToUtf8(bytes);
  out += '"';
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
          out += fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
        } else if (const size_t size = UnseenSize(text, i); size > 0) {
          out += fmt::format("\\u{:04x}", CodeOf(text, i, size));
          i += size - 1;
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

void Json(std::string& out, const Node& node, bool pretty, int indent) {
  const auto line = [&](int depth) {
    if (pretty) out.append(1, '\n').append(static_cast<size_t>(depth) * 2, ' ');
  };
  switch (node.type) {
    case Node::Type::kNull:
      out += "null";
      return;
    case Node::Type::kBool:
      out += node.text;
      return;
    case Node::Type::kNumber:  // YAML knows numbers that JSON does not: 0x1F, .inf
      if (IsJsonNumber(node.text))
        out += node.text;
      else
        Escaped(out, node.text);
      return;
    case Node::Type::kString:
      Escaped(out, node.text);
      return;
    case Node::Type::kSequence:
      out += '[';
      for (size_t i = 0; i < node.items.size(); ++i) {
        if (i > 0) out += ',';
        line(indent + 1);
        Json(out, node.items[i], pretty, indent + 1);
      }
      if (!node.items.empty()) line(indent);
      out += ']';
      return;
    case Node::Type::kMap:
      out += '{';
      for (size_t i = 0; i < node.members.size(); ++i) {
        if (i > 0) out += ',';
        line(indent + 1);
        Escaped(out, node.members[i].key);
        out += pretty ? ": " : ":";
        Json(out, node.members[i].value, pretty, indent + 1);
      }
      if (!node.members.empty()) line(indent);
      out += '}';
      return;
  }
}

// Whether a string may stand unquoted and be read back, here and by YAML 1.1 readers, as the same string.
bool PlainSafe(std::string_view text) {
  if (text.empty() || PlainType(text) != Node::Type::kString) return false;
  for (std::string_view word : {"y", "n", "yes", "no", "on", "off"}) {  // Booleans of YAML 1.1.
    if (text.size() == word.size() &&
        std::equal(text.begin(), text.end(), word.begin(), [](char a, char b) { return (a | 0x20) == b; })) {
      return false;
    }
  }
  if (text[0] >= '0' && text[0] <= '9' && text.find_first_not_of("0123456789:._-+") == std::string_view::npos) {
    return false;  // Dates and base-60 numbers of YAML 1.1.
  }
  if (std::string_view("-?:,[]{}#&*!|>'\"%@`=~<. ").find(text[0]) != std::string_view::npos) return false;
  if (text.back() == ' ' || text.back() == ':') return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const unsigned char c = static_cast<unsigned char>(text[i]);
    if (c < 0x20 || c >= 0x7F) return false;
    if (c == ':' && text[i + 1] == ' ') return false;
    if (c == '#' && text[i - 1] == ' ') return false;
    if (c == '{' || c == '}' || c == '[' || c == ']' || c == ',') return false;
  }
  return true;
}

void YamlString(std::string& out, std::string_view text) {
  if (PlainSafe(text))
    out += text;
  else
    Escaped(out, text);
}

void Yaml(std::string& out, const Node& node, int indent, bool after_dash);

void YamlValue(std::string& out, const Node& node, int indent) {
  const bool empty = node.items.empty() && node.members.empty();
  switch (node.type) {
    case Node::Type::kNull:
      out += " null\n";
      return;
    case Node::Type::kBool:
    case Node::Type::kNumber:
      out += " " + node.text + "\n";
      return;
    case Node::Type::kString:
      out += ' ';
      YamlString(out, node.text);
      out += '\n';
      return;
    case Node::Type::kSequence:
      if (empty) {
        out += " []\n";
      } else {
        out += '\n';
        Yaml(out, node, indent, false);
      }
      return;
    case Node::Type::kMap:
      if (empty) {
        out += " {}\n";
      } else {
        out += '\n';
        Yaml(out, node, indent + 2, false);
      }
      return;
  }
}

// Lists stand at the indentation of their key, as in the documents people know from Kubernetes.
void Yaml(std::string& out, const Node& node, int indent, bool after_dash) {
  const std::string space(static_cast<size_t>(indent), ' ');
  if (node.type == Node::Type::kMap) {
    for (size_t i = 0; i < node.members.size(); ++i) {
      if (i > 0 || !after_dash) out += space;
      YamlString(out, node.members[i].key);
      out += ':';
      YamlValue(out, node.members[i].value, indent);
    }
    return;
  }
  for (const Node& item : node.items) {
    out += space + "-";
    if (item.type == Node::Type::kMap && !item.members.empty()) {
      out += ' ';
      Yaml(out, item, indent + 2, true);
    } else if (item.type == Node::Type::kSequence && !item.items.empty()) {
      out += '\n';
      Yaml(out, item, indent + 2, false);
    } else {
      YamlValue(out, item, indent);
    }
  }
}

}  // namespace

Node FromMessage(const Message& message) {
  const std::string& name = message.GetDescriptor()->full_name();
  if (name == "google.protobuf.Duration") {
    google::protobuf::Duration value;
    value.ParseFromString(message.SerializePartialAsString());
    return Node::String(TimeUtil::ToString(value));
  }
  if (name == "google.protobuf.Timestamp") {
    google::protobuf::Timestamp value;
    value.ParseFromString(message.SerializePartialAsString());
    return Node::String(TimeUtil::ToString(value));
  }
  Node node = Node::Map();
  const auto& from = *message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *message.GetDescriptor()->field(i);
    if (field.is_repeated()) {
      const int size = from.FieldSize(message, &field);
      if (size == 0) continue;
      Node& value = node.Add(field.json_name(), Node::Sequence());
      if (field.is_map()) {
        value = MapOf(message, field);
      } else {
        for (int j = 0; j < size; ++j) value.items.push_back(ValueOf(message, field, j));
      }
    } else if (from.HasField(message, &field)) {
      node.Add(field.json_name(), ValueOf(message, field, -1));
    }
  }
  return node;
}

std::string WriteJson(const Node& node, bool pretty) {
  std::string out;
  Json(out, node, pretty, 0);
  out += '\n';
  return out;
}

std::string WriteYaml(const Node& node) {
  std::string out;
  if (node.IsScalar() || (node.items.empty() && node.members.empty())) {
    YamlValue(out, node, 0);
    return out.substr(1);
  }
  Yaml(out, node, 0, false);
  return out;
}

std::string ToJson(const Message& message, bool pretty) { return WriteJson(FromMessage(message), pretty); }
std::string ToYaml(const Message& message) { return WriteYaml(FromMessage(message)); }

}  // namespace weir::document
