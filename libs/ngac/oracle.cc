#include "libs/ngac/oracle.h"

#include <set>

namespace weir::ngac {
namespace {

// x such that start ->* x.
std::set<NodeId> Above(const Graph& graph, NodeId start) {
  std::set<NodeId> reached;
  std::vector<NodeId> todo{start};
  while (!todo.empty()) {
    const NodeId id = todo.back();
    todo.pop_back();
    if (!reached.insert(id).second) continue;
    for (const NodeId container : graph.Get(id)->containers) todo.push_back(container);
  }
  return reached;
}

}  // namespace

bool DecideBySearch(const Graph& graph, std::string_view user, std::string_view right, std::string_view node) {
  const NodeId subject = graph.Find(user);
  const NodeId target = graph.Find(node);
  const auto wanted = graph.RightsOf({std::string(right)});
  if (subject == kNoNode || target == kNoNode || !wanted.ok()) return false;
  if (graph.Get(subject)->type != NodeType::kUser) return false;
  std::set<NodeId> attributes = Above(graph, subject);
  attributes.erase(subject);
  const std::set<NodeId> containers = Above(graph, target);

  std::set<NodeId> classes;
  for (const NodeId id : containers) {
    if (id != target && graph.Get(id)->type == NodeType::kPolicyClass) classes.insert(id);
  }
  for (const NodeId policy_class : classes) {
    bool covered = false;
    graph.ForEachNode([&](NodeId source, const Node& granter) {
      if (!attributes.contains(source)) return;
      for (const Association& association : granter.grants) {
        if ((association.rights & *wanted) != 0 && containers.contains(association.other) &&
            Above(graph, association.other).contains(policy_class)) {
          covered = true;
        }
      }
    });
    if (!covered) return false;
  }
  return !classes.empty();
}

}  // namespace weir::ngac
