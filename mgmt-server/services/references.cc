#include "mgmt-server/services/references.h"

#include <fmt/format.h>

#include <set>
#include <string>
#include <vector>

#include "api/weir/v2/workspace.pb.h"
#include "libs/resource/kinds.h"
#include "libs/resource/references.h"
#include "mgmt-server/authz/authz.h"

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
  const auto* workspace = dynamic_cast<const v2::Workspace*>(resource);
  return workspace != nullptr && workspace->spec().privileged();
}

Status NeedsWrite(const store::View& view, const authn::Principal& principal, const std::string& on,
                  const std::string& field, std::string_view what) {
  auto decision = authz::Authorize(view, principal, authz::Right::kWrite, on);
  if (decision.ok()) return {};
  Error error = std::move(decision).error();
  error.violations.push_back({field, fmt::format("{} needs the right write on {}", what, on), 0, 0});
  return error;
}

}  // namespace

Status CheckRights(const store::View& view, const authn::Principal& principal, std::string_view fqn,
                   const google::protobuf::Message* before, const google::protobuf::Message& after) {
  WEIR_ASSIGN(const resource::Fqn object, resource::ParseFqn(fqn));
  const std::string organization = "organizations/" + std::string(object.organization());
  if (Privileged(&after) && !Privileged(before)) {
    WEIR_TRY(NeedsWrite(view, principal, organization, "spec.privileged", "setting it"));
  }
  const std::vector<Reference> wanted = TenantsOf(&after);
  if (wanted.empty()) return {};
  std::set<std::pair<std::string, std::string>> granted;  // Tenant, host.
  for (const Reference& had : TenantsOf(before)) granted.emplace(had.name, had.hostname);
  for (const Reference& reference : wanted) {
    const std::string tenant = resource::ChildFqn(organization, resource::Kind::kTenant, reference.name);
    if (resource::IsAtOrBelow(fqn, tenant) || !granted.emplace(reference.name, reference.hostname).second) continue;
    WEIR_TRY(NeedsWrite(view, principal, tenant, reference.field, "naming it"));
  }
  return {};
}

}  // namespace weir::services
