#pragma once

#include <string_view>

namespace google::protobuf {
class Message;
}

namespace weir::services {

// Copies what stands at a JSON path ("spec.domain", "metadata.labels.app.kubernetes.io/name": below a map all the rest
// is its key) from one message to another of the same type; a field that is not set there is cleared. False: no such
// path.
bool CopyPath(const google::protobuf::Message& from, google::protobuf::Message& to, std::string_view path);

}  // namespace weir::services
