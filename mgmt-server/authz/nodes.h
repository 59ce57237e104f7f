#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace weir::authz {

// Names of the graph's nodes; see authz.h for the mapping.
inline constexpr std::string_view kTenancy = "tenancy";
inline constexpr std::string_view kRootNode = "root";
inline constexpr std::string_view kUsersNode = "users";

inline std::string ObjectNode(std::string_view uid) { return "o:" + std::string(uid); }
inline std::string UserNode(std::string_view uid) { return "u:" + std::string(uid); }
inline std::string TeamNode(std::string_view uid) { return "t:" + std::string(uid); }
inline std::string RoleNode(std::string_view uid) { return "r:" + std::string(uid); }
// `uid` of the resource, or kRootNode; `role`: GivenRole::key.
inline std::string BindingNode(std::string_view uid, std::string_view role) {
  return "b:" + std::string(uid) + ":" + std::string(role);
}
// {uid, key of the role}
inline std::pair<std::string_view, std::string_view> ParseBindingNode(std::string_view node) {
  node.remove_prefix(2);
  const size_t colon = node.find(':');
  return {node.substr(0, colon), colon == std::string_view::npos ? std::string_view() : node.substr(colon + 1)};
}

}  // namespace weir::authz
