#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "libs/ngac/persistent_map.h"

namespace weir::ngac {

using NodeId = uint32_t;  // Dense; never used twice in the life of a graph.

// The edges of one node by the node at their other end, in the order of ids. A copy and a change cost the same for a
// user with a million roles as for one with a hundred: few edges lie in a row, many in a persistent map. Threads as
// for PersistentMap.
template <typename Label>
class Adjacency {
 public:
  size_t size() const { return few_.size() + many_.size(); }
  bool empty() const { return few_.empty() && many_.empty(); }

  // Null when there is no such edge.
  const Label* Find(NodeId other) const {
    if (!many_.empty()) return many_.Find(other);
    const auto at = std::lower_bound(few_.begin(), few_.end(), other, Less);
    return at == few_.end() || at->first != other ? nullptr : &at->second;
  }
  bool Contains(NodeId other) const { return Find(other) != nullptr; }

  // Inserts or replaces.
  void Set(NodeId other, Label label) {
    if (!many_.empty()) return many_.Set(other, std::move(label));
    const auto at = std::lower_bound(few_.begin(), few_.end(), other, Less);
    if (at != few_.end() && at->first == other) {
      at->second = std::move(label);
    } else {
      few_.emplace(at, other, std::move(label));
    }
    if (few_.size() <= kFew) return;
    for (auto& [id, moved] : few_) many_.Set(id, std::move(moved));
    few_ = {};
  }

  // True when the edge was there.
  bool Erase(NodeId other) {
    if (!many_.empty()) {
      if (!many_.Erase(other)) return false;
      if (many_.size() > kFew / 2) return true;
      many_.VisitAll([&](NodeId id, const Label& label) {
        few_.emplace_back(id, label);
        return true;
      });
      many_ = {};
      return true;
    }
    const auto at = std::lower_bound(few_.begin(), few_.end(), other, Less);
    if (at == few_.end() || at->first != other) return false;
    few_.erase(at);
    return true;
  }

  // In the order of ids; stops when `visit(id, label)` returns false.
  template <typename Visit>
  void VisitAll(Visit&& visit) const {
    for (const auto& [id, label] : few_) {
      if (!visit(id, label)) return;
    }
    many_.VisitAll(visit);
  }

 private:
  static constexpr size_t kFew = 32;
  using Edge = std::pair<NodeId, Label>;
  static bool Less(const Edge& edge, NodeId id) { return edge.first < id; }

  std::vector<Edge> few_;  // Sorted; empty when there are many.
  PersistentMap<NodeId, Label> many_;
};

}  // namespace weir::ngac
