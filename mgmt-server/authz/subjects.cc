#include "mgmt-server/authz/subjects.h"

#include <algorithm>
#include <set>

#include "api/weir/v2/team.pb.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/authz/bindings.h"
#include "mgmt-server/authz/nodes.h"

namespace weir::authz {
namespace {

void CollectRoles(const ngac::Graph& graph, ngac::NodeId subject, std::set<ngac::NodeId>& seen,
                  std::vector<std::string>& roles) {
  const ngac::Node* node = graph.Get(subject);
  if (node == nullptr || !seen.insert(subject).second) return;
  if (node->name.starts_with("b:")) return roles.push_back(node->name);
  if (!node->name.starts_with("u:") && !node->name.starts_with("t:")) return;
  node->containers.VisitAll([&](ngac::NodeId container, ngac::Nothing) {
    CollectRoles(graph, container, seen, roles);
    return true;
  });
}

bool HoldsUser(const store::View& view, const std::string& fqn, std::set<std::string>& seen) {
  const store::ResourcePtr subject = view.Get(fqn);
  if (subject == nullptr || !seen.insert(fqn).second) return false;
  if (!IsTeam(*subject)) return !IsAccount(*subject);
  const auto members = MembersOf(*subject);
  return members.ok() && std::any_of(members->begin(), members->end(),
                                     [&](const std::string& member) { return HoldsUser(view, member, seen); });
}

Status LeaveTeam(store::Txn& txn, const store::StoredResource& team, const std::string& member) {
  v2::Team message;
  if (!message.ParseFromString(team.body)) return DataLoss("STORE_DAMAGED", "{} cannot be read", team.fqn);
  auto& members = *message.mutable_spec()->mutable_members();
  members.erase(std::remove(members.begin(), members.end(), member), members.end());
  WEIR_TRY(txn.Put({team.kind, team.fqn, message.SerializeAsString(), team.field_owners, std::nullopt}));
  return {};
}

}  // namespace

const std::string& FqnOf(const v2::Subject& subject) {
  if (subject.has_team()) return subject.team();
  return subject.has_service_account() ? subject.service_account() : subject.user();
}

void SetFqn(const std::string& fqn, v2::Subject& subject) {
  const auto named = resource::ParseFqn(fqn);
  if (named.ok() && named->kind == resource::Kind::kTeam) {
    subject.set_team(fqn);
  } else if (named.ok() && named->kind == resource::Kind::kServiceAccount) {
    subject.set_service_account(fqn);
  } else {
    subject.set_user(fqn);
  }
}

bool IsTeam(const store::StoredResource& resource) {
  return resource.kind == resource::Info(resource::Kind::kTeam).name;
}

bool IsAccount(const store::StoredResource& resource) {
  return resource.kind == resource::Info(resource::Kind::kServiceAccount).name;
}

std::string SubjectNode(const store::StoredResource& resource) {
  if (resource.kind == resource::Info(resource::Kind::kUser).name || IsAccount(resource)) return UserNode(resource.uid);
  if (IsTeam(resource)) return TeamNode(resource.uid);
  return "";
}

std::vector<std::string> RolesOf(const ngac::Graph& graph, const std::string& subject_node) {
  std::vector<std::string> roles;
  std::set<ngac::NodeId> seen;
  CollectRoles(graph, graph.Find(subject_node), seen, roles);
  return roles;
}

Result<std::vector<std::string>> MembersOf(const store::StoredResource& team) {
  v2::Team message;
  if (!message.ParseFromString(team.body)) return DataLoss("STORE_DAMAGED", "{} cannot be read", team.fqn);
  return std::vector<std::string>(message.spec().members().begin(), message.spec().members().end());
}

bool IsOrHoldsUser(const store::View& view, const std::string& fqn) {
  std::set<std::string> seen;
  return HoldsUser(view, fqn, seen);
}

Status CheckSubject(const store::View& view, std::string_view organization, const std::string& fqn) {
  const store::ResourcePtr subject = resource::IsAtOrBelow(fqn, organization) ? view.Get(fqn) : nullptr;
  if (subject != nullptr && !SubjectNode(*subject).empty()) return {};
  return InvalidArgument("UNKNOWN_SUBJECT", "{} has no user, team or service account {}", organization, fqn);
}

Status RemoveEverywhere(store::Txn& txn, const store::StoredResource& subject) {
  const ngac::Node* node = txn.graph().Get(SubjectNode(subject));
  if (node == nullptr) return {};
  std::vector<std::string> containers;  // The graph changes meanwhile.
  node->containers.VisitAll([&](ngac::NodeId container, ngac::Nothing) {
    containers.push_back(txn.graph().Get(container)->name);
    return true;
  });
  for (const std::string& container : containers) {
    if (container.starts_with("t:")) {
      const store::ResourcePtr team = txn.view().GetByUid(container.substr(2));
      if (team != nullptr) WEIR_TRY(LeaveTeam(txn, *team, subject.fqn));
    } else if (container.starts_with("b:")) {
      WEIR_TRY(LeaveRole(txn, container, subject));
    }
  }
  return {};
}

}  // namespace weir::authz
