#include "mgmt-server/services/references.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "api/weir/v2/role.pb.h"
#include "api/weir/v2/service_account.pb.h"
#include "api/weir/v2/workspace.pb.h"
#include "libs/resource/conflicts.h"
#include "libs/resource/kinds.h"
#include "libs/resource/references.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/authz/roles.h"
#include "mgmt-server/authz/subjects.h"
#include "mgmt-server/services/quotas.h"

namespace weir::services {
namespace {

using resource::Reference;
using resource::ReferenceKind;

std::vector<Reference> ReferencesOf(const google::protobuf::Message* resource) {
  return resource == nullptr ? std::vector<Reference>() : resource::ReferencesOf(*resource);
}

bool Privileged(const google::protobuf::Message* resource) {
  return resource != nullptr && resource->GetDescriptor() == v2::Workspace::descriptor() &&
         static_cast<const v2::Workspace&>(*resource).spec().privileged();
}

bool SameKey(const v2::Jwk& a, const v2::Jwk& b) {
  return a.kty() == b.kty() && a.x() == b.x() && a.y() == b.y() && a.n() == b.n() && a.e() == b.e();
}

Status NeedsWrite(const store::View& view, const authn::Principal& principal, const std::string& on,
                  const std::string& field, std::string_view what) {
  auto decision = authz::Authorize(view, principal, authz::Right::kWrite, on);
  if (decision.ok()) return {};
  Error error = std::move(decision).error();
  error.violations.push_back({field, fmt::format("{} needs the right write on {}", what, on), 0, 0});
  return error;
}

// The bounds of a workspace or group are drawn by who may write what it lies in: who may only change it keeps or
// narrows them. A new one was made by somebody who may create there.
Status CheckBounds(const store::View& view, const authn::Principal& principal, std::string_view fqn,
                   const google::protobuf::Message* before, const google::protobuf::Message& after) {
  const resource::KindRules& rules = resource::KindOf(after)->rules;
  if (before == nullptr || !rules.namespaces) return {};
  const v2::NamespaceSelector& now = rules.namespaces(after);
  const v2::NamespaceSelector& then = rules.namespaces(*before);
  if (rules.all_namespaces_if_empty && then.names().empty()) return {};  // It had all of its workspace.
  std::vector<FieldViolation> wider;
  resource::CheckWithin(now, then, wider);
  if (rules.all_namespaces_if_empty && now.names().empty())
    wider.push_back({"spec.namespaceSelector", "has no bound any more", 0, 0});
  if (wider.empty()) return {};
  return NeedsWrite(view, principal, resource::ParentFqn(fqn), wider.front().field, "a namespace more");
}

// Who becomes a member of a team gets what its roles give: whoever adds one must hold all of it.
Status CheckMembers(const store::View& view, const authn::Principal& principal, const resource::Fqn& team,
                    const std::vector<Reference>& before, const std::vector<Reference>& after) {
  std::set<std::string_view> had;
  for (const Reference& reference : before) {
    if (reference.kind == ReferenceKind::kMember) had.insert(reference.name);
  }
  bool more = false;
  for (const Reference& reference : after) {
    if (reference.kind != ReferenceKind::kMember || had.contains(reference.name)) continue;
    more = true;
    WEIR_TRY(authz::CheckSubject(view, "organizations/" + std::string(team.organization()), reference.name));
  }
  const store::ResourcePtr stored = more ? view.Get(team.text) : nullptr;
  return stored != nullptr ? authz::CheckHoldsAllOf(view, principal, *stored) : Status();
}

// Whoever adds a key can sign in as the account, so it takes what setting the password of a user does. A new account
// has no roles yet.
Status CheckKeys(const store::View& view, const authn::Principal& principal, std::string_view fqn,
                 const v2::ServiceAccount* before, const v2::ServiceAccount& after) {
  const store::ResourcePtr stored = view.Get(fqn);
  if (before == nullptr || stored == nullptr) return {};
  const auto same = [&](const v2::ServiceAccountKey& key) {
    const auto& had = before->spec().keys();
    return std::any_of(had.begin(), had.end(), [&](const v2::ServiceAccountKey& old) {
      const bool no_longer = !old.has_expire_time() ||
                             (key.has_expire_time() && key.expire_time().seconds() <= old.expire_time().seconds());
      return old.id() == key.id() && SameKey(old.public_key(), key.public_key()) && no_longer;
    });
  };
  const auto& keys = after.spec().keys();
  for (int i = 0; i < keys.size(); ++i) {
    for (const v2::ServiceAccountKey& old : before->spec().keys()) {
      if (old.id() != keys[i].id() || SameKey(old.public_key(), keys[i].public_key())) continue;
      Error error = InvalidArgument("INVALID_RESOURCE", "{}: 1 field is wrong", fqn);
      error.violations.push_back(
          {fmt::format("spec.keys[{}].publicKey", i),
           fmt::format("is another key than \"{}\" was; give the new one an id of its own", old.id()), 0, 0});
      return error;
    }
  }
  if (std::all_of(keys.begin(), keys.end(), same)) return {};
  WEIR_TRY(authz::Authorize(view, principal, authz::Right::kSetPolicy, fqn));
  return authz::CheckHoldsAllOf(view, principal, *stored);
}

// A tenant whose gateways are to answer for a host must be the writer's to give, for every host that is new.
Status CheckTenants(const store::View& view, const authn::Principal& principal, const std::string& organization,
                    const std::vector<Reference>& before, const std::vector<Reference>& after) {
  std::set<std::pair<std::string_view, std::string_view>> granted;  // Tenant, host.
  for (const Reference& reference : before) {
    if (reference.kind == ReferenceKind::kTenant) granted.emplace(reference.name, reference.hostname);
  }
  for (const Reference& reference : after) {
    if (reference.kind != ReferenceKind::kTenant) continue;
    if (!granted.emplace(reference.name, reference.hostname).second) continue;
    const std::string tenant = resource::ChildFqn(organization, resource::Kind::kTenant, reference.name);
    WEIR_TRY(NeedsWrite(view, principal, tenant, reference.field, "naming it"));
  }
  return {};
}

}  // namespace

Status CheckRights(const store::View& view, const authn::Principal& principal, std::string_view fqn,
                   const google::protobuf::Message* before, const google::protobuf::Message& after) {
  WEIR_ASSIGN(const resource::Fqn object, resource::ParseFqn(fqn));
  const std::string organization = "organizations/" + std::string(object.organization());
  if (Privileged(&after) && !Privileged(before)) {
    WEIR_TRY(NeedsWrite(view, principal, organization, "spec.privileged", "setting it"));
  }
  if (ChangesQuotas(before, after)) {
    // For who may not read it, it is not there; for who may, the right is named.
    WEIR_TRY(authz::Authorize(view, principal, authz::Right::kSetPolicy, organization));
  }
  WEIR_TRY(CheckBounds(view, principal, fqn, before, after));
  const std::vector<Reference> had = ReferencesOf(before), has = ReferencesOf(&after);
  WEIR_TRY(CheckMembers(view, principal, object, had, has));
  if (after.GetDescriptor() == v2::Role::descriptor()) {
    const auto* was = static_cast<const v2::Role*>(before);
    WEIR_TRY(authz::CheckMayGive(view, principal, organization, was == nullptr ? nullptr : &was->spec(),
                                 static_cast<const v2::Role&>(after).spec()));
  }
  if (after.GetDescriptor() == v2::ServiceAccount::descriptor()) {
    WEIR_TRY(CheckKeys(view, principal, fqn, static_cast<const v2::ServiceAccount*>(before),
                       static_cast<const v2::ServiceAccount&>(after)));
  }
  return CheckTenants(view, principal, organization, had, has);
}

}  // namespace weir::services
