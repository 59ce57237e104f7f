#pragma once

#include <google/protobuf/timestamp.pb.h>

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>

#include "libs/base/mutex.h"
#include "libs/base/result.h"
#include "mgmt-server/authn/principal.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/call.h"
#include "mgmt-server/services/in_work.h"
#include "mgmt-server/store/store.h"

namespace weir::services {

// Who may see what was; the rule stands in api/weir/v2/history.proto. Of one principal, on one state of the present.
// Remembers what it asked the disk. Not thread-safe.
class PastRights {
 public:
  PastRights(const store::Store& store, const authn::Principal& principal, store::ViewPtr now)
      : store_(store), principal_(principal), now_(std::move(now)) {}

  // `revision`: one at which the thing was there, of those that are kept. `right`: what the thing itself asks for; of
  // AccessBindings always set-policy. An error is one of the disk.
  Result<bool> May(authz::Right right, std::string_view fqn, std::string_view uid, int64_t revision);
  Result<bool> MayRead(const store::StoredResource& version) {
    return May(authz::Right::kRead, version.fqn, version.uid, version.revision);
  }
  // One resource in an earlier state, as the caller may see it: null when he may not, as when it was not there.
  Result<store::ResourcePtr> Seen(const store::View& then, const std::string& fqn);
  bool MayOnInstallation(authz::Right right) const;
  const store::View& now() const { return *now_; }
  // The same on the state of a transaction, before it changes anything; waits for no disk: what was not asked before,
  // of a name that changed hands in this moment, is denied.
  bool MayReadIn(const store::View& now, const store::StoredResource& version);

 private:
  // From `fqn`'s parent upwards the first that has been there since that revision; null = none.
  template <typename Last>
  Result<store::ResourcePtr> NearestSince(const store::View& now, std::string_view fqn, int64_t revision,
                                          Last last) const;
  Result<int64_t> LastOtherHolder(const store::StoredResource& holder);
  bool Has(const store::View& now, authz::Right right, const store::ResourcePtr& nearest, std::string_view fqn) const;

  const store::Store& store_;
  const authn::Principal principal_;
  const store::ViewPtr now_;
  std::map<std::string, int64_t, std::less<>> other_holders_;  // Of uids that are there now; store::LastOtherHolder.
};

// Earlier states. To read one costs the disk and memory, so it is bounded: of one principal two are read at once, of
// all sixteen, and the last of them are kept, four of one principal at most. Thread-safe.
class Past {
 public:
  static constexpr size_t kReadsOfOne = 2, kReads = 16;
  static constexpr size_t kKeptOfOne = 4, kKept = 16;

  explicit Past(const store::Store& store) : store_(store) {}

  // A turn at reading far back, given back with its last copy: PastRights asks the disk too, so it is held until the
  // last of them is asked. RESOURCE_EXHAUSTED PAST_IN_WORK, with call.retry_after.
  using Turn = std::shared_ptr<const void>;
  Result<Turn> TakeTurn(CallContext& call);

  // The revision that a request names by number or time; neither: the present one. INVALID_ARGUMENT INVALID_REQUEST
  // (both, or out of range; `field` is the name before "Revision" and "Time"), OUT_OF_RANGE REVISION_UNKNOWN.
  Result<int64_t> Resolve(const std::string& field, int64_t revision, bool has_time,
                          const google::protobuf::Timestamp& time) const;
  // Resources as they were, for who asks PastRights of each. OUT_OF_RANGE REVISION_UNKNOWN. `turn`: proof of one.
  Result<store::ViewPtr> ViewAt(const CallContext& call, const Turn& turn, int64_t revision);

  size_t kept() const;

 private:
  struct Kept {
    int64_t revision;
    std::string principal;
    store::ViewPtr view;
  };
  store::ViewPtr Find(int64_t revision);
  void Keep(Kept kept);

  const store::Store& store_;
  InWork reading_{kReadsOfOne, kReads};
  mutable Mutex mutex_;
  std::list<Kept> kept_ WEIR_GUARDED_BY(mutex_);  // The last used first.
};

}  // namespace weir::services
