#include "mgmt-server/authz/roles.h"

#include "api/weir/v2/role.pb.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/authz/nodes.h"

namespace weir::authz {
namespace {

using resource::Kind;
using resource::kRights;

size_t BitOf(Right right, Kind kind) {
  return static_cast<size_t>(right) * resource::Kinds().size() + static_cast<size_t>(kind);
}

ngac::Rights OnEveryKind(const std::vector<Right>& rights) {
  ngac::Rights given;
  for (const Right right : rights) {
    for (const resource::KindInfo& kind : resource::Kinds()) given.set(BitOf(right, kind.kind));
  }
  return given;
}

Result<v2::Role> Parse(const store::StoredResource& stored) {
  v2::Role role;
  if (!role.ParseFromString(stored.body)) return DataLoss("STORE_DAMAGED", "{} cannot be read", stored.fqn);
  return role;
}

}  // namespace

const std::vector<std::string>& GraphRights() {
  static const auto& names = *[] {
    auto* made = new std::vector<std::string>;
    for (const Right right : kRights) {
      for (const resource::KindInfo& kind : resource::Kinds()) made->push_back(GraphRightName(right, kind.kind));
    }
    return made;
  }();
  return names;
}

ngac::Rights RightOn(Right right, Kind kind) { return ngac::Rights().set(BitOf(right, kind)); }

std::string GraphRightName(Right right, Kind kind) {
  return fmt::format("{}:{}", RightName(right), resource::Info(kind).name);
}

Result<ngac::Rights> RightsOf(const v2::RoleSpec& role) {
  ngac::Rights given;
  for (const v2::RoleRule& rule : role.rules()) {
    std::vector<Right> rights;
    for (const std::string& name : rule.rights()) {
      const auto right = resource::FindRight(name);
      if (!right) return InvalidArgument("UNKNOWN_RIGHT", "unknown right '{}'", name);
      rights.push_back(*right);
    }
    if (rule.kinds().empty()) given |= OnEveryKind(rights);
    for (const std::string& name : rule.kinds()) {
      const resource::KindInfo* kind = resource::FindKind(name);
      if (kind == nullptr) return InvalidArgument("UNKNOWN_KIND", "unknown kind '{}'", name);
      for (const Right right : rights) given |= RightOn(right, kind->kind);
    }
  }
  return given;
}

bool IsRole(const store::StoredResource& resource) { return resource.kind == resource::Info(Kind::kRole).name; }

Result<ngac::Rights> RightsOf(const store::StoredResource& stored) {
  WEIR_ASSIGN(const v2::Role role, Parse(stored));
  auto rights = RightsOf(role.spec());
  if (!rights.ok()) return DataLoss("STORE_DAMAGED", "{}: {}", stored.fqn, rights.error().message);
  return rights;
}

Result<GivenRole> BuiltInRole(std::string_view name) {
  const std::string canonical = resource::CanonicalRole(name);
  std::string known;
  for (const Role& role : Roles()) {
    if (role.name == canonical) return GivenRole{role.name, role.name, OnEveryKind(role.rights)};
    known.append(known.empty() ? "" : ", ").append(role.name);
  }
  return InvalidArgument("UNKNOWN_ROLE", "unknown role '{}'; known: {}", name, known);
}

Result<GivenRole> ResolveRole(const store::View& view, std::string_view organization, std::string_view name) {
  auto built_in = BuiltInRole(name);
  const std::string canonical = resource::CanonicalRole(name);
  if (built_in.ok() || canonical.empty()) return built_in;
  const std::string own_name = canonical.substr(canonical.find('/') + 1);
  const store::ResourcePtr stored = view.Get(resource::ChildFqn(organization, Kind::kRole, own_name));
  if (stored == nullptr) {
    built_in.error().message.append(" and the Roles of ").append(organization);
    return built_in;
  }
  WEIR_ASSIGN(const ngac::Rights rights, RightsOf(*stored));
  return GivenRole{canonical, stored->uid, rights};
}

std::string RoleName(const store::View& view, std::string_view key) {
  const store::ResourcePtr role = view.GetByUid(key);
  return role != nullptr ? resource::CanonicalRole(resource::LastName(role->fqn)) : std::string(key);
}

Status CheckMayGive(const store::View& view, const authn::Principal& principal, const std::string& organization,
                    const v2::RoleSpec* before, const v2::RoleSpec& after) {
  WEIR_ASSIGN(ngac::Rights more, RightsOf(after));
  if (before != nullptr) {
    WEIR_ASSIGN(const ngac::Rights had, RightsOf(*before));
    more &= ~had;
  }
  const store::ResourcePtr owner = view.Get(organization);
  if (owner == nullptr) return Missing(organization);
  const ngac::Graph& graph = view.graph();
  more &= ~graph.RightsOn(graph.Find(UserNode(principal.uid)), graph.Find(ObjectNode(owner->uid)));
  if (more.none()) return {};
  const std::string right = graph.RightNames(more).front();
  const size_t colon = right.find(':');
  return PermissionDenied("ROLE_EXCEEDS_OWN", "the role would give the right '{}' on {}, which you do not hold on {}",
                          right.substr(0, colon), right.substr(colon + 1), organization);
}

std::vector<std::string> BoundOn(const store::View& view, const store::StoredResource& role) {
  std::vector<std::string> owners;
  const ngac::Node* node = view.graph().Get(RoleNode(role.uid));
  if (node == nullptr) return owners;
  node->attributes.VisitAll([&](ngac::NodeId binding, ngac::Nothing) {
    const auto owner = view.GetByUid(ParseBindingNode(view.graph().Get(binding)->name).first);
    if (owner != nullptr) owners.push_back(owner->fqn);
    return true;
  });
  return owners;
}

Status CheckUnbound(const store::View& view, const authn::Principal& principal, const store::StoredResource& role,
                    std::string_view going) {
  if (!IsRole(role) || resource::IsAtOrBelow(resource::ParentFqn(role.fqn), going)) return {};
  const std::vector<std::string> owners = BoundOn(view, role);
  if (owners.empty()) return {};
  for (const std::string& owner : owners) {
    if (!Allowed(view, principal, Right::kRead, *view.Get(owner))) continue;
    return FailedPrecondition("ROLE_IN_USE", "{} is bound on {}; revoke it there before", role.fqn, owner);
  }
  return FailedPrecondition("ROLE_IN_USE", "{} is bound where you may not read; it is revoked there before", role.fqn);
}

}  // namespace weir::authz
