#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "libs/resource/conflicts.h"

namespace weir::services {

// Which workspaces may own a namespace that a selector names, without a look at all of them. It only grows: what is
// gone or was rolled back is found too, and whoever asks looks at the store before he believes it.
class NamespaceIndex {
 public:
  void Add(std::string_view organization, const std::string& workspace, const v2::NamespaceSelector& selector);
  // Every workspace of the organization with a pattern that overlaps one of these, and as few others as possible.
  std::set<std::string> Candidates(std::string_view organization, const v2::NamespaceSelector& selector) const;
  size_t size() const { return size_; }  // Patterns.
  void Clear() { *this = NamespaceIndex(); }

 private:
  using Workspaces = std::map<std::string, std::set<std::string>, std::less<>>;
  struct Organization {
    Workspaces by_pattern;  // "cluster/name", either of them may be "*".
    Workspaces by_cluster;
    Workspaces by_name;
    std::set<std::string> all;
  };
  std::map<std::string, Organization, std::less<>> organizations_;
  size_t size_ = 0;
};

}  // namespace weir::services
