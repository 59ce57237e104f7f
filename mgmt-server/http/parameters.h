#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"
#include "mgmt-server/http/routes.h"

namespace google::protobuf {
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

// What the path and the query of a request say, as fields of its message.
namespace weir::edge {

// A field of the path. The path decides; a body that says another thing is a mistake that nobody would see otherwise.
void BindField(google::protobuf::Message& message, const std::string& name, const std::string& value,
               std::vector<FieldViolation>& violations);

// Query parameters name scalar fields and times of the request that neither path nor body gives.
void ReadQuery(std::string_view query, const Route& route, const PathTemplate::Bindings& bindings,
               google::protobuf::Message& message, std::vector<FieldViolation>& violations);

}  // namespace weir::edge
