#include "mgmt-server/http/openapi_schemas.h"

#include <google/protobuf/descriptor.h>

namespace weir::edge {

using document::Node;
using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;

namespace {

// "weir.v2.AppliedDocument.Outcome" -> "AppliedDocument.Outcome".
std::string ShortName(const std::string& full_name, const std::string& package) {
  return full_name.substr(package.empty() ? 0 : package.size() + 1);
}

Node Typed(std::string_view type, std::string_view format = "") {
  Node node = Node::Map();
  node.Add("type", TextNode(type));
  if (!format.empty()) node.Add("format", TextNode(format));
  return node;
}

Node Whole(std::string_view format, std::string_view least, std::string_view most) {
  Node node = Typed("integer", format);
  node.Add("minimum", Node::Number(std::string(least)));
  node.Add("maximum", Node::Number(std::string(most)));
  return node;
}

// JavaScript rounds 64-bit numbers, so proto JSON writes them as strings; in a query all is text anyway.
Node Long(std::string_view format, bool in_query) {
  if (in_query) return Typed("integer", format);
  Node node = Typed("string", format);
  node.Add("pattern", TextNode(format == "uint64" ? "^[0-9]{1,20}$" : "^-?[0-9]{1,19}$"));
  return node;
}

Node Duration() {
  Node node = Typed("string");
  node.Add("pattern", TextNode("^-?[0-9]{1,9}(\\.[0-9]{1,9})?(ms|s|m|h)$"));
  Node& examples = node.Add("examples", Node::Sequence());
  for (const char* example : {"15s", "0.500s"}) examples.items.push_back(TextNode(example));
  return node;
}

// Of a oneof with several fields: one of them or none.
Node AtMostOne(const google::protobuf::OneofDescriptor& oneof) {
  const auto wants = [](const FieldDescriptor& field) {
    Node node = Node::Map();
    node.Add("required", Node::Sequence()).items.push_back(TextNode(field.json_name()));
    return node;
  };
  Node choice = Node::Map();
  Node& one = choice.Add("oneOf", Node::Sequence());
  Node none = Node::Map();
  Node& any = none.Add("not", Node::Map()).Add("anyOf", Node::Sequence());
  for (int i = 0; i < oneof.field_count(); ++i) {
    one.items.push_back(wants(*oneof.field(i)));
    any.items.push_back(wants(*oneof.field(i)));
  }
  one.items.push_back(std::move(none));
  return choice;
}

bool IsSecret(const FieldDescriptor& field) {
  return field.name() == "password" || field.name().ends_with("_password");
}

}  // namespace

Node TextNode(std::string_view text) { return Node::String(std::string(text)); }

Node RefNode(std::string_view section, std::string_view name) {
  Node node = Node::Map();
  node.Add("$ref", Node::String(fmt::format("#/components/{}/{}", section, name)));
  return node;
}

bool Schemas::IsRequired(const FieldDescriptor& field) const {
  const std::string& comment = comments_.Of(field.full_name());
  for (size_t at = comment.find("Required"); at != std::string::npos; at = comment.find("Required", at + 1)) {
    const char behind = at + 8 < comment.size() ? comment[at + 8] : '.';
    if (behind == '.' || behind == ',') return true;
  }
  return false;
}

Node Schemas::Of(const Descriptor& message) {
  if (message.full_name() == "google.protobuf.Duration") return Duration();
  if (message.full_name() == "google.protobuf.Timestamp") return Typed("string", "date-time");
  if (message.full_name() == "google.protobuf.Any")
    return Typed("object");  // A resource of any kind, as a get answers it.
  const std::string name = ShortName(message.full_name(), message.file()->package());
  if (!schemas_.contains(name)) {
    schemas_[name] = Node::Map();  // It may hold itself.
    schemas_[name] = Object(message, {});
  }
  return RefNode("schemas", name);
}

Node Schemas::Without(const Descriptor& message, const std::set<std::string>& fields) {
  const std::string name = ShortName(message.full_name(), message.file()->package());
  if (!schemas_.contains(name)) schemas_[name] = Object(message, fields);
  return RefNode("schemas", name);
}

Node Schemas::Object(const Descriptor& message, const std::set<std::string>& without) {
  Node schema = Typed("object");
  if (const std::string& comment = comments_.Of(message.full_name()); !comment.empty()) {
    schema.Add("description", TextNode(comment));
  }
  Node properties = Node::Map();
  Node required = Node::Sequence();
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    if (without.contains(field.name())) continue;
    properties.Add(field.json_name(), Of(field));
    if (IsRequired(field)) required.items.push_back(TextNode(field.json_name()));
  }
  if (!properties.members.empty()) schema.Add("properties", std::move(properties));
  if (!required.items.empty()) schema.Add("required", std::move(required));
  Node choices = Node::Sequence();
  for (int i = 0; i < message.real_oneof_decl_count(); ++i) {
    if (message.oneof_decl(i)->field_count() > 1) choices.items.push_back(AtMostOne(*message.oneof_decl(i)));
  }
  if (!choices.items.empty()) schema.Add("allOf", std::move(choices));
  schema.Add("additionalProperties", Node::Bool(false));  // Unknown fields are refused, never dropped.
  return schema;
}

