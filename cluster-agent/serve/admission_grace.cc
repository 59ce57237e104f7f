#include "cluster-agent/serve/admission_grace.h"

namespace weir::agent {

void AdmissionGrace::Note(const std::string& node, const translate::Admitted& before, const translate::Admitted& after,
                          MonoTime now) {
  auto& callers = nodes_[node];
  for (const auto& [name, ids] : before) {
    const auto still = after.find(name);
    for (const std::string& id : ids) {
      if (still == after.end() || !still->second.contains(id)) callers.try_emplace({name, id}, now + kFor);
    }
  }
  for (const auto& [name, ids] : after) {
    for (const std::string& id : ids) callers.erase({name, id});  // Should it go again, its time begins anew.
  }
  if (callers.empty()) nodes_.erase(node);
}

translate::Admitted AdmissionGrace::Of(const std::string& node, MonoTime now) {
  translate::Admitted admitted;
  const auto found = nodes_.find(node);
  if (found == nodes_.end()) return admitted;
  std::erase_if(found->second, [&](const auto& one) { return one.second <= now; });
  for (const auto& [caller, until] : found->second) admitted[caller.first].insert(caller.second);
  if (found->second.empty()) nodes_.erase(found);
  return admitted;
}

bool AdmissionGrace::Due(MonoTime now) const {
  for (const auto& [node, callers] : nodes_) {
    for (const auto& [caller, until] : callers) {
      if (until <= now) return true;
    }
  }
  return false;
}

}  // namespace weir::agent
