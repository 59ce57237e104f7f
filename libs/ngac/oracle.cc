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
    graph.Get(id)->containers.VisitAll([&](NodeId container, Nothing) {
      todo.push_back(container);
      return true;
    });
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
      granter.grants.VisitAll([&](NodeId target, const Rights& rights) {
        covered |=
            (rights & *wanted).any() && containers.contains(target) && Above(graph, target).contains(policy_class);
        return true;
      });
    });
    if (!covered) return false;
  }
  return !classes.empty();
}

std::string Describe(const Graph& graph) {
  std::string text;
  graph.ForEachNode([&](NodeId, const Node& node) {  // In the order of names.
    std::set<std::string> edges;
    const auto nodes = [&](const char* word) {
      return [&edges, &graph, word](NodeId other, Nothing) {
        edges.insert(fmt::format("{} {}", word, graph.Get(other)->name));
        return true;
      };
    };
    const auto rights = [&](const char* word) {
      return [&edges, &graph, word](NodeId other, const Rights& held) {
        edges.insert(fmt::format("{} {} {}", word, graph.Get(other)->name, fmt::join(graph.RightNames(held), ",")));
        return true;
      };
    };
    node.containers.VisitAll(nodes("in"));
    node.attributes.VisitAll(nodes("has"));
    node.grants.VisitAll(rights("over"));
    node.granted_by.VisitAll(rights("under"));
    text += fmt::format("{} '{}' with {} leaves", NodeTypeName(node.type), node.name, node.leaves);
    for (const std::string& edge : edges) text.append(", ").append(edge);
    text.push_back('\n');
  });
  return text;
}

}  // namespace weir::ngac
