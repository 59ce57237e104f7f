#pragma once

#include <google/protobuf/message_lite.h>

#include <string>

namespace weir::translate {

// Equal messages give equal bytes (maps sorted): what hashes and versions are made of.
std::string Bytes(const google::protobuf::MessageLite& message);

// Every wanted label is there with this value.
template <typename Map>
bool LabelsMatch(const Map& wanted, const Map& have) {
  for (const auto& [key, value] : wanted) {
    const auto found = have.find(key);
    if (found == have.end() || found->second != value) return false;
  }
  return true;
}

}  // namespace weir::translate
