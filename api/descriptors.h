#pragma once

#include <string_view>

namespace weir::api {

// A serialized google.protobuf.FileDescriptorSet of weir/v2 with source info: the comments of the contracts, which
// generated code does not keep. Embedded at build time (cmake/WeirDescriptors.cmake).
std::string_view Descriptors();

}  // namespace weir::api
