#pragma once

#include <map>
#include <string>
#include <string_view>

namespace weir::edge {

// What the contracts say of themselves: full name of a message, field, enum, value, service or method -> its comment.
class Comments {
 public:
  // A serialized google.protobuf.FileDescriptorSet with source info; one that cannot be read has no comments.
  explicit Comments(std::string_view descriptor_set);

  const std::string& Of(std::string_view full_name) const;  // "" = none.

 private:
  std::map<std::string, std::string, std::less<>> texts_;
};

}  // namespace weir::edge
