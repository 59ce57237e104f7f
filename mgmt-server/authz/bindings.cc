#include "mgmt-server/authz/bindings.h"

#include <algorithm>

#include "libs/resource/kinds.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/authz/nodes.h"

namespace weir::authz {
namespace {

using store::Txn;

constexpr size_t kMaxSubjects = 10'000;  // In all bindings of one resource.

std::string OwnerFqn(std::string_view fqn) {
  return resource::IsAccessBindings(fqn) ? resource::ParentFqn(fqn) : std::string(fqn);
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
  return ParseBindings(stored.get());
}

std::vector<std::string> RightNames(const Role& role) {
  std::vector<std::string> names;
  names.reserve(role.rights.size());
  for (const Right right : role.rights) names.emplace_back(RightName(right));
  return names;
}

// A user of another organization is as unknown as one that does not exist: else whoever may bind anywhere could ask for
// the users of all of them, and let them in.
Status CheckUser(const Txn& txn, const std::string& owner, const std::string& fqn) {
  const std::string organization = owner.substr(0, owner.find('/', owner.find('/') + 1));
  const store::ResourcePtr user = resource::IsAtOrBelow(fqn, organization) ? txn.Get(fqn) : nullptr;
  if (!user || user->kind != "User") {
    return InvalidArgument("UNKNOWN_SUBJECT", "{} has no user {}", organization, fqn);
  }
  return {};
}

Result<store::ResourcePtr> PutBindings(Txn& txn, const std::string& owner, const Bindings& bindings) {
  return txn.Put({std::string(kBindingsKind),
                  owner + std::string(kBindingsSuffix),
                  ToMessage(bindings).SerializeAsString(),
                  {},
                  std::nullopt});
}

bool IsOrganization(std::string_view fqn) { return std::count(fqn.begin(), fqn.end(), '/') == 1; }

// Brings the document from `before` to `after`. A role that gains a subject must give nothing the principal lacks.
Result<BindingsChange> Change(Txn& txn, const authn::Principal& principal, const std::string& owner, Decision decision,
                              const Bindings& before, const Bindings& after) {
  BindingsChange change;
  change.decision = std::move(decision);
  change.before = txn.Get(owner + std::string(kBindingsSuffix));
  const auto admins = after.find("rbac/admin");
  if (IsOrganization(owner) && (admins == after.end() || admins->second.empty())) {
    return FailedPrecondition("LAST_ADMIN", "{} would be left without an administrator", owner);
  }
  const ngac::NodeId grantor = txn.graph().Find(UserNode(principal.uid));
  const ngac::Rights held = txn.graph().RightsOn(grantor, txn.graph().Find(ObjectNode(txn.Get(owner)->uid)));
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
      WEIR_TRY(CheckUser(txn, owner, user));
    }
  }
  WEIR_ASSIGN(change.after, PutBindings(txn, owner, after));
  return change;
}

// Names of the nodes of all roles that a user has; ParseBindingNode takes them apart.
std::vector<std::string> RolesOf(const ngac::Graph& graph, std::string_view user_uid) {
  std::vector<std::string> bindings;
  const ngac::Node* found = graph.Get(UserNode(user_uid));
  if (found == nullptr) return bindings;
  found->containers.VisitAll([&](ngac::NodeId container, ngac::Nothing) {
    const ngac::Node* attribute = graph.Get(container);
    if (attribute->name.starts_with("b:")) bindings.push_back(attribute->name);
    return true;
  });
  return bindings;
}

Status RemoveUserEverywhere(Txn& txn, const store::StoredResource& user, std::string_view going) {
  for (const std::string& binding : RolesOf(txn.graph(), user.uid)) {
    const auto [owner_uid, role] = ParseBindingNode(binding);
    if (owner_uid == kRootNode) {  // The installation's roles stand in no document.
      WEIR_TRY(txn.DeleteInstallationRole(role, user.uid));
      if (role == "rbac/admin" && txn.graph().Find(binding) == ngac::kNoNode) {
        return FailedPrecondition("LAST_ADMIN", "the installation would be left without an administrator");
      }
      continue;
    }
    const store::ResourcePtr owner = txn.view().GetByUid(owner_uid);
    if (!owner) return Internal("BINDING_WITHOUT_OWNER", "{} binds {} to nothing", binding, user.fqn);
    WEIR_ASSIGN(Bindings stored, Stored(txn.view(), owner->fqn));
    stored[std::string(role)].erase(user.fqn);
    const bool last = role == "rbac/admin" && stored[std::string(role)].empty() && IsOrganization(owner->fqn);
    if (last && (going.empty() || !resource::IsAtOrBelow(owner->fqn, going))) {
      return FailedPrecondition("LAST_ADMIN", "{} would be left without an administrator", owner->fqn);
    }
    WEIR_TRY(PutBindings(txn, owner->fqn, stored));
  }
  return {};
}

}  // namespace

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

Result<Bindings> ParseBindings(const store::StoredResource* stored) {
  if (stored == nullptr) return Bindings();
  v2::AccessBindings message;
  if (!message.ParseFromString(stored->body)) return DataLoss("STORE_DAMAGED", "{} cannot be read", stored->fqn);
  return ToBindings(message);
}

Status OnCreate(Txn& txn, const store::StoredResource& resource, const authn::Principal& creator) {
  Bindings bindings;
  if (const store::ResourcePtr user = txn.view().GetByUid(creator.uid)) {
    bindings[Roles().front().name].insert(user->fqn);
  }
  WEIR_TRY(PutBindings(txn, resource.fqn, bindings));
  return {};
}

Status CheckHoldsAllOf(const store::View& view, const authn::Principal& principal, const store::StoredResource& user) {
  const ngac::Graph& graph = view.graph();
  const ngac::NodeId asks = graph.Find(UserNode(principal.uid));
  for (const std::string& binding : RolesOf(graph, user.uid)) {
    const auto [owner_uid, name] = ParseBindingNode(binding);
    bool holds = view.HasInstallationRole(name, principal.uid);
    if (owner_uid != kRootNode) {
      WEIR_ASSIGN(const Role* role, FindRole(name));
      WEIR_ASSIGN(const ngac::Rights given, graph.RightsOf(RightNames(*role)));
      holds = (given & ~graph.RightsOn(asks, graph.Find(ObjectNode(owner_uid)))) == 0;
    }
    if (!holds) {
      return PermissionDenied("USER_EXCEEDS_OWN", "{} has the role {} where you do not hold what it gives", user.fqn,
                              name);
    }
  }
  return {};
}

Status OnDelete(Txn& txn, const store::StoredResource& resource, std::string_view going) {
  if (resource.kind == "User") WEIR_TRY(RemoveUserEverywhere(txn, resource, going));
  const std::string bindings_fqn = resource.fqn + std::string(kBindingsSuffix);
  if (txn.Get(bindings_fqn)) WEIR_TRY(txn.Delete(bindings_fqn));
  return {};
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
  WEIR_TRY(CheckUser(txn, owner, subject.user()));
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
  WEIR_TRY(txn.PutInstallationRole(admin.name, user_uid));
  WEIR_ASSIGN(Bindings bindings, Stored(txn.view(), organization));
  bindings[admin.name].insert(user->fqn);
  WEIR_TRY(PutBindings(txn, organization, bindings));
  return {};
}

}  // namespace weir::authz
