#include "mgmt-server/services/past.h"

#include <algorithm>

#include "libs/resource/kinds.h"
#include "libs/rpc/time.h"

namespace weir::services {

bool PastRights::MayOnInstallation(authz::Right right) const {
  return authz::Authorize(*now_, principal_, right, "").ok();
}

template <typename Last>
Result<store::ResourcePtr> PastRights::NearestSince(const store::View& now, std::string_view fqn, int64_t revision,
                                                    Last last) const {
  for (std::string above = resource::ParentFqn(fqn); !above.empty(); above = resource::ParentFqn(above)) {
    store::ResourcePtr there = now.Get(above);
    if (there == nullptr) continue;
    WEIR_ASSIGN(const int64_t other, last(*there));
    // Whoever has the name now has had it since then only: what is older was below somebody else.
    if (other < revision) return there;
  }
  return store::ResourcePtr();
}

Result<int64_t> PastRights::LastOtherHolder(const store::StoredResource& holder) {
  const auto known = other_holders_.find(holder.uid);
  if (known != other_holders_.end()) return known->second;
  WEIR_ASSIGN(const int64_t last, store_.LastOtherHolder(holder.fqn, holder.uid));
  other_holders_.emplace(holder.uid, last);
  return last;
}

// `fqn` of what it is about: a role may be about some kinds only, and what is gone had another than what it lay in.
bool PastRights::Has(const store::View& now, authz::Right right, const store::ResourcePtr& nearest,
                     std::string_view fqn) const {
  if (nearest == nullptr) return authz::Authorize(now, principal_, right, "").ok();
  const std::string owner = resource::IsAccessBindings(fqn) ? resource::ParentFqn(fqn) : std::string(fqn);
  const auto subject = resource::ParseFqn(owner);
  return subject.ok() && authz::AllowedOn(now, principal_, right, subject->kind, *nearest);
}

Result<bool> PastRights::May(authz::Right right, std::string_view fqn, std::string_view uid, int64_t revision) {
  if (resource::IsAccessBindings(fqn)) right = authz::Right::kSetPolicy;
  if (const store::ResourcePtr same = now_->GetByUid(uid)) return authz::Allowed(*now_, principal_, right, *same);
  WEIR_ASSIGN(const store::ResourcePtr nearest,
              NearestSince(*now_, fqn, revision, [this](const auto& holder) { return LastOtherHolder(holder); }));
  return Has(*now_, right, nearest, fqn);
}

bool PastRights::MayReadIn(const store::View& now, const store::StoredResource& version) {
  const auto right = resource::IsAccessBindings(version.fqn) ? authz::Right::kSetPolicy : authz::Right::kRead;
  if (const store::ResourcePtr same = now.GetByUid(version.uid)) return authz::Allowed(now, principal_, right, *same);
  const auto nearest =
      NearestSince(now, version.fqn, version.revision, [this](const store::StoredResource& holder) -> Result<int64_t> {
        const auto known = other_holders_.find(holder.uid);
        return known == other_holders_.end() ? INT64_MAX : known->second;
      });
  return nearest.ok() && Has(now, right, *nearest, version.fqn);
}

Result<store::ResourcePtr> PastRights::Seen(const store::View& then, const std::string& fqn) {
  store::ResourcePtr version = then.Get(fqn);
  if (version == nullptr) return version;
  WEIR_ASSIGN(const bool may, MayRead(*version));
  return may ? version : nullptr;
}

Result<Past::Turn> Past::TakeTurn(CallContext& call) {
  Turn turn = reading_.Take(call.principal.uid, 1);
  if (turn != nullptr) return turn;
  call.retry_after = std::chrono::seconds(1);
  return ResourceExhausted("PAST_IN_WORK",
                           "earlier states are being read: {} of yours at once, {} of all; try again when they are",
                           kReadsOfOne, kReads);
}

Result<int64_t> Past::Resolve(const std::string& field, int64_t revision, bool has_time,
                              const google::protobuf::Timestamp& time) const {
  Error error = InvalidArgument("INVALID_REQUEST", "which state is meant?");
  if (revision < 0) {
    error.violations.push_back({.field = field + "Revision", .description = "must be the number of a revision"});
  }
  if (revision != 0 && has_time) {
    error.violations.push_back({.field = field + "Time", .description = "either a revision or a time, not both"});
  }
  const bool far = time.seconds() < -62135596800 || time.seconds() > 253402300799 || time.nanos() < 0;
  if (has_time && far) error.violations.push_back({.field = field + "Time", .description = "must be a time"});
  if (!error.violations.empty()) return error;
  if (revision != 0) return revision;
  return has_time ? store_.RevisionAt(rpc::FromTimestamp(time)) : store_.Read()->revision();
}

store::ViewPtr Past::Find(int64_t revision) {
  const int64_t floor = store_.Read()->history_floor();
  MutexLock lock(mutex_);
  kept_.remove_if([&](const Kept& kept) { return kept.revision < floor; });
  const auto found =
      std::find_if(kept_.begin(), kept_.end(), [&](const Kept& kept) { return kept.revision == revision; });
  if (found == kept_.end()) return nullptr;
  kept_.splice(kept_.begin(), kept_, found);
  return found->view;
}

void Past::Keep(Kept kept) {
  MutexLock lock(mutex_);
  const std::string principal = kept.principal;
  kept_.push_front(std::move(kept));
  const auto of_one =
      std::count_if(kept_.begin(), kept_.end(), [&](const Kept& other) { return other.principal == principal; });
  if (static_cast<size_t>(of_one) > kKeptOfOne) {
    const auto oldest =
        std::find_if(kept_.rbegin(), kept_.rend(), [&](const Kept& other) { return other.principal == principal; });
    kept_.erase(std::next(oldest).base());
  }
  if (kept_.size() > kKept) kept_.pop_back();
}

Result<store::ViewPtr> Past::ViewAt(const CallContext& call, const Turn&, int64_t revision) {
  const store::ViewPtr now = store_.Read();
  if (revision == now->revision()) return now;
  if (store::ViewPtr known = Find(revision)) return known;
  WEIR_ASSIGN(store::ViewPtr view, store_.ReadAt(revision));
  Keep({revision, call.principal.uid, view});
  return view;
}

size_t Past::kept() const {
  MutexLock lock(mutex_);
  return kept_.size();
}

}  // namespace weir::services
