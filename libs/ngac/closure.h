#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <string_view>
#include <vector>

#include "libs/ngac/graph.h"

namespace weir::ngac {

// The node itself and everything that contains it, each once, containers after the first member that led to them.
// A set beside it would cost more than the scan while closures are as small as they are in practice.
class Closure {
 public:
  Closure(const Graph& graph, NodeId start) {
    Add(graph, start, -1);
    for (size_t i = 0; i < items_.size(); ++i) {
      items_[i].node->containers.VisitAll([&](NodeId container, Nothing) {
        Add(graph, container, static_cast<int>(i));
        return true;
      });
    }
  }
  struct Item {
    NodeId id;
    const Node* node;
    int member;  // Index of the item that led here; -1 = the start.
    bool covered = false;
  };
  std::vector<Item>& items() { return items_; }
  int IndexOf(NodeId id) const {
    if (items_.size() > kScan) {
      const auto at = index_.find(id);
      return at == index_.end() ? -1 : at->second;
    }
    for (size_t i = 0; i < items_.size(); ++i) {
      if (items_[i].id == id) return static_cast<int>(i);
    }
    return -1;
  }

  // The names from the start to item `index`.
  std::vector<std::string_view> PathTo(size_t index) const {
    std::vector<std::string_view> path;
    for (int at = static_cast<int>(index); at >= 0; at = items_[at].member) path.push_back(items_[at].node->name);
    std::reverse(path.begin(), path.end());
    return path;
  }

  // Marks everything that contains item `from`, and itself.
  void Cover(size_t from) {
    std::vector<size_t> todo{from};
    while (!todo.empty()) {
      Item& item = items_[todo.back()];
      todo.pop_back();
      if (item.covered) continue;
      item.covered = true;
      item.node->containers.VisitAll([&](NodeId container, Nothing) {
        todo.push_back(static_cast<size_t>(IndexOf(container)));
        return true;
      });
    }
  }

 private:
  static constexpr size_t kScan = 32;
  void Add(const Graph& graph, NodeId id, int member) {
    if (IndexOf(id) >= 0) return;
    const Node* node = graph.Get(id);
    if (node == nullptr) return;
    items_.push_back({id, node, member});
    if (items_.size() == kScan + 1) {
      for (size_t i = 0; i < items_.size(); ++i) index_[items_[i].id] = static_cast<int>(i);
    } else if (items_.size() > kScan) {
      index_[id] = static_cast<int>(items_.size() - 1);
    }
  }
  std::vector<Item> items_;
  std::map<NodeId, int> index_;  // Once there are more than kScan.
};

}  // namespace weir::ngac
