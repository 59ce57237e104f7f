#include "mgmt-server/compile/traces.h"

#include <algorithm>

#include "libs/resource/kinds.h"
#include "mgmt-server/compile/gateway_shape.h"

namespace weir::compile {
namespace {

const FqnSet& Senders(const World& world, std::string_view cluster) {
  static const FqnSet kNone;
  const auto found = world.state().by_target_cluster.find(resource::LastName(cluster));
  return found == world.state().by_target_cluster.end() ? kNone : found->second;
}

// Those of an organization's objects that are among `all` and not among `others`.
std::set<std::string> Missing(const FqnSet& all, const FqnSet& others, std::string_view cluster) {
  std::set<std::string> missing;
  const std::string organization(resource::OrganizationFqn(cluster));
  for (const std::string& fqn : all) {
    if (!others.contains(fqn) && resource::IsAtOrBelow(fqn, organization)) missing.insert(fqn);
  }
  return missing;
}

bool SameLabels(const v2::Cluster& a, const v2::Cluster& b) {
  const auto& labels = b.metadata().labels();
  return a.metadata().labels().size() == labels.size() &&
         std::all_of(a.metadata().labels().begin(), a.metadata().labels().end(), [&](const auto& label) {
           const auto found = labels.find(label.first);
           return found != labels.end() && found->second == label.second;
         });
}

}  // namespace

bool SamePlace(const v2::Cluster& a, const v2::Cluster& b) {
  return a.spec().locality().region() == b.spec().locality().region() &&
         a.spec().locality().zone() == b.spec().locality().zone() && SameLabels(a, b);
}

Trace TraceOf(const World& before, const World& after, const std::string& cluster) {
  Trace trace;
  const v2::Cluster* was = before.cluster(cluster);
  const v2::Cluster* is = after.cluster(cluster);
  if (was == nullptr || is == nullptr) return trace;
  trace.moved = !SamePlace(*was, *is);
  trace.admission = was->spec().tier1_cluster() != is->spec().tier1_cluster();
  trace.left = Missing(Senders(before, cluster), Senders(after, cluster), cluster);
  trace.come = Missing(Senders(after, cluster), Senders(before, cluster), cluster);
  return trace;
}

void Traces::Note(const World& before, const World& after, const Change& change) {
  for (const std::string& fqn : change.fqns) {
    if (EffectOf(fqn) != resource::Effect::kCluster) continue;
    if (after.cluster(fqn) == nullptr) {
      traces_.erase(fqn);
      continue;
    }
    Trace trace = TraceOf(before, after, fqn);
    if (trace.empty()) continue;
    auto& known = traces_[fqn];
    known.emplace_back(after.revision, std::move(trace));
    if (known.size() > kMostOfOne) known.pop_front();
  }
}

Trace Traces::Since(const std::string& cluster, int64_t revision) const {
  Trace all;
  const auto known = traces_.find(cluster);
  if (known == traces_.end()) return all;
  for (const auto& [update, trace] : known->second) {
    if (update < revision) continue;
    all.left.insert(trace.left.begin(), trace.left.end());
    all.come.insert(trace.come.begin(), trace.come.end());
    all.moved |= trace.moved;
    all.admission |= trace.admission;
  }
  return all;
}

}  // namespace weir::compile
