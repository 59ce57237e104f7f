#include <algorithm>

#include "libs/resource/kinds.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/authz/bindings.h"
#include "mgmt-server/authz/nodes.h"
#include "mgmt-server/authz/roles.h"
#include "mgmt-server/authz/subjects.h"
#include "mgmt-server/store/view.h"

namespace weir::authz {
namespace {

using ngac::Graph;
using ngac::NodeType;
using store::ResourcePtr;
using store::StoredResource;
using store::View;

bool IsBindings(const StoredResource& resource) { return resource.kind == kBindingsKind; }
std::string BindingsOf(const StoredResource& resource) { return resource.fqn + std::string(kBindingsSuffix); }
std::string_view OwnerOf(const StoredResource& bindings) {
  return std::string_view(bindings.fqn).substr(0, bindings.fqn.size() - kBindingsSuffix.size());
}

// The subject joins the binding, which is made when it is not there yet; both by uid.
Status Join(Graph& graph, const std::string& owner_node, std::string_view owner_uid, const GivenRole& role,
            const std::string& subject_node) {
  const std::string binding = BindingNode(owner_uid, role.key);
  if (graph.Find(binding) == ngac::kNoNode) {
    const bool built_in = role.key == role.name;
    WEIR_TRY(
        graph.CreateNode(binding, NodeType::kUserAttribute, {built_in ? std::string(kUsersNode) : RoleNode(role.key)}));
    WEIR_TRY(graph.Associate(binding, owner_node, role.rights));
  }
  return graph.Assign(subject_node, binding);
}

Status Leave(Graph& graph, std::string_view owner_uid, std::string_view role_key, const std::string& subject_node) {
  const std::string binding = BindingNode(owner_uid, role_key);
  WEIR_TRY(graph.Deassign(subject_node, binding));
  const ngac::Node* node = graph.Get(binding);
  return node == nullptr || node->HasMembers() ? Status() : graph.DeleteNode(binding);
}

// From the bindings `before` of `owner` to those `after`.
Status Rebind(const View& view, const StoredResource& owner, const Bindings& before, const Bindings& after,
              Graph& graph) {
  static const std::set<std::string> kNone;
  const auto subjects_of = [](const Bindings& bindings, const std::string& role) -> const std::set<std::string>& {
    const auto found = bindings.find(role);
    return found == bindings.end() ? kNone : found->second;
  };
  std::set<std::string> roles;
  for (const auto& each : before) roles.insert(each.first);
  for (const auto& each : after) roles.insert(each.first);
  const std::string node = ObjectNode(owner.uid);
  for (const std::string& name : roles) {
    const auto& old_subjects = subjects_of(before, name);
    const auto& new_subjects = subjects_of(after, name);
    if (old_subjects == new_subjects) continue;
    WEIR_ASSIGN(const GivenRole role, ResolveRole(view, resource::OrganizationFqn(owner.fqn), name));
    const auto each = [&](const std::set<std::string>& subjects, const std::set<std::string>& but,
                          const auto& move) -> Status {
      for (const std::string& fqn : subjects) {
        if (but.contains(fqn)) continue;
        const ResourcePtr subject = view.Get(fqn);
        const std::string subject_node = subject ? SubjectNode(*subject) : "";
        if (subject_node.empty()) {
          return DataLoss("STORE_DAMAGED", "{} is bound on {} and does not exist", fqn, owner.fqn);
        }
        WEIR_TRY(move(subject_node));
      }
      return {};
    };
    WEIR_TRY(each(new_subjects, old_subjects,
                  [&](const std::string& who) { return Join(graph, node, owner.uid, role, who); }));
    WEIR_TRY(each(old_subjects, new_subjects,
                  [&](const std::string& who) { return Leave(graph, owner.uid, role.key, who); }));
  }
  return {};
}

Status FollowBindings(const View& view, const StoredResource* before, const StoredResource* after, Graph& graph) {
  const StoredResource& bindings = after != nullptr ? *after : *before;
  const ResourcePtr owner = view.Get(OwnerOf(bindings));
  if (!owner) {
    if (after == nullptr) return {};  // They ended with their owner.
    return DataLoss("STORE_DAMAGED", "{} belongs to nothing", bindings.fqn);
  }
  WEIR_ASSIGN(const Bindings old_bindings, ParseBindings(before));
  WEIR_ASSIGN(const Bindings new_bindings, ParseBindings(after));
  return Rebind(view, *owner, old_bindings, new_bindings, graph);
}

// From the members that a team had to those that it has; null = none.
Status FollowTeam(const View& view, const StoredResource* before, const StoredResource* after, Graph& graph) {
  std::vector<std::string> had, has;
  if (before != nullptr) {
    WEIR_ASSIGN(had, MembersOf(*before));
  }
  if (after != nullptr) {
    WEIR_ASSIGN(has, MembersOf(*after));
  }
  const std::string team = TeamNode((after != nullptr ? after : before)->uid);
  const auto node = [&](const std::string& fqn) -> Result<std::string> {
    const ResourcePtr member = view.Get(fqn);
    std::string found = member ? SubjectNode(*member) : "";
    if (found.empty()) return InvalidArgument("UNKNOWN_SUBJECT", "{} is no user, team or service account", fqn);
    return found;
  };
  const auto gone = [](const std::vector<std::string>& from, const std::string& fqn) {
    return std::find(from.begin(), from.end(), fqn) == from.end();
  };
  for (const std::string& fqn : had) {
    if (!gone(has, fqn)) continue;
    WEIR_ASSIGN(const std::string member, node(fqn));
    WEIR_TRY(graph.Deassign(member, team));
  }
  for (const std::string& fqn : has) {
    if (!gone(had, fqn)) continue;
    WEIR_ASSIGN(const std::string member, node(fqn));
    Status assigned = graph.Assign(member, team);
    if (!assigned.ok() && assigned.error().reason == "CYCLE") {
      return FailedPrecondition("TEAM_CYCLE", "{} holds this team already, itself or over others", fqn);
    }
    WEIR_TRY(assigned);
  }
  return {};
}

// What a role gives now it gives wherever it is bound.
Status FollowRole(const StoredResource& role, Graph& graph) {
  WEIR_ASSIGN(const ngac::Rights rights, RightsOf(role));
  const ngac::Node* node = graph.Get(RoleNode(role.uid));
  if (node == nullptr) return Internal("ROLE_WITHOUT_NODE", "{} is not in the graph", role.fqn);
  std::vector<std::pair<std::string, std::string>> bound;  // Binding and what it is on. The graph changes meanwhile.
  node->attributes.VisitAll([&](ngac::NodeId binding, ngac::Nothing) {
    const ngac::Node* source = graph.Get(binding);
    source->grants.VisitAll([&](ngac::NodeId target, const ngac::Rights&) {
      bound.emplace_back(source->name, graph.Get(target)->name);
      return true;
    });
    return true;
  });
  for (const auto& [binding, target] : bound) WEIR_TRY(graph.Associate(binding, target, rights));
  return {};
}

Status Add(const View& view, const StoredResource& resource, Graph& graph) {
  const std::string parent_fqn = resource::ParentFqn(resource.fqn);
  const ResourcePtr parent = view.Get(parent_fqn);
  if (!parent_fqn.empty() && !parent) return Missing(parent_fqn);
  WEIR_TRY(graph.CreateNode(ObjectNode(resource.uid), NodeType::kObjectAttribute,
                            {parent ? ObjectNode(parent->uid) : std::string(kRootNode)}));
  if (IsRole(resource)) {
    return graph.CreateNode(RoleNode(resource.uid), NodeType::kUserAttribute, {std::string(kUsersNode)});
  }
  const std::string subject = SubjectNode(resource);
  if (subject.empty()) return {};
  const bool team = IsTeam(resource);
  return graph.CreateNode(subject, team ? NodeType::kUserAttribute : NodeType::kUser, {std::string(kUsersNode)});
}

Status Remove(const View& view, const StoredResource& resource, Graph& graph) {
  WEIR_ASSIGN(const Bindings bindings, ParseBindings(view.Get(BindingsOf(resource)).get()));
  WEIR_TRY(Rebind(view, resource, bindings, {}, graph));
  if (const std::string node = SubjectNode(resource); !node.empty()) {
    const ngac::Node* subject = graph.Get(node);
    if (subject != nullptr && subject->containers.size() > 1) {
      // Documents name users and teams: whoever got the name next would find the roles that stand there.
      return FailedPrecondition("USER_HAS_ROLES", "{} still has roles or is in a team; they go first", resource.fqn);
    }
    if (IsTeam(resource)) WEIR_TRY(FollowTeam(view, &resource, nullptr, graph));
    WEIR_TRY(graph.DeleteNode(node));
  }
  if (IsRole(resource)) {
    const ngac::Node* role = graph.Get(RoleNode(resource.uid));
    if (role != nullptr && role->HasMembers()) {
      // Documents name roles: whoever got the name next would give what he likes to all who have this one.
      return FailedPrecondition("ROLE_IN_USE", "{} is still bound; it is revoked before", resource.fqn);
    }
    WEIR_TRY(graph.DeleteNode(RoleNode(resource.uid)));
  }
  return graph.DeleteNode(ObjectNode(resource.uid));
}

class Tenancy : public store::Policy {
 public:
  std::vector<std::string> Rights() const override { return GraphRights(); }

