#include "mgmt-server/authz/bindings.h"

#include <algorithm>

#include "libs/resource/kinds.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/authz/nodes.h"
#include "mgmt-server/authz/roles.h"
#include "mgmt-server/authz/subjects.h"

namespace weir::authz {
namespace {

using store::Txn;

constexpr size_t kMaxSubjects = 10'000;  // In all bindings of one resource.

std::string OwnerFqn(std::string_view fqn) {
  return resource::IsAccessBindings(fqn) ? resource::ParentFqn(fqn) : std::string(fqn);
}

// The built-in roles in their order, then the others by name, so that equal bindings have equal bytes.
v2::AccessBindings ToMessage(const Bindings& bindings) {
  v2::AccessBindings message;
  const auto add = [&](const std::string& role, const std::set<std::string>& subjects) {
    if (subjects.empty()) return;
    v2::AccessBinding* binding = message.add_allow();
    binding->set_role(role);
    for (const std::string& fqn : subjects) SetFqn(fqn, *binding->add_subjects());
  };
  for (const Role& role : Roles()) {
    if (const auto found = bindings.find(role.name); found != bindings.end()) add(role.name, found->second);
  }
  for (const auto& [role, subjects] : bindings) {
    if (!resource::IsBuiltInRole(role)) add(role, subjects);
  }
  return message;
}

Result<Bindings> Stored(const store::View& view, const std::string& owner) {
  const store::ResourcePtr stored = view.Get(owner + std::string(kBindingsSuffix));
  if (!stored) return Missing(owner + std::string(kBindingsSuffix));
  return ParseBindings(stored.get());
}

Result<store::ResourcePtr> PutBindings(Txn& txn, const std::string& owner, const Bindings& bindings) {
  return txn.Put({std::string(kBindingsKind),
                  owner + std::string(kBindingsSuffix),
                  ToMessage(bindings).SerializeAsString(),
                  {},
                  std::nullopt});
}

// Brings the document from `before` to `after`. A role that gains a subject must give nothing the principal lacks.
Result<BindingsChange> Change(Txn& txn, const authn::Principal& principal, const std::string& owner, Decision decision,
                              const Bindings& before, const Bindings& after) {
  BindingsChange change;
  change.decision = std::move(decision);
  change.before = txn.Get(owner + std::string(kBindingsSuffix));
  const ngac::NodeId grantor = txn.graph().Find(UserNode(principal.uid));
  const ngac::Rights held = txn.graph().RightsOn(grantor, txn.graph().Find(ObjectNode(txn.Get(owner)->uid)));
  static const std::set<std::string> kNone;
  for (const auto& [name, subjects] : after) {
    const auto had = before.find(name);
    const auto& old_subjects = had == before.end() ? kNone : had->second;
    if (std::includes(old_subjects.begin(), old_subjects.end(), subjects.begin(), subjects.end())) continue;
    WEIR_ASSIGN(const GivenRole role, ResolveRole(txn.view(), resource::OrganizationFqn(owner), name));
    if ((role.rights & ~held).any()) {
      return PermissionDenied("GRANT_EXCEEDS_OWN", "{} gives rights on {} that you do not hold", name, owner);
    }
    for (const std::string& subject : subjects) {
      if (!old_subjects.contains(subject))
        WEIR_TRY(CheckSubject(txn.view(), resource::OrganizationFqn(owner), subject));
    }
  }
  const bool had = HasAdministrator(txn.view(), owner);
  WEIR_ASSIGN(change.after, PutBindings(txn, owner, after));
  WEIR_TRY(CheckAdministrator(txn.view(), owner, had));
  return change;
}

}  // namespace

bool HasAdministrator(const store::View& view, std::string_view fqn) {
  const auto bindings = Stored(view, std::string(resource::OrganizationFqn(fqn)));
  const auto admins = bindings.ok() ? bindings->find(Roles().front().name) : Bindings::const_iterator();
  return bindings.ok() && admins != bindings->end() &&
         std::any_of(admins->second.begin(), admins->second.end(),
                     [&](const std::string& subject) { return IsOrHoldsUser(view, subject); });
}
Status CheckAdministrator(const store::View& view, std::string_view fqn, bool had) {
  if (!had || HasAdministrator(view, fqn)) return {};
  return FailedPrecondition("LAST_ADMIN", "{} would be left without a user who is its administrator",
                            resource::OrganizationFqn(fqn));
}

Status LeaveRole(Txn& txn, const std::string& binding, const store::StoredResource& subject) {
  const auto [owner_uid, key] = ParseBindingNode(binding);
  const std::string role = RoleName(txn.view(), key);
  if (owner_uid == kRootNode) {  // The installation's roles stand in no document.
    WEIR_TRY(txn.DeleteInstallationRole(role, subject.uid));
    if (role == "rbac/admin" && txn.graph().Find(binding) == ngac::kNoNode) {
      return FailedPrecondition("LAST_ADMIN", "the installation would be left without an administrator");
    }
    return {};
  }
  const store::ResourcePtr owner = txn.view().GetByUid(owner_uid);
  if (!owner) return Internal("BINDING_WITHOUT_OWNER", "{} binds {} to nothing", binding, subject.fqn);
  WEIR_ASSIGN(Bindings stored, Stored(txn.view(), owner->fqn));
  stored[role].erase(subject.fqn);
  WEIR_TRY(PutBindings(txn, owner->fqn, stored));
  return {};
}

Result<Bindings> ToBindings(const v2::AccessBindings& message) {
  Bindings bindings;
  size_t count = 0;
  for (const v2::AccessBinding& binding : message.allow()) {
    const std::string role = resource::CanonicalRole(binding.role());
    if (role.empty()) return InvalidArgument("UNKNOWN_ROLE", "'{}' can be the name of no role", binding.role());
    for (const v2::Subject& subject : binding.subjects()) {
      if (FqnOf(subject).empty())
        return InvalidArgument("UNKNOWN_SUBJECT", "a subject names a user, a team or a service account");
      bindings[role].insert(FqnOf(subject));
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

Status CheckHoldsAllOf(const store::View& view, const authn::Principal& principal,
                       const store::StoredResource& subject) {
  const ngac::Graph& graph = view.graph();
  const ngac::NodeId asks = graph.Find(UserNode(principal.uid));
  for (const std::string& binding : RolesOf(graph, SubjectNode(subject))) {
    const auto [owner_uid, key] = ParseBindingNode(binding);
    bool holds = view.HasInstallationRole(key, principal.uid);
    if (owner_uid != kRootNode) {
      const ngac::NodeId owner = graph.Find(ObjectNode(owner_uid));
      const ngac::Rights* given = graph.Get(binding)->grants.Find(owner);
      holds = given != nullptr && (*given & ~graph.RightsOn(asks, owner)).none();
    }
    if (!holds) {
      return PermissionDenied(
          IsTeam(subject) ? "TEAM_EXCEEDS_OWN" : (IsAccount(subject) ? "ACCOUNT_EXCEEDS_OWN" : "USER_EXCEEDS_OWN"),
          "{} has the role {} where you do not hold what it gives", subject.fqn, RoleName(view, key));
    }
  }
  return {};
}

Status OnDelete(Txn& txn, const store::StoredResource& resource, std::string_view going) {
  if (!SubjectNode(resource).empty()) {
    const bool had = HasAdministrator(txn.view(), resource.fqn);
    WEIR_TRY(RemoveEverywhere(txn, resource));
    if (going.empty() || !resource::IsAtOrBelow(resource::OrganizationFqn(resource.fqn), going)) {
      WEIR_TRY(CheckAdministrator(txn.view(), resource.fqn, had));
    }
  }
  if (IsRole(resource) && !going.empty() && resource::IsAtOrBelow(resource::OrganizationFqn(resource.fqn), going)) {
    for (const std::string& owner : BoundOn(txn.view(), resource)) {
      WEIR_ASSIGN(Bindings stored, Stored(txn.view(), owner));
      stored.erase(RoleName(txn.view(), resource.uid));
      WEIR_TRY(PutBindings(txn, owner, stored));
    }
  }
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
  WEIR_ASSIGN(const GivenRole known, ResolveRole(txn.view(), resource::OrganizationFqn(owner), role));
  WEIR_ASSIGN(const Bindings before, Stored(txn.view(), owner));
  WEIR_TRY(CheckSubject(txn.view(), resource::OrganizationFqn(owner), FqnOf(subject)));
  Bindings after = before;
  after[known.name].insert(FqnOf(subject));
  return Change(txn, principal, owner, std::move(decision), before, after);
}

Result<BindingsChange> Revoke(Txn& txn, const authn::Principal& principal, std::string_view fqn, std::string_view role,
                              const v2::Subject& subject) {
  const std::string owner = OwnerFqn(fqn);
  WEIR_ASSIGN(Decision decision, Authorize(txn.view(), principal, Right::kSetPolicy, owner));
  WEIR_ASSIGN(const GivenRole known, ResolveRole(txn.view(), resource::OrganizationFqn(owner), role));
  WEIR_ASSIGN(const Bindings before, Stored(txn.view(), owner));
  Bindings after = before;
  after[known.name].erase(FqnOf(subject));
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
