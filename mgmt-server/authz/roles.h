#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"
#include "libs/ngac/graph.h"
#include "libs/resource/kinds.h"
#include "libs/resource/rights.h"
#include "mgmt-server/authn/principal.h"
#include "mgmt-server/store/records.h"
#include "mgmt-server/store/txn.h"

namespace weir::v2 {
class RoleSpec;
}

namespace weir::authz {

// A right of the graph is a right on a kind: "read:Tenant". A built-in role has its rights on every kind, a Role those
// that its rules name.

// Names of all of them, in the order of their bits.
const std::vector<std::string>& GraphRights();
ngac::Rights RightOn(resource::Right right, resource::Kind kind);
std::string GraphRightName(resource::Right right, resource::Kind kind);
// What a role's rules give. INVALID_ARGUMENT UNKNOWN_RIGHT, UNKNOWN_KIND.
Result<ngac::Rights> RightsOf(const v2::RoleSpec& role);

// A role that bindings of an organization can name.
struct GivenRole {
  std::string name;  // "rbac/admin"
  std::string key;   // What its bindings' nodes are called by: the name of a built-in one, else the uid of the Role.
  ngac::Rights rights;
};
// INVALID_ARGUMENT UNKNOWN_ROLE.
Result<GivenRole> BuiltInRole(std::string_view name);
// With or without the prefix "rbac/". INVALID_ARGUMENT UNKNOWN_ROLE; DATA_LOSS STORE_DAMAGED.
Result<GivenRole> ResolveRole(const store::View& view, std::string_view organization, std::string_view name);
// The name of the role that has the key; the key itself of one that is gone.
std::string RoleName(const store::View& view, std::string_view key);
bool IsRole(const store::StoredResource& resource);
Result<ngac::Rights> RightsOf(const store::StoredResource& role);

// PERMISSION_DENIED ROLE_EXCEEDS_OWN when `after` gives a right that `before` (null = a new one) does not, and that the
// principal does not hold on the organization.
Status CheckMayGive(const store::View& view, const authn::Principal& principal, const std::string& organization,
                    const v2::RoleSpec* before, const v2::RoleSpec& after);
// FAILED_PRECONDITION ROLE_IN_USE while a role is bound anywhere, unless its organization goes with it (`going`). A
// resource that is no role is never in use.
Status CheckUnbound(const store::View& view, const authn::Principal& principal, const store::StoredResource& role,
                    std::string_view going);
// FQNs of the resources on which a role is bound.
std::vector<std::string> BoundOn(const store::View& view, const store::StoredResource& role);

}  // namespace weir::authz
