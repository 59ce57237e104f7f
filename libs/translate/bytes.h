#pragma once

#include <google/protobuf/message_lite.h>

#include <string>

namespace weir::translate {

// Equal messages give equal bytes (maps sorted): what hashes and versions are made of.
std::string Bytes(const google::protobuf::MessageLite& message);

}  // namespace weir::translate