Node Schemas::Enum(const EnumDescriptor& type) {
  const std::string name = ShortName(type.full_name(), type.file()->package());
  Node schema = Typed("string");
  std::string description = comments_.Of(type.full_name());
  Node& values = schema.Add("enum", Node::Sequence());
  for (int i = 0; i < type.value_count(); ++i) {
    values.items.push_back(TextNode(type.value(i)->name()));
    const std::string& comment = comments_.Of(type.value(i)->full_name());
    if (comment.empty()) continue;
    if (!description.empty()) description += "\n\n";
    description += fmt::format("{}: {}", type.value(i)->name(), comment);
  }
  if (!description.empty()) schema.Add("description", TextNode(description));
  schemas_[name] = std::move(schema);
  return RefNode("schemas", name);
}

Node Schemas::Value(const FieldDescriptor& field, bool in_query) {
  switch (field.type()) {
    case FieldDescriptor::TYPE_BOOL:
      return Typed("boolean");
    case FieldDescriptor::TYPE_DOUBLE:
      return Typed("number", "double");
    case FieldDescriptor::TYPE_FLOAT:
      return Typed("number", "float");
    case FieldDescriptor::TYPE_ENUM:
      return Enum(*field.enum_type());
    case FieldDescriptor::TYPE_MESSAGE:
      return Of(*field.message_type());
    case FieldDescriptor::TYPE_BYTES: {
      Node node = Typed("string");
      node.Add("contentEncoding", TextNode("base64"));
      return node;
    }
    case FieldDescriptor::TYPE_STRING:
      return IsSecret(field) ? Typed("string", "password") : Typed("string");
    default:
      break;
  }
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT64:
      return Long("int64", in_query);
    case FieldDescriptor::CPPTYPE_UINT64:
      return Long("uint64", in_query);
    case FieldDescriptor::CPPTYPE_UINT32:
      return Whole("uint32", "0", "4294967295");
    default:
      return Whole("int32", "-2147483648", "2147483647");
  }
}

// A reference takes siblings since OpenAPI 3.1.
void Schemas::Describe(const FieldDescriptor& field, Node& schema) const {
  const std::string& comment = comments_.Of(field.full_name());
  if (comment.empty()) return;
  schema.Add("description", TextNode(comment));
  if (comment.starts_with("Output only")) schema.Add("readOnly", Node::Bool(true));
}

Node Schemas::Of(const FieldDescriptor& field, bool in_query) {
  Node schema;
  if (field.is_map()) {
    schema = Typed("object");
    schema.Add("additionalProperties", Value(*field.message_type()->map_value(), false));
  } else if (field.is_repeated()) {
    schema = Typed("array");
    schema.Add("items", Value(field, false));
  } else {
    schema = Value(field, in_query);
  }
  if (!in_query) Describe(field, schema);
  return schema;
}

Node Schemas::All() const {
  Node all = Node::Map();
  for (const auto& [name, schema] : schemas_) all.Add(name, schema);
  return all;
}

}  // namespace weir::edge
