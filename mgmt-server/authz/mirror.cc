#include <algorithm>
#include <map>
#include <set>

#include "api/weir/v2/access_bindings.pb.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/authz/nodes.h"

namespace weir::authz {
namespace {

using store::Txn;

// Role name -> FQNs of its subjects; one form for what is stored, wanted and compared.
using Bindings = std::map<std::string, std::set<std::string>>;

constexpr size_t kMaxSubjects = 10'000;  // In all bindings of one resource.

std::string OwnerFqn(std::string_view fqn) {
  return resource::IsAccessBindings(fqn) ? resource::ParentFqn(fqn) : std::string(fqn);
}

Result<Bindings> ToBindings(const v2::AccessBindings& message) {
  Bindings bindings;
  size_t count = 0;
  for (const v2::AccessBinding& binding : message.allow()) {
    WEIR_ASSIGN(const Role* role, FindRole(binding.role()));
    for (const v2::Subject& subject : binding.subjects()) {
      if (subject.user().empty()) return InvalidArgument("UNKNOWN_SUBJECT", "a subject names a user");
      bindings[role->name].insert(subject.user());
      if (++count > kMaxSubjects) return InvalidArgument("TOO_MANY_SUBJECTS", "more than {} subjects", kMaxSubjects);
    }
  }
  return bindings;
}

v2::AccessBindings ToMessage(const Bindings& bindings) {
  v2::AccessBindings message;
  for (const Role& role : Roles()) {  // In the order of the roles, so that equal bindings have equal bytes.
    const auto found = bindings.find(role.name);
    if (found == bindings.end() || found->second.empty()) continue;
    v2::AccessBinding* binding = message.add_allow();
    binding->set_role(role.name);
    for (const std::string& user : found->second) binding->add_subjects()->set_user(user);
  }
  return message;
}

Result<Bindings> Stored(const store::View& view, const std::string& owner) {
  const store::ResourcePtr stored = view.Get(owner + std::string(kBindingsSuffix));
  if (!stored) return Missing(owner + std::string(kBindingsSuffix));
  v2::AccessBindings message;
  if (!message.ParseFromString(stored->body)) return DataLoss("STORE_DAMAGED", "{} cannot be read", stored->fqn);
  return ToBindings(message);
}

std::vector<std::string> RightNames(const Role& role) {
  std::vector<std::string> names;
  for (const Right right : role.rights) names.emplace_back(RightName(right));
  return names;
}

// The user joins the binding (made when it is not there yet); both by uid.
Status Join(Txn& txn, const std::string& owner_node, std::string_view owner_uid, const Role& role,
            std::string_view user_uid) {
  const std::string binding = BindingNode(owner_uid, role.name);
  if (txn.graph().Find(binding) == ngac::kNoNode) {
    WEIR_TRY(txn.CreateNode(binding, ngac::NodeType::kUserAttribute, {std::string(kUsersNode)}));
    WEIR_TRY(txn.Associate(binding, owner_node, RightNames(role)));
  }
  return txn.Assign(UserNode(user_uid), binding);
}

Status Leave(Txn& txn, std::string_view owner_uid, std::string_view role, std::string_view user_uid) {
  const std::string binding = BindingNode(owner_uid, role);
  WEIR_TRY(txn.Deassign(UserNode(user_uid), binding));
  const ngac::Node* node = txn.graph().Get(binding);
  if (node != nullptr && !node->HasMembers()) WEIR_TRY(txn.DeleteNode(binding));
  return {};
}

Result<std::string> UserUid(const Txn& txn, const std::string& fqn) {
  const store::ResourcePtr user = txn.Get(fqn);
  if (!user || user->kind != "User") return InvalidArgument("UNKNOWN_SUBJECT", "there is no user {}", fqn);
  return user->uid;
}

Result<store::ResourcePtr> PutBindings(Txn& txn, const std::string& owner, const Bindings& bindings) {
  return txn.Put({std::string(kBindingsKind),
                  owner + std::string(kBindingsSuffix),
                  ToMessage(bindings).SerializeAsString(),
                  {},
                  std::nullopt});
}

bool IsOrganization(std::string_view fqn) { return std::count(fqn.begin(), fqn.end(), '/') == 1; }

// Brings graph and document from `before` to `after`. A role that gains a subject must give nothing the principal
// lacks.
Result<BindingsChange> Change(Txn& txn, const authn::Principal& principal, const std::string& owner, Decision decision,
                              const Bindings& before, const Bindings& after) {
  BindingsChange change;
  change.decision = std::move(decision);
  change.before = txn.Get(owner + std::string(kBindingsSuffix));
  const store::ResourcePtr resource = txn.Get(owner);
  const std::string node = ObjectNode(resource->uid);
  const auto admins = after.find("rbac/admin");
  if (IsOrganization(owner) && (admins == after.end() || admins->second.empty())) {
    return FailedPrecondition("LAST_ADMIN", "{} would be left without an administrator", owner);
  }
  const ngac::NodeId grantor = txn.graph().Find(UserNode(principal.uid));
  const ngac::Rights held = txn.graph().RightsOn(grantor, txn.graph().Find(node));
  for (const Role& role : Roles()) {
    const auto had = before.find(role.name);
    const auto has = after.find(role.name);
    static const std::set<std::string> kNone;
    const auto& old_users = had == before.end() ? kNone : had->second;
    const auto& new_users = has == after.end() ? kNone : has->second;
    WEIR_ASSIGN(const ngac::Rights given, txn.graph().RightsOf(RightNames(role)));
    for (const std::string& user : new_users) {
      if (old_users.contains(user)) continue;
      if ((given & ~held) != 0) {
        return PermissionDenied("GRANT_EXCEEDS_OWN", "{} gives rights on {} that you do not hold", role.name, owner);
      }
      WEIR_ASSIGN(const std::string uid, UserUid(txn, user));
      WEIR_TRY(Join(txn, node, resource->uid, role, uid));
    }
    for (const std::string& user : old_users) {
      if (new_users.contains(user)) continue;
      WEIR_ASSIGN(const std::string uid, UserUid(txn, user));
      WEIR_TRY(Leave(txn, resource->uid, role.name, uid));
    }
  }
  WEIR_ASSIGN(change.after, PutBindings(txn, owner, after));
  return change;
}

Status RemoveUserEverywhere(Txn& txn, const store::StoredResource& user, std::string_view going) {
  const ngac::Node* found = txn.graph().Get(UserNode(user.uid));
  if (found == nullptr) return {};
  std::vector<std::string> bindings;
  for (const ngac::NodeId container : found->containers) {
    const ngac::Node* attribute = txn.graph().Get(container);
    if (attribute->name.starts_with("b:")) bindings.push_back(attribute->name);
  }
  for (const std::string& binding : bindings) {
    const auto [owner_uid, role] = ParseBindingNode(binding);
    WEIR_TRY(Leave(txn, owner_uid, role, user.uid));
    const store::ResourcePtr owner = txn.view().GetByUid(owner_uid);
    if (!owner) {  // The installation's binding stands in no document.
      if (owner_uid == kRootNode && role == "rbac/admin" && txn.graph().Find(binding) == ngac::kNoNode) {
        return FailedPrecondition("LAST_ADMIN", "the installation would be left without an administrator");
      }
      continue;
    }
    WEIR_ASSIGN(Bindings stored, Stored(txn.view(), owner->fqn));
    stored[std::string(role)].erase(user.fqn);
    const bool last = role == "rbac/admin" && stored[std::string(role)].empty() && IsOrganization(owner->fqn);
    if (last && (going.empty() || !resource::IsAtOrBelow(owner->fqn, going))) {
      return FailedPrecondition("LAST_ADMIN", "{} would be left without an administrator", owner->fqn);
    }
    WEIR_TRY(PutBindings(txn, owner->fqn, stored));
  }
  return txn.DeleteNode(UserNode(user.uid));
}

}  // namespace

Status LayRoots(Txn& txn) {
  if (txn.graph().Find(kTenancy) != ngac::kNoNode) return {};
  WEIR_TRY(txn.CreateNode(kTenancy, ngac::NodeType::kPolicyClass));
  WEIR_TRY(txn.CreateNode(kUsersNode, ngac::NodeType::kUserAttribute, {std::string(kTenancy)}));
  return txn.CreateNode(kRootNode, ngac::NodeType::kObjectAttribute, {std::string(kTenancy)});
}

Status OnCreate(Txn& txn, const store::StoredResource& resource, const authn::Principal& creator) {
  const std::string parent_fqn = weir::resource::ParentFqn(resource.fqn);
  const store::ResourcePtr parent = txn.Get(parent_fqn);
  if (!parent_fqn.empty() && !parent) return Missing(parent_fqn);
  const std::string node = ObjectNode(resource.uid);
  WEIR_TRY(txn.CreateNode(node, ngac::NodeType::kObjectAttribute,
                          {parent ? ObjectNode(parent->uid) : std::string(kRootNode)}));
  if (resource.kind == "User") {
    WEIR_TRY(txn.CreateNode(UserNode(resource.uid), ngac::NodeType::kUser, {std::string(kUsersNode)}));
  }
  Bindings bindings;
  if (const store::ResourcePtr user = txn.view().GetByUid(creator.uid)) {
    WEIR_TRY(Join(txn, node, resource.uid, Roles().front(), user->uid));
    bindings[Roles().front().name].insert(user->fqn);
  }
  WEIR_TRY(PutBindings(txn, resource.fqn, bindings));
  return {};
}

Status OnDelete(Txn& txn, const store::StoredResource& resource, std::string_view going) {
  if (resource.kind == "User") WEIR_TRY(RemoveUserEverywhere(txn, resource, going));
  for (const Role& role : Roles()) {
    const std::string binding = BindingNode(resource.uid, role.name);
    const ngac::NodeId id = txn.graph().Find(binding);
    if (id == ngac::kNoNode) continue;
    WEIR_ASSIGN(const Bindings stored, Stored(txn.view(), resource.fqn));
    const auto users = stored.find(role.name);
    if (users != stored.end()) {
      for (const std::string& user : users->second) {
        if (const auto member = txn.Get(user)) WEIR_TRY(Leave(txn, resource.uid, role.name, member->uid));
      }
    }
    if (txn.graph().Find(binding) != ngac::kNoNode) WEIR_TRY(txn.DeleteNode(binding));
  }
  const std::string bindings_fqn = resource.fqn + std::string(kBindingsSuffix);
  if (txn.Get(bindings_fqn)) WEIR_TRY(txn.Delete(bindings_fqn));
  return txn.DeleteNode(ObjectNode(resource.uid));
}

Result<v2::AccessBindings> ReadBindings(const store::View& view, std::string_view fqn) {
  const std::string owner = OwnerFqn(fqn);
  const store::ResourcePtr stored = view.Get(owner + std::string(kBindingsSuffix));
  if (!stored) return Missing(fqn);
  v2::AccessBindings message;
  if (!message.ParseFromString(stored->body)) return DataLoss("STORE_DAMAGED", "{} cannot be read", stored->fqn);
  message.mutable_metadata()->set_fqn(owner);
  message.mutable_metadata()->set_uid(stored->uid);
  message.mutable_metadata()->set_resource_version(stored->etag);
  message.mutable_metadata()->set_revision(stored->revision);
  return message;
}

Result<BindingsChange> SetBindings(Txn& txn, const authn::Principal& principal, std::string_view fqn,
                                   const v2::AccessBindings& wanted, const std::optional<std::string>& etag) {
  const std::string owner = OwnerFqn(fqn);
  WEIR_ASSIGN(Decision decision, Authorize(txn.view(), principal, Right::kSetPolicy, owner));
  WEIR_ASSIGN(const Bindings before, Stored(txn.view(), owner));
  WEIR_ASSIGN(const Bindings after, ToBindings(wanted));
  const store::ResourcePtr stored = txn.Get(owner + std::string(kBindingsSuffix));
  if (etag && *etag != stored->etag) {
    return Aborted("ETAG_MISMATCH", "{} was changed since it was read; read it again and repeat the change",
                   stored->fqn);
  }
  return Change(txn, principal, owner, std::move(decision), before, after);
}

Result<BindingsChange> Grant(Txn& txn, const authn::Principal& principal, std::string_view fqn, std::string_view role,
                             const v2::Subject& subject) {
  const std::string owner = OwnerFqn(fqn);
  WEIR_ASSIGN(Decision decision, Authorize(txn.view(), principal, Right::kSetPolicy, owner));
  WEIR_ASSIGN(const Role* known, FindRole(role));
  WEIR_ASSIGN(const Bindings before, Stored(txn.view(), owner));
  WEIR_TRY(UserUid(txn, subject.user()));
  Bindings after = before;
  after[known->name].insert(subject.user());
  return Change(txn, principal, owner, std::move(decision), before, after);
}

Result<BindingsChange> Revoke(Txn& txn, const authn::Principal& principal, std::string_view fqn, std::string_view role,
                              const v2::Subject& subject) {
  const std::string owner = OwnerFqn(fqn);
  WEIR_ASSIGN(Decision decision, Authorize(txn.view(), principal, Right::kSetPolicy, owner));
  WEIR_ASSIGN(const Role* known, FindRole(role));
  WEIR_ASSIGN(const Bindings before, Stored(txn.view(), owner));
  Bindings after = before;
  after[known->name].erase(subject.user());
  return Change(txn, principal, owner, std::move(decision), before, after);
}

Status GrantInstallation(Txn& txn, const std::string& organization, std::string_view user_uid) {
  const store::ResourcePtr user = txn.view().GetByUid(user_uid);
  const store::ResourcePtr owner = txn.Get(organization);
  if (!user || !owner) return Missing(organization);
  const Role& admin = Roles().front();
  WEIR_TRY(Join(txn, std::string(kRootNode), kRootNode, admin, user_uid));
  WEIR_TRY(Join(txn, ObjectNode(owner->uid), owner->uid, admin, user_uid));
  WEIR_ASSIGN(Bindings bindings, Stored(txn.view(), organization));
  bindings[admin.name].insert(user->fqn);
  WEIR_TRY(PutBindings(txn, organization, bindings));
  return {};
}

}  // namespace weir::authz
