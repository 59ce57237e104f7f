#include "mgmt-server/services/namespace_index.h"

namespace weir::services {
namespace {

constexpr const char* kAny = "*";

std::string KeyOf(const std::string& cluster, const std::string& name) { return cluster + "/" + name; }

}  // namespace

void NamespaceIndex::Add(std::string_view organization, const std::string& workspace,
                         const v2::NamespaceSelector& selector) {
  Organization& index = organizations_[std::string(organization)];
  for (const resource::NamespacePattern& pattern : resource::PatternsOf(selector)) {
    if (!index.by_pattern[KeyOf(pattern.cluster, pattern.name)].insert(workspace).second) continue;
    index.by_cluster[pattern.cluster].insert(workspace);
    index.by_name[pattern.name].insert(workspace);
    index.all.insert(workspace);
    ++size_;
  }
}

std::set<std::string> NamespaceIndex::Candidates(std::string_view organization,
                                                 const v2::NamespaceSelector& selector) const {
  std::set<std::string> found;
  const auto at = organizations_.find(organization);
  if (at == organizations_.end()) return found;
  const Organization& index = at->second;
  const auto take = [&](const Workspaces& from, const std::string& key) {
    const auto entry = from.find(key);
    if (entry != from.end()) found.insert(entry->second.begin(), entry->second.end());
  };
  for (const auto& [cluster, name] : resource::PatternsOf(selector)) {
    if (cluster == kAny && name == kAny) return index.all;
    if (cluster == kAny) {
      take(index.by_name, name);
      take(index.by_name, kAny);
    } else if (name == kAny) {
      take(index.by_cluster, cluster);
      take(index.by_cluster, kAny);
    } else {
      for (const std::string& key :
           {KeyOf(cluster, name), KeyOf(kAny, name), KeyOf(cluster, kAny), KeyOf(kAny, kAny)}) {
        take(index.by_pattern, key);
      }
    }
  }
  return found;
}

}  // namespace weir::services
