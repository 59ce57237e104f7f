#include "mgmt-server/http/openapi_comments.h"

#include <google/protobuf/descriptor.pb.h>

#include <vector>

namespace weir::edge {
namespace {

using google::protobuf::DescriptorProto;
using google::protobuf::FileDescriptorProto;

// By what a location's path goes down one level (descriptor.proto: the numbers of the fields that hold the children).
// Full name of what stands there; "" = none of those that we describe.
std::string NameIn(const DescriptorProto& message, const std::string& name, const std::vector<int>& path, size_t at) {
  if (at == path.size()) return name;
  if (at + 1 >= path.size()) return "";
  const int index = path[at + 1];
  if (path[at] == DescriptorProto::kFieldFieldNumber && at + 2 == path.size()) {
    return name + "." + message.field(index).name();
  }
  if (path[at] == DescriptorProto::kNestedTypeFieldNumber) {
    return NameIn(message.nested_type(index), name + "." + message.nested_type(index).name(), path, at + 2);
  }
  // An enum's values are siblings of the enum, for C++ and for protobuf's names alike.
  if (path[at] != DescriptorProto::kEnumTypeFieldNumber) return "";
  const auto& type = message.enum_type(index);
  if (at + 2 == path.size()) return name + "." + type.name();
  return at + 4 == path.size() ? name + "." + type.value(path[at + 3]).name() : "";
}

std::string NameOf(const FileDescriptorProto& file, const std::vector<int>& path) {
  if (path.size() < 2) return "";
  const std::string package = file.package() + ".";
  const int index = path[1];
  switch (path[0]) {
    case FileDescriptorProto::kMessageTypeFieldNumber:
      return NameIn(file.message_type(index), package + file.message_type(index).name(), path, 2);
    case FileDescriptorProto::kEnumTypeFieldNumber:
      if (path.size() == 2) return package + file.enum_type(index).name();
      return path.size() == 4 ? package + file.enum_type(index).value(path[3]).name() : "";
    case FileDescriptorProto::kServiceFieldNumber:
      if (path.size() == 2) return package + file.service(index).name();
      return path.size() == 4 && path[2] == google::protobuf::ServiceDescriptorProto::kMethodFieldNumber
                 ? package + file.service(index).name() + "." + file.service(index).method(path[3]).name()
                 : "";
    default:
      return "";
  }
}

// Lines of one paragraph become one; the space behind the slashes goes.
std::string Text(std::string_view comment) {
  std::string text;
  bool gap = false;
  while (!comment.empty()) {
    const size_t end = comment.find('\n');
    std::string_view line = comment.substr(0, end);
    comment = end == std::string_view::npos ? std::string_view() : comment.substr(end + 1);
    while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
    while (!line.empty() && line.back() == ' ') line.remove_suffix(1);
    if (line.empty()) {
      gap = !text.empty();
      continue;
    }
    if (!text.empty()) text += gap ? "\n\n" : " ";
    gap = false;
    text += line;
  }
  return text;
}

}  // namespace

Comments::Comments(std::string_view descriptor_set) {
  google::protobuf::FileDescriptorSet set;
  if (!set.ParseFromArray(descriptor_set.data(), static_cast<int>(descriptor_set.size()))) return;
  for (const FileDescriptorProto& file : set.file()) {
    for (const auto& location : file.source_code_info().location()) {
      if (location.leading_comments().empty()) continue;
      const std::string name = NameOf(file, {location.path().begin(), location.path().end()});
      if (!name.empty()) texts_[name] = Text(location.leading_comments());
    }
  }
}

const std::string& Comments::Of(std::string_view full_name) const {
  static const std::string none;
  const auto found = texts_.find(full_name);
  return found == texts_.end() ? none : found->second;
}

}  // namespace weir::edge
