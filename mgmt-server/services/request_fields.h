#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <string>

// Fields of the requests that are made of kinds, which all have the same shape.
namespace weir::services {

// "" where the request has no such field: an organization's has no parent.
inline std::string TextOf(const google::protobuf::Message& request, const char* name) {
  const auto* field = request.GetDescriptor()->FindFieldByName(name);
  return field == nullptr ? "" : request.GetReflection()->GetString(request, field);
}
inline bool FlagOf(const google::protobuf::Message& request, const char* name) {
  return request.GetReflection()->GetBool(request, request.GetDescriptor()->FindFieldByName(name));
}

}  // namespace weir::services
