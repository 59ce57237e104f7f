#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// What one may be allowed to do to a resource, and the names of roles.
namespace weir::resource {

// kJoin: who may become a cluster's agent, so who may mint join tokens and end memberships. The agent of a cluster
// signs its identities; to write its resource is less.
enum class Right : uint8_t { kRead, kWrite, kCreate, kDelete, kSetPolicy, kJoin };
inline constexpr std::array kRights = {Right::kRead,   Right::kWrite,     Right::kCreate,
                                       Right::kDelete, Right::kSetPolicy, Right::kJoin};
std::string_view RightName(Right right);  // "set-policy", "cluster.join"
// Also as documents of TSB write it: "SET_POLICY".
std::optional<Right> FindRight(std::string_view name);

// "admin" and "rbac/admin" -> "rbac/admin"; "" = it can be the name of no role.
std::string CanonicalRole(std::string_view role);
// "rbac/admin" and the others that every installation has.
bool IsBuiltInRole(std::string_view canonical);

}  // namespace weir::resource
