#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"
#include "libs/resource/kinds.h"
#include "libs/resource/rights.h"
#include "mgmt-server/authn/principal.h"
#include "mgmt-server/store/policy.h"
#include "mgmt-server/store/store.h"

namespace weir::v2 {
class AccessBindings;
class Subject;
}  // namespace weir::v2

namespace weir::authz {

// The mapping (NGAC): policy class "tenancy"; object attribute "root"; each resource the object attribute "o:<uid>"
// under its parent's (an organization's under root); each user the user "u:<uid>" under the user attribute "users", and
// each team the user attribute "t:<uid>" there, with its members under it; each binding the user attribute
// "b:<uid>:<role>" under "users", associated with the resource. All by uid: a name that is deleted and created again
// inherits nothing. A Role is besides the user attribute "r:<uid>" under "users", with its bindings under it, which are
// called by its uid in the place of a name: they change with it. Rights are rights on kinds (roles.h).
using resource::Right;
using resource::RightName;

// One of those that every installation has; it gives its rights on every kind.
struct Role {
  std::string name;  // "rbac/admin"
  std::vector<Right> rights;
};
const std::vector<Role>& Roles();

struct Decision {
  std::string path;  // Why it is allowed, for audit: "organizations/o/users/u > rbac/admin @ organizations/o > …"
};

// May the principal? `fqn` may end in /accessbindings (then of its owner); "" = the installation (create an
// organization). For kCreate give the parent, and the kind of what is to be created below it. NOT_FOUND
// RESOURCE_MISSING when it does not exist or the principal may not read it: the same words and the same work for both.
// PERMISSION_DENIED RIGHT_MISSING names the right and the roles that give it.
Result<Decision> Authorize(const store::View& view, const authn::Principal& principal, Right right,
                           std::string_view fqn, std::optional<resource::Kind> created = std::nullopt);
// The same without words: for lists. False for what has no node.
bool Allowed(const store::View& view, const authn::Principal& principal, Right right,
             const store::StoredResource& resource);
// The same of what is not there any more, or not yet: whether he may on that kind at what it would lie in. On a
// resource of that kind it is Allowed.
bool AllowedOn(const store::View& view, const authn::Principal& principal, Right right, resource::Kind kind,
               const store::StoredResource& place);
// Whether a role was given to the principal at `fqn` or below it: then lists of it show what that role shows, and are
// not refused. Costs what the principal has of roles.
bool SeesBelow(const store::View& view, const authn::Principal& principal, std::string_view fqn);
// Whose rights on what a change of a resource of this kind may move, beside those on the resource itself: on what its
// owner holds (bindings), of who has a role by it (a user, a team), or of anybody on anything.
enum class Moves { kNothing, kBelowOwner, kOfSubjects, kAnything };
Moves MovedBy(std::string_view kind);
// Whether a principal has the same roles in both states, be it over teams. Costs what he has of roles.
bool SameRoles(const store::View& before, const store::View& after, const authn::Principal& principal);
// What Authorize answers for a missing resource; for handlers that find out later.
Error Missing(std::string_view fqn);

// The mapping above, of the resources, their AccessBindings and the installation's roles that a store holds. Lives
// until the program ends. Of a user with roles it refuses the deletion (FAILED_PRECONDITION USER_HAS_ROLES; OnDelete
// takes them), of a resource the creation where its parent is missing or bindings of its name are left over.
const store::Policy& TenancyPolicy();

// After Txn::Put of a new resource (also a User): its AccessBindings with the creator as rbac/admin (an empty
// creator.uid = nobody).
Status OnCreate(store::Txn& txn, const store::StoredResource& resource, const authn::Principal& creator);
// Whoever can become this user, or put somebody into this team, gives what it may: PERMISSION_DENIED USER_EXCEEDS_OWN,
// ACCOUNT_EXCEEDS_OWN or TEAM_EXCEEDS_OWN when its roles, and those of the teams that it is in, give a right, anywhere,
// that the principal does not hold there. Costs what the subject has of roles.
Status CheckHoldsAllOf(const store::View& view, const authn::Principal& principal,
                       const store::StoredResource& subject);
// Whether the organization of this resource has a user who is its rbac/admin, himself or over teams. Ask before a
// change and, with the answer, after it: FAILED_PRECONDITION LAST_ADMIN when it had one and has none.
bool HasAdministrator(const store::View& view, std::string_view fqn);
Status CheckAdministrator(const store::View& view, std::string_view fqn, bool had);
// Before Txn::Delete of a resource without children: its AccessBindings go; a user, and a role that goes together with
// its organization, is taken out of every binding (those of others get a new version). `going`: FQN of what is deleted
// together with it; an organization at or below it needs no administrator any more. FAILED_PRECONDITION LAST_ADMIN for
// any other, and for the installation.
Status OnDelete(store::Txn& txn, const store::StoredResource& resource, std::string_view going = {});

// AccessBindings are a stored resource (kind "AccessBindings", fqn "<resource>/accessbindings", body = the message with
// `allow` only). `fqn` below may be the resource's or that.
inline constexpr std::string_view kBindingsKind = "AccessBindings";
inline constexpr std::string_view kBindingsSuffix = "/accessbindings";

// Metadata filled in; no permission check.
Result<v2::AccessBindings> ReadBindings(const store::View& view, std::string_view fqn);

struct BindingsChange {
  store::ResourcePtr before;
  store::ResourcePtr after;  // Same as before when nothing changed.
  Decision decision;
};
// All three need set-policy, and a role that is added must not give a right the principal lacks there
// (PERMISSION_DENIED GRANT_EXCEEDS_OWN). INVALID_ARGUMENT UNKNOWN_SUBJECT (nobody of that organization), UNKNOWN_ROLE;
// FAILED_PRECONDITION LAST_ADMIN when an organization would be left without an administrator. Replaces all; needs the
// etag (ABORTED ETAG_MISMATCH; nullopt = whatever is stored).
Result<BindingsChange> SetBindings(store::Txn& txn, const authn::Principal& principal, std::string_view fqn,
                                   const v2::AccessBindings& wanted, const std::optional<std::string>& etag);
Result<BindingsChange> Grant(store::Txn& txn, const authn::Principal& principal, std::string_view fqn,
                             std::string_view role, const v2::Subject& subject);
Result<BindingsChange> Revoke(store::Txn& txn, const authn::Principal& principal, std::string_view fqn,
                              std::string_view role, const v2::Subject& subject);

// The first administrator: admin of the installation (it may create organizations) and of its own organization.
Status GrantInstallation(store::Txn& txn, const std::string& organization, std::string_view user_uid);

}  // namespace weir::authz
