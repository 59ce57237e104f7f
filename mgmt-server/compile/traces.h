#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "mgmt-server/compile/compile.h"

namespace weir::compile {

// Whether failover sees a cluster stand where it stood: labels and locality.
bool SamePlace(const v2::Cluster& a, const v2::Cluster& b);

// What a write of a cluster changed that the world after it does not show: for those who wait for its effect.
struct Trace {
  std::set<std::string> left;  // FQNs of gateway objects that sent there before and no longer do.
  std::set<std::string> come;  // Those that send there only since.
  bool moved = false;          // Its own tier-1 gateways order others anew.
  bool admission = false;      // Who lets its tier-1 gateways in: spec.tier1Cluster.
  bool empty() const { return left.empty() && come.empty() && !moved && !admission; }
};
// `cluster`: FQN.
Trace TraceOf(const World& before, const World& after, const std::string& cluster);

// Of the last writes of each cluster. Not thread-safe.
class Traces {
 public:
  static constexpr size_t kMostOfOne = 8;

  // With each update of a compilation, before it.
  void Note(const World& before, const World& after, const Change& change);
  // Of all writes of this revision and later, together.
  Trace Since(const std::string& cluster, int64_t revision) const;

 private:
  std::map<std::string, std::deque<std::pair<int64_t, Trace>>> traces_;  // With the revision of the update.
};

}  // namespace weir::compile
