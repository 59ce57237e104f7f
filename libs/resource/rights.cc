#include "libs/resource/rights.h"

#include "libs/resource/validate.h"

namespace weir::resource {
namespace {

constexpr std::string_view kPrefix = "rbac/";

}  // namespace

std::string_view RightName(Right right) {
  switch (right) {
    case Right::kRead:
      return "read";
    case Right::kWrite:
      return "write";
    case Right::kCreate:
      return "create";
    case Right::kDelete:
      return "delete";
    case Right::kSetPolicy:
      return "set-policy";
    case Right::kJoin:
      return "cluster.join";
  }
  return "";
}

std::optional<Right> FindRight(std::string_view name) {
  std::string ours(name);
  for (char& c : ours) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '_') c = '-';
  }
  for (const Right right : kRights) {
    if (ours == RightName(right)) return right;
  }
  return std::nullopt;
}

std::string CanonicalRole(std::string_view role) {
  if (role.starts_with(kPrefix)) role.remove_prefix(kPrefix.size());
  return IsDnsLabel(role) ? std::string(kPrefix).append(role) : "";
}

bool IsBuiltInRole(std::string_view canonical) {
  for (const std::string_view known : {"rbac/admin", "rbac/creator", "rbac/editor", "rbac/writer", "rbac/reader"}) {
    if (canonical == known) return true;
  }
  return false;
}

}  // namespace weir::resource
