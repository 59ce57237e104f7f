#include "mgmt-server/invariant_watch.h"

#include <algorithm>
#include <vector>

#include "libs/obs/log.h"
#include "libs/obs/metrics.h"
#include "mgmt-server/invariants/facts.h"

namespace weir::server {
namespace {

std::map<std::string, store::ResourcePtr> InvariantsOf(const store::View& view) {
  std::map<std::string, store::ResourcePtr> found;
  for (const std::string& kind : invariants::KindsOfInvariants()) {
    view.ForEach("", kind, [&](const store::ResourcePtr& stored) {
      found.emplace(stored->fqn, stored);
      return true;
    });
  }
  return found;
}

}  // namespace

bool InvariantWatch::IsDue(const store::StoredResource& stored, const std::pair<int64_t, uint64_t>& pushed) const {
  {
    MutexLock lock(mutex_);
    const auto known = seen_.find(stored.fqn);
    if (known == seen_.end() || known->second.etag != stored.etag || known->second.pushed != pushed) return true;
  }
  const auto invariant = invariants::Read(stored.kind, stored.fqn, stored.uid, stored.body);
  return invariant && invariants::AsksFacts(*invariant);  // Gateways say something new all the time.
}

void InvariantWatch::Judge(const store::StoredResource& stored, const std::pair<int64_t, uint64_t>& pushed) {
  const Result<v2::ResourceStatus> status = senses_.judge(stored.fqn);
  if (!status.ok() || status->state() == v2::ResourceStatus::ACCEPTED) return;  // Gone, or not pushed yet.
  const Verdict verdict = status->state() == v2::ResourceStatus::READY    ? Verdict::kHolds
                          : status->state() == v2::ResourceStatus::FAILED ? Verdict::kBroken
                                                                          : Verdict::kUnknown;
  Verdict before;
  {
    MutexLock lock(mutex_);
    Seen& seen = seen_[stored.fqn];
    before = seen.uid == stored.uid ? seen.verdict : Verdict::kNotYet;
    seen = {stored.etag, stored.uid, pushed, verdict};
  }
  if (verdict == Verdict::kBroken && before != Verdict::kBroken) {
    obs::Log(obs::Level::kError, "an Invariant does not hold",
             {{"invariant", stored.fqn}, {"message", status->message()}});
  } else if (before == Verdict::kBroken && verdict == Verdict::kHolds) {
    obs::Log(obs::Level::kInfo, "the Invariant holds again", {{"invariant", stored.fqn}});
  }
}

void InvariantWatch::Look() {
  const auto pushed = senses_.pushed();  // Before the view: what is pushed meanwhile is judged once more.
  const auto all = InvariantsOf(*store_.Read());
  {
    MutexLock lock(mutex_);
    std::erase_if(seen_, [&](const auto& entry) {
      const auto now = all.find(entry.first);
      return now == all.end() || now->second->uid != entry.second.uid;
    });
  }
  auto at = all.lower_bound(next_);
  size_t judged = 0;
  for (size_t i = 0; i < all.size() && judged < kMostAtOnce; ++i, ++at) {
    if (at == all.end()) at = all.begin();
    if (!IsDue(*at->second, pushed)) continue;
    Judge(*at->second, pushed);
    ++judged;
  }
  next_ = at == all.end() ? "" : at->first;
}

size_t InvariantWatch::broken() const {
  MutexLock lock(mutex_);
  return static_cast<size_t>(std::count_if(seen_.begin(), seen_.end(),
                                           [](const auto& entry) { return entry.second.verdict == Verdict::kBroken; }));
}

// Those that are broken first, should there be more than are shown.
void InvariantWatch::Render(std::string& out) const {
  MutexLock lock(mutex_);
  std::vector<const std::pair<const std::string, Seen>*> shown;
  for (const auto& entry : seen_) shown.push_back(&entry);
  std::stable_partition(shown.begin(), shown.end(),
                        [](const auto* entry) { return entry->second.verdict == Verdict::kBroken; });
  if (shown.size() > kMostShown) shown.resize(kMostShown);
  const auto family = [&](const char* name, const char* help, Verdict verdict) {
    obs::AppendFamily(out, name, "gauge", help);
    for (const auto* entry : shown)
      obs::AppendSample(out, name, {{"invariant", entry->first}}, entry->second.verdict == verdict ? 1 : 0);
  };
  family("weir_invariant_broken", "1 while the condition of the Invariant does not hold.", Verdict::kBroken);
  family("weir_invariant_unknown", "1 while no gateway is heard that could say whether it holds.", Verdict::kUnknown);
}

}  // namespace weir::server
