#pragma once

#include <string_view>
#include <vector>

#include "libs/base/result.h"

namespace google::protobuf {
class Message;
}

namespace weir::services {

// Copies what stands at a JSON path ("spec.domain", "metadata.labels.app.kubernetes.io/name": below a map all the rest
// is its key) from one message to another of the same type; a field that is not set there is cleared. False: no such
// path.
bool CopyPath(const google::protobuf::Message& from, google::protobuf::Message& to, std::string_view path);

// What validation found, without what only follows from fields that could not be read (`unread`): the same field, one
// above or below it, and elements of a list whose places shifted. Each field and text once.
std::vector<FieldViolation> WithoutConsequences(const std::vector<FieldViolation>& unread,
                                                std::vector<FieldViolation> found);

}  // namespace weir::services