  Status Derive(const View& view, Graph& graph) const override {
    WEIR_TRY(graph.CreateNode(kTenancy, NodeType::kPolicyClass));
    WEIR_TRY(graph.CreateNode(kUsersNode, NodeType::kUserAttribute, {std::string(kTenancy)}));
    WEIR_TRY(graph.CreateNode(kRootNode, NodeType::kObjectAttribute, {std::string(kTenancy)}));
    Status made;
    view.ForEach("", "", [&](const ResourcePtr& resource) {  // Parents come before what is in them.
      if (!IsBindings(*resource)) made = Add(view, *resource, graph);
      return made.ok();
    });
    if (made.ok()) {
      view.ForEach("", resource::Info(resource::Kind::kTeam).name, [&](const ResourcePtr& team) {
        made = FollowTeam(view, nullptr, team.get(), graph);
        return made.ok();
      });
    }
    if (made.ok()) {
      view.ForEach("", kBindingsKind, [&](const ResourcePtr& bindings) {
        made = FollowBindings(view, nullptr, bindings.get(), graph);
        return made.ok();
      });
    }
    if (made.ok()) {
      view.ForEachInstallationRole([&](const std::string& role, const std::string& user_uid) {
        made = ApplyRoleChange(role, user_uid, true, graph);
        return made.ok();
      });
    }
    if (made.ok() || made.error().code == Code::kDataLoss) return made;
    return DataLoss("STORE_DAMAGED", "what is stored contradicts itself: {}", made.error().message);
  }

