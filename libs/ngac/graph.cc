#include "libs/ngac/graph.h"

#include <algorithm>
#include <deque>
#include <map>
#include <set>

#include "libs/ngac/closure.h"

namespace weir::ngac {
namespace {

bool IsLeaf(NodeType type) { return type == NodeType::kUser || type == NodeType::kObject; }

}  // namespace

std::string_view NodeTypeName(NodeType type) {
  switch (type) {
    case NodeType::kPolicyClass:
      return "policy class";
    case NodeType::kUserAttribute:
      return "user attribute";
    case NodeType::kUser:
      return "user";
    case NodeType::kObjectAttribute:
      return "object attribute";
    case NodeType::kObject:
      return "object";
  }
  return "unknown";
}

Graph::Graph(std::vector<std::string> rights) {
  assert(rights.size() <= kMaxRights);
  if (rights.size() > kMaxRights) rights.resize(kMaxRights);
  rights_ = std::make_shared<const std::vector<std::string>>(std::move(rights));
}

Rights Graph::RightBit(std::string_view name) const {
  const auto at = std::find(rights_->begin(), rights_->end(), name);
  return at == rights_->end() ? Rights() : Rights().set(static_cast<size_t>(at - rights_->begin()));
}

Result<Rights> Graph::RightsOf(const std::vector<std::string>& names) const {
  Rights rights;
  for (const std::string& name : names) {
    const Rights bit = RightBit(name);
    if (bit.none()) return InvalidArgument("UNKNOWN_RIGHT", "unknown right '{}'", name);
    rights |= bit;
  }
  return rights;
}

std::vector<std::string> Graph::RightNames(const Rights& rights) const {
  std::vector<std::string> names;
  for (size_t i = 0; i < rights_->size(); ++i) {
    if (rights.test(i)) names.push_back((*rights_)[i]);
  }
  return names;
}

NodeId Graph::Find(std::string_view name) const {
  const NodeId* id = names_.Find(name);
  return id == nullptr ? kNoNode : *id;
}

const Node* Graph::Get(NodeId id) const { return nodes_.At(id).get(); }

void Graph::ForEachNode(const std::function<void(NodeId, const Node&)>& visit) const {
  names_.VisitAll([&](const std::string&, NodeId id) {
    visit(id, *Get(id));
    return true;
  });
}

std::shared_ptr<Node> Graph::Copy(NodeId id) const { return std::make_shared<Node>(*nodes_.At(id)); }
void Graph::Put(NodeId id, std::shared_ptr<Node> node) { nodes_.Set(id, std::move(node)); }

Status Graph::CheckAssignment(const Node& member, const Node& container) const {
  bool fits = false;
  switch (member.type) {
    case NodeType::kPolicyClass:
      break;
    case NodeType::kUser:
      fits = container.type == NodeType::kUserAttribute;
      break;
    case NodeType::kObject:
      fits = container.type == NodeType::kObjectAttribute;
      break;
    case NodeType::kUserAttribute:
    case NodeType::kObjectAttribute:
      fits = container.type == member.type || container.type == NodeType::kPolicyClass;
      break;
  }
  if (fits) return {};
  return InvalidArgument("BAD_ASSIGNMENT", "{} '{}' cannot be assigned to {} '{}'", NodeTypeName(member.type),
                         member.name, NodeTypeName(container.type), container.name);
}

void Graph::Link(NodeId member, NodeId container) {
  auto below = Copy(member);
  below->containers.Set(container, {});
  auto above = Copy(container);
  if (IsLeaf(below->type)) {
    ++above->leaves;
  } else {
    above->attributes.Set(member, {});
  }
  Put(member, std::move(below));
  Put(container, std::move(above));
}

void Graph::Unlink(NodeId member, NodeId container) {
  auto below = Copy(member);
  below->containers.Erase(container);
  auto above = Copy(container);
  if (IsLeaf(below->type)) {
    --above->leaves;
  } else {
    above->attributes.Erase(member);
  }
  Put(member, std::move(below));
  Put(container, std::move(above));
}

Status Graph::CreateNode(std::string_view name, NodeType type, const std::vector<std::string>& containers) {
  if (name.empty()) return InvalidArgument("BAD_NAME", "a node needs a name");
  if (Find(name) != kNoNode) return AlreadyExists("NODE_EXISTS", "node '{}' exists", name);
  if (type < NodeType::kPolicyClass || type > NodeType::kObject) {
    return InvalidArgument("BAD_TYPE", "node '{}' has no known type", name);
  }
  auto node = std::make_shared<Node>();
  node->name = std::string(name);
  node->type = type;
  if (type != NodeType::kPolicyClass && containers.empty()) {
    return InvalidArgument("NO_CONTAINER", "{} '{}' needs a container", NodeTypeName(type), name);
  }
  std::set<NodeId> above;
  for (const std::string& container : containers) {
    const NodeId id = Find(container);
    if (id == kNoNode) return NotFound("NODE_MISSING", "node '{}' does not exist", container);
    WEIR_TRY(CheckAssignment(*node, *Get(id)));
    above.insert(id);
  }
  const NodeId id = static_cast<NodeId>(nodes_.size());
  names_.Set(node->name, id);
  Put(id, std::move(node));
  for (const NodeId container : above) Link(id, container);
  return {};
}

Status Graph::DeleteNode(std::string_view name) {
  const NodeId id = Find(name);
  if (id == kNoNode) return {};
  const NodePtr node = nodes_.At(id);
  if (node->HasMembers()) return FailedPrecondition("HAS_MEMBERS", "node '{}' has members", name);
  node->containers.VisitAll([&](NodeId container, Nothing) {
    Unlink(id, container);
    return true;
  });
  node->grants.VisitAll([&](NodeId target, const Rights&) {
    Drop(id, target);
    return true;
  });
  node->granted_by.VisitAll([&](NodeId source, const Rights&) {
    Drop(source, id);
    return true;
  });
  names_.Erase(name);
  nodes_.Set(id, nullptr);
  return {};
}

Status Graph::Assign(std::string_view member, std::string_view container) {
  const NodeId below = Find(member);
  const NodeId above = Find(container);
  if (below == kNoNode) return NotFound("NODE_MISSING", "node '{}' does not exist", member);
  if (above == kNoNode) return NotFound("NODE_MISSING", "node '{}' does not exist", container);
  WEIR_TRY(CheckAssignment(*Get(below), *Get(above)));
  if (Get(below)->containers.Contains(above)) return {};
  if (Get(below)->containers.size() >= kMaxContainers) {
    return ResourceExhausted("TOO_MANY_CONTAINERS", "node '{}' has {} containers", member, kMaxContainers);
  }
  if (Reaches(above, below)) {
    return FailedPrecondition("CYCLE", "'{}' already contains '{}'", member, container);
  }
  Link(below, above);
  return {};
}

Status Graph::Deassign(std::string_view member, std::string_view container) {
  const NodeId below = Find(member);
  const NodeId above = Find(container);
  if (below == kNoNode || above == kNoNode || !Get(below)->containers.Contains(above)) return {};
  if (Get(below)->containers.size() == 1) {
    return FailedPrecondition("DISCONNECTED", "'{}' is the only container of '{}'", container, member);
  }
  Unlink(below, above);
  return {};
}

Status Graph::Associate(std::string_view source, std::string_view target, const std::vector<std::string>& rights) {
  WEIR_ASSIGN(const Rights mask, RightsOf(rights));
  return Associate(source, target, mask);
}

Status Graph::Associate(std::string_view source, std::string_view target, const Rights& mask) {
  const NodeId from = Find(source);
  const NodeId to = Find(target);
  if (from == kNoNode) return NotFound("NODE_MISSING", "node '{}' does not exist", source);
  if (to == kNoNode) return NotFound("NODE_MISSING", "node '{}' does not exist", target);
  const NodeType type = Get(to)->type;
  if (Get(from)->type != NodeType::kUserAttribute || type == NodeType::kPolicyClass || type == NodeType::kUser) {
    return InvalidArgument("BAD_ASSOCIATION", "{} '{}' cannot be associated with {} '{}'",
                           NodeTypeName(Get(from)->type), source, NodeTypeName(type), target);
  }
  if (mask.none()) return InvalidArgument("UNKNOWN_RIGHT", "an association needs a right");
  auto granter = Copy(from);
  granter->grants.Set(to, mask);
  Put(from, std::move(granter));
  auto granted = Copy(to);  // After the line above: source and target may be one node.
  granted->granted_by.Set(from, mask);
  Put(to, std::move(granted));
  return {};
}

void Graph::Drop(NodeId source, NodeId target) {
  auto granter = Copy(source);
  granter->grants.Erase(target);
  Put(source, std::move(granter));
  auto granted = Copy(target);
  granted->granted_by.Erase(source);
  Put(target, std::move(granted));
}

Status Graph::Dissociate(std::string_view source, std::string_view target) {
  const NodeId from = Find(source);
  const NodeId to = Find(target);
  if (from == kNoNode || to == kNoNode || !Get(from)->grants.Contains(to)) return {};
  Drop(from, to);
  return {};
}

bool Graph::Reaches(NodeId member, NodeId container) const {
  if (Get(member) == nullptr || Get(container) == nullptr) return false;
  return member == container || Closure(*this, member).IndexOf(container) >= 0;
}

// A user has as many containers as it holds bindings, thousands for a busy administrator; an attribute has few
// attributes below it. So the search goes down from the attribute and asks at each step whether the user is a direct
// member.
bool Graph::UserReaches(NodeId user, NodeId attribute, std::vector<NodeId>* path) const {
  const Adjacency<Nothing>& direct = Get(user)->containers;
  if (direct.Contains(attribute)) {
    if (path != nullptr) *path = {user, attribute};
    return true;
  }
  if (Get(attribute)->attributes.empty()) return false;
  std::map<NodeId, NodeId> above;  // Attribute -> the one it was reached from.
  std::deque<NodeId> todo{attribute};
  above[attribute] = kNoNode;
  while (!todo.empty()) {
    const NodeId at = todo.front();
    todo.pop_front();
    if (direct.Contains(at)) {
      if (path != nullptr) {
        path->assign(1, user);
        for (NodeId step = at; step != kNoNode; step = above[step]) path->push_back(step);
      }
      return true;
    }
    Get(at)->attributes.VisitAll([&](NodeId member, Nothing) {
      if (above.emplace(member, at).second) todo.push_back(member);
      return true;
    });
  }
  return false;
}

Rights Graph::GrantedAt(NodeId user, const Node& target, const Rights& wanted) const {
  Rights granted;
  target.granted_by.VisitAll([&](NodeId source, const Rights& rights) {
    const Rights gain = rights & wanted & ~granted;
    if (gain.any() && UserReaches(user, source, nullptr)) granted |= gain;
    return granted != wanted;
  });
  return granted;
}

bool Graph::Decide(NodeId user, const Rights& right, NodeId node) const {
  const Node* subject = Get(user);
  if (subject == nullptr || subject->type != NodeType::kUser || Get(node) == nullptr || right.none()) return false;
  if (right.count() > 1) return HeldOf(user, right, node) == right;
  Closure closure(*this, node);
  for (size_t i = 0; i < closure.items().size(); ++i) {
    if (closure.items()[i].covered) continue;
    if (GrantedAt(user, *closure.items()[i].node, right).any()) closure.Cover(i);
  }
  bool any = false;
  for (const auto& item : closure.items()) {
    if (item.node->type != NodeType::kPolicyClass || item.id == node) continue;
    if (!item.covered) return false;
    any = true;
  }
  return any;
}

bool Graph::Decide(std::string_view user, std::string_view right, std::string_view node) const {
  return Decide(Find(user), RightBit(right), Find(node));
}

// Of these rights, those that every policy class of the node is satisfied with.
Rights Graph::HeldOf(NodeId user, const Rights& wanted, NodeId node) const {
  const Node* subject = Get(user);
  if (subject == nullptr || subject->type != NodeType::kUser || Get(node) == nullptr) return {};
  Closure closure(*this, node);
  std::map<NodeId, Rights> by_class;
  for (const auto& item : closure.items()) {
    if (item.node->type == NodeType::kPolicyClass && item.id != node) by_class.try_emplace(item.id);
  }
  for (const auto& item : closure.items()) {
    const Rights granted = GrantedAt(user, *item.node, wanted);
    if (granted.none()) continue;
    Closure above(*this, item.id);
    for (const auto& each : above.items()) {
      if (const auto found = by_class.find(each.id); found != by_class.end()) found->second |= granted;
    }
  }
  if (by_class.empty()) return {};
  Rights held = wanted;
  for (const auto& [policy_class, granted] : by_class) held &= granted;
  return held;
}

Rights Graph::RightsOn(NodeId user, NodeId node) const {
  Rights all;
  for (size_t i = 0; i < rights_->size(); ++i) all.set(i);
  return HeldOf(user, all, node);
}

Explanation Graph::Explain(std::string_view user, std::string_view right, std::string_view node) const {
  Explanation answer;
  const NodeId subject = Find(user);
  const NodeId target = Find(node);
  const Rights bit = RightBit(right);
  if (subject == kNoNode || Get(subject)->type != NodeType::kUser) {
    answer.reason = fmt::format("no such user: '{}'", user);
  } else if (bit.none()) {
    answer.reason = fmt::format("no such right: '{}'", right);
  } else if (target == kNoNode) {
    answer.reason = fmt::format("no such node: '{}'", node);
  }
  if (!answer.reason.empty()) return answer;

  Closure closure(*this, target);
  auto& items = closure.items();
  size_t classes = 0;
  for (const auto& item : items) classes += item.node->type == NodeType::kPolicyClass && item.id != target;
  std::map<NodeId, Witness> by_class;
  // Breadth first: the first witness of a class is nearest to the target.
  for (size_t i = 0; i < items.size() && by_class.size() < classes; ++i) {
    items[i].node->granted_by.VisitAll([&](NodeId source, const Rights& rights) {
      std::vector<NodeId> user_path;
      if ((rights & bit).none() || !UserReaches(subject, source, &user_path)) return true;
      Witness witness;
      witness.rights = rights;
      for (const NodeId step : user_path) witness.user_path.push_back(Get(step)->name);
      witness.target_path = closure.PathTo(i);
      Closure above(*this, items[i].id);
      for (const auto& item : above.items()) {
        if (item.node->type != NodeType::kPolicyClass || item.id == target) continue;
        witness.policy_class = item.node->name;
        by_class.emplace(item.id, witness);
      }
      return false;
    });
  }
  for (const auto& item : items) {
    if (item.node->type != NodeType::kPolicyClass || item.id == target) continue;
    const auto found = by_class.find(item.id);
    if (found == by_class.end()) {
      answer.missing.push_back(item.node->name);
    } else {
      answer.satisfied.push_back(found->second);
    }
  }
  answer.allowed = classes > 0 && answer.missing.empty();
  if (classes == 0) {
    answer.reason = fmt::format("'{}' reaches no policy class", node);
  } else if (!answer.allowed) {
    answer.reason = fmt::format("no association of '{}' gives '{}' on '{}' in policy class '{}'", user, right, node,
                                answer.missing.front());
  }
  return answer;
}

}  // namespace weir::ngac
