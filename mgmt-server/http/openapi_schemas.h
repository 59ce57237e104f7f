#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "libs/document/document.h"
#include "mgmt-server/http/openapi_comments.h"

namespace google::protobuf {
class Descriptor;
class EnumDescriptor;
class FieldDescriptor;
}  // namespace google::protobuf

namespace weir::edge {

// Small pieces of an OpenAPI document.
document::Node TextNode(std::string_view text);
document::Node RefNode(std::string_view section, std::string_view name);  // {"$ref": "#/components/<section>/<name>"}

// JSON Schemas (2020-12) of messages in the dialect that libs/document reads and writes. What is asked for is kept,
// with all that it needs, for components/schemas.
class Schemas {
 public:
  explicit Schemas(const Comments& comments) : comments_(comments) {}

  document::Node Of(const google::protobuf::Descriptor& message);  // A reference, or inline for a well-known type.
  // A request whose other fields come by the path; known as <name of the message>.
  document::Node Without(const google::protobuf::Descriptor& message, const std::set<std::string>& fields);
  // The schema of one field, as it stands in a message or, `in_query`, as text.
  document::Node Of(const google::protobuf::FieldDescriptor& field, bool in_query = false);
  bool IsRequired(const google::protobuf::FieldDescriptor& field) const;

  void Add(const std::string& name, document::Node schema) { schemas_[name] = std::move(schema); }
  document::Node All() const;  // By name.

 private:
  document::Node Object(const google::protobuf::Descriptor& message, const std::set<std::string>& without);
  document::Node Enum(const google::protobuf::EnumDescriptor& type);
  document::Node Value(const google::protobuf::FieldDescriptor& field, bool in_query);
  void Describe(const google::protobuf::FieldDescriptor& field, document::Node& schema) const;

  const Comments& comments_;
  std::map<std::string, document::Node> schemas_;
};

}  // namespace weir::edge
