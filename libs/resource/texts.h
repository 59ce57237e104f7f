#pragma once

#include <vector>

#include "libs/base/result.h"

namespace google::protobuf {
class Message;
}

namespace weir::resource {

// Appends a violation for every text of the resource, at any depth, with characters that a terminal obeys or that are
// not seen for what they are (weir::HasControl). Lines may end in metadata.description, annotations and bodies.
void CheckTexts(const google::protobuf::Message& resource, std::vector<FieldViolation>& violations);

}  // namespace weir::resource
