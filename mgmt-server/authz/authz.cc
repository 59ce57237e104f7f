#include "mgmt-server/authz/authz.h"

#include <algorithm>

#include "libs/resource/kinds.h"
#include "mgmt-server/authz/nodes.h"
#include "mgmt-server/authz/roles.h"
#include "mgmt-server/authz/subjects.h"

namespace weir::authz {
namespace {

using store::StoredResource;
using store::View;

// The resource a name is about: bindings belong to their owner.
std::string Subject(std::string_view fqn) {
  return resource::IsAccessBindings(fqn) ? resource::ParentFqn(fqn) : std::string(fqn);
}

std::string NodeOf(const View& view, std::string_view fqn) {
  if (fqn.empty()) return std::string(kRootNode);
  const store::ResourcePtr resource = view.Get(fqn);
  return resource ? ObjectNode(resource->uid) : "";
}

// The kind that a right is asked on; the installation holds organizations.
resource::Kind KindOf(std::string_view fqn) {
  const auto parsed = resource::ParseFqn(fqn);
  return parsed.ok() ? parsed->kind : resource::Kind::kOrganization;
}

// Graph names are uids; people read names.
std::string Readable(const View& view, std::string_view node) {
  if (node == kRootNode) return "installation";
  if (node.starts_with("b:")) {
    const auto [uid, role] = ParseBindingNode(node);
    return fmt::format("{} @ {}", RoleName(view, role), Readable(view, uid == kRootNode ? uid : ObjectNode(uid)));
  }
  if (node.starts_with("o:") || node.starts_with("u:") || node.starts_with("t:")) {
    const store::ResourcePtr resource = view.GetByUid(node.substr(2));
    if (resource) return resource->fqn;
  }
  return std::string(node);
}

std::string PathOf(const View& view, const ngac::Explanation& explanation) {
  std::string path;
  for (const ngac::Witness& witness : explanation.satisfied) {
    if (!path.empty()) path += "; ";
    path.append(witness.policy_class).append(": ");
    for (const std::string_view step : witness.user_path) path += Readable(view, step) + " > ";
    path += Readable(view, witness.target_path.front());
  }
  return path;
}

Error Lacking(Right right, std::string_view fqn) {
  std::string roles;
  for (const Role& role : Roles()) {
    if (std::find(role.rights.begin(), role.rights.end(), right) == role.rights.end()) continue;
    roles += roles.empty() ? role.name : ", " + role.name;
  }
  return PermissionDenied("RIGHT_MISSING", "you lack the right '{}' on {}; {} at it or above gives it",
                          RightName(right), fqn.empty() ? "the installation" : fqn, roles);
}

// A missing name costs what an unreadable one does: two decisions, on the nearest thing above it that exists.
std::string NearestNode(const View& view, std::string fqn) {
  while (!fqn.empty()) {
    fqn = resource::ParentFqn(fqn);
    std::string node = NodeOf(view, fqn);
    if (!node.empty()) return node;
  }
  return std::string(kRootNode);
}

}  // namespace

const std::vector<Role>& Roles() {
  static const std::vector<Role> roles = {
      {"rbac/admin", {Right::kRead, Right::kWrite, Right::kCreate, Right::kDelete, Right::kSetPolicy, Right::kJoin}},
      {"rbac/editor", {Right::kRead, Right::kWrite, Right::kCreate, Right::kDelete}},
      {"rbac/creator", {Right::kRead, Right::kCreate}},
      {"rbac/writer", {Right::kRead, Right::kWrite}},
      {"rbac/reader", {Right::kRead}},
  };
  return roles;
}

Error Missing(std::string_view fqn) { return NotFound("RESOURCE_MISSING", "{} does not exist", fqn); }

Result<Decision> Authorize(const View& view, const authn::Principal& principal, Right right, std::string_view fqn,
                           std::optional<resource::Kind> created) {
  const std::string subject = Subject(fqn);
  std::string node = NodeOf(view, subject);
  const bool exists = !node.empty();
  if (!exists) node = NearestNode(view, subject);
  const std::string user = UserNode(principal.uid);
  const resource::Kind kind = KindOf(subject);
  const ngac::Explanation answer = view.graph().Explain(user, GraphRightName(right, created.value_or(kind)), node);
  const bool may_read = view.graph().Decide(user, GraphRightName(Right::kRead, kind), node);
  // The installation has no content; that it exists is no secret.
  if (!exists || (!may_read && !subject.empty())) return Missing(fqn);
  if (!answer.allowed) return Lacking(right, subject);
  return Decision{PathOf(view, answer)};
}

bool Allowed(const View& view, const authn::Principal& principal, Right right, const StoredResource& resource) {
  const ngac::Graph& graph = view.graph();
  const ngac::NodeId user = graph.Find(UserNode(principal.uid));
  if (resource.kind == kBindingsKind) {
    const std::string owner = Subject(resource.fqn);
    return graph.Decide(user, RightOn(right, KindOf(owner)), graph.Find(NodeOf(view, owner)));
  }
  const resource::KindInfo* kind = resource::FindKind(resource.kind);
  return kind != nullptr && AllowedOn(view, principal, right, kind->kind, resource);
}

bool AllowedOn(const View& view, const authn::Principal& principal, Right right, resource::Kind kind,
               const StoredResource& place) {
  const ngac::Graph& graph = view.graph();
  return graph.Decide(graph.Find(UserNode(principal.uid)), RightOn(right, kind), graph.Find(ObjectNode(place.uid)));
}

Moves MovedBy(std::string_view kind) {
  if (kind == kBindingsKind) return Moves::kBelowOwner;
  if (kind == "User" || kind == "Team" || kind == "ServiceAccount") return Moves::kOfSubjects;
  return kind == "Role" ? Moves::kAnything : Moves::kNothing;
}

bool SameRoles(const View& before, const View& after, const authn::Principal& principal) {
  const std::string user = UserNode(principal.uid);
  std::vector<std::string> then = RolesOf(before.graph(), user), now = RolesOf(after.graph(), user);
  std::sort(then.begin(), then.end());
  std::sort(now.begin(), now.end());
  return then == now;
}

bool SeesBelow(const View& view, const authn::Principal& principal, std::string_view fqn) {
  const std::vector<std::string> roles = RolesOf(view.graph(), UserNode(principal.uid));
  return std::any_of(roles.begin(), roles.end(), [&](const std::string& binding) {
    const store::ResourcePtr owner = view.GetByUid(ParseBindingNode(binding).first);
    return owner != nullptr && resource::IsAtOrBelow(owner->fqn, fqn) && Allowed(view, principal, Right::kRead, *owner);
  });
}

}  // namespace weir::authz
