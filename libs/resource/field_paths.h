#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"

namespace google::protobuf {
class Descriptor;
class Message;
}  // namespace google::protobuf

namespace weir::resource {

// Copies what stands at a JSON path ("spec.domain", "metadata.labels.app.kubernetes.io/name": below a map all the rest
// is its key) from one message to another of the same type; a field that is not set there is cleared. False: no such
// path.
bool CopyPath(const google::protobuf::Message& from, google::protobuf::Message& to, std::string_view path);

// Whether something stands at the path; a list or map does when it is not empty. Below a map: whether it has the key.
bool IsSet(const google::protobuf::Message& message, std::string_view path);
void ClearPath(google::protobuf::Message& message, std::string_view path);
// What stands at the path of a text, number, bool or enum, as a document writes it; "" when nothing does.
std::string TextAt(const google::protobuf::Message& message, std::string_view path);

// Whether messages of this type have the path: through messages, to a list as a whole or a key of a map.
bool HasPath(const google::protobuf::Descriptor& message, std::string_view path);
// Leaves of a message only what stands at these paths, and metadata.fqn.
void KeepOnly(google::protobuf::Message& message, const std::vector<std::string>& paths);

// What validation found, without what only follows from fields that could not be read (`unread`): the same field, one
// above or below it, and elements of a list whose places shifted. Each field and text once.
std::vector<FieldViolation> WithoutConsequences(const std::vector<FieldViolation>& unread,
                                                std::vector<FieldViolation> found);

}  // namespace weir::resource
