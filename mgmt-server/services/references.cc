#include "mgmt-server/services/references.h"

#include <fmt/format.h>

#include <set>
#include <string>
#include <vector>

#include "api/weir/v2/workspace.pb.h"
#include "libs/resource/conflicts.h"
#include "libs/resource/kinds.h"
#include "libs/resource/references.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/authz/subjects.h"

namespace weir::services {
namespace {

using resource::Reference;

std::vector<Reference> TenantsOf(const google::protobuf::Message* resource) {
  std::vector<Reference> tenants;
  if (resource == nullptr) return tenants;
  for (Reference& reference : resource::ReferencesOf(*resource)) {
    if (reference.kind == resource::ReferenceKind::kTenant) tenants.push_back(std::move(reference));
  }
  return tenants;
}

bool Privileged(const google::protobuf::Message* resource) {
  return resource != nullptr && resource->GetDescriptor() == v2::Workspace::descriptor() &&
         static_cast<const v2::Workspace&>(*resource).spec().privileged();
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

std::set<std::string> MembersOf(const google::protobuf::Message* resource) {
  std::set<std::string> members;
  if (resource == nullptr) return members;
  for (Reference& reference : resource::ReferencesOf(*resource)) {
    if (reference.kind == resource::ReferenceKind::kMember) members.insert(std::move(reference.name));
  }
  return members;
}

// Who becomes a member of a team gets what its roles give: whoever adds one must hold all of it.
Status CheckMembers(const store::View& view, const authn::Principal& principal, const resource::Fqn& team,
                    const google::protobuf::Message* before, const google::protobuf::Message& after) {
  const std::set<std::string> had = MembersOf(before);
  bool more = false;
  for (const std::string& member : MembersOf(&after)) {
    if (had.contains(member)) continue;
    more = true;
    WEIR_TRY(authz::CheckSubject(view, "organizations/" + std::string(team.organization()), member));
  }
  const store::ResourcePtr stored = view.Get(team.text);
  return more && stored != nullptr ? authz::CheckHoldsAllOf(view, principal, *stored) : Status();
}

}  // namespace

Status CheckRights(const store::View& view, const authn::Principal& principal, std::string_view fqn,
                   const google::protobuf::Message* before, const google::protobuf::Message& after) {
  WEIR_ASSIGN(const resource::Fqn object, resource::ParseFqn(fqn));
  const std::string organization = "organizations/" + std::string(object.organization());
  if (Privileged(&after) && !Privileged(before)) {
    WEIR_TRY(NeedsWrite(view, principal, organization, "spec.privileged", "setting it"));
  }
  WEIR_TRY(CheckBounds(view, principal, fqn, before, after));
  WEIR_TRY(CheckMembers(view, principal, object, before, after));
  const std::vector<Reference> wanted = TenantsOf(&after);
  if (wanted.empty()) return {};
  std::set<std::pair<std::string, std::string>> granted;  // Tenant, host.
  for (const Reference& had : TenantsOf(before)) granted.emplace(had.name, had.hostname);
  for (const Reference& reference : wanted) {
    const std::string tenant = resource::ChildFqn(organization, resource::Kind::kTenant, reference.name);
    if (!granted.emplace(reference.name, reference.hostname).second) continue;
    WEIR_TRY(NeedsWrite(view, principal, tenant, reference.field, "naming it"));
  }
  return {};
}

}  // namespace weir::services