  Status ApplyChange(const View& view, const StoredResource* before, const StoredResource* after,
                     Graph& graph) const override {
    if (IsBindings(after != nullptr ? *after : *before)) return FollowBindings(view, before, after, graph);
    if (after == nullptr) return Remove(view, *before, graph);
    if (before != nullptr && IsRole(*after)) return FollowRole(*after, graph);
    if (before != nullptr) return IsTeam(*after) ? FollowTeam(view, before, after, graph) : Status();
    if (view.Get(BindingsOf(*after))) {
      return DataLoss("STORE_DAMAGED", "{} is new, and there are bindings for it", after->fqn);
    }
    WEIR_TRY(Add(view, *after, graph));
    return IsTeam(*after) ? FollowTeam(view, nullptr, after, graph) : Status();
  }

  Status ApplyRoleChange(std::string_view role, std::string_view user_uid, bool given, Graph& graph) const override {
    WEIR_ASSIGN(const GivenRole known, BuiltInRole(role));
    if (!given) return Leave(graph, kRootNode, known.key, UserNode(user_uid));
    return Join(graph, std::string(kRootNode), kRootNode, known, UserNode(user_uid));
  }
};

}  // namespace

const store::Policy& TenancyPolicy() {
  static const Tenancy policy;
  return policy;
}

}  // namespace weir::authz
