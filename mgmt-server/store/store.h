#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "libs/base/result.h"
#include "mgmt-server/store/records.h"
#include "mgmt-server/store/txn.h"
#include "mgmt-server/store/view.h"

namespace weir::store {

// Ends the subscription when destroyed; waits for a callback that is running (unless destroyed by it).
class Subscription {
 public:
  virtual ~Subscription() = default;
};

struct AuditQuery {
  int64_t after = 0;    // Records with a sequence above this.
  size_t limit = 1000;  // 1 to 10000.
};

// What one revision did to one resource.
struct Change {
  int64_t place = 0;  // Among all changes: the newer, the higher.
  int64_t revision = 0;
  std::string kind;
  std::string fqn;
  std::string uid;
  std::string etag;
  bool created = false;
  bool deleted = false;
};
struct ChangesQuery {
  int64_t revisions_below = INT64_MAX >> 20;
  int64_t below = INT64_MAX;  // Change::place.
  size_t limit = 1000;
};

// The only truth of the server. Writes are serial; reads are a pointer. Safe from every thread.
class Store {
 public:
  virtual ~Store() = default;

  // Runs `fn(Txn&) -> Result<T>` on the state it changes, together with other callers in one transaction, each with its
  // own savepoint, and answers after COMMIT. An error of `fn` takes back what it did and is returned. UNAVAILABLE
  // COMMIT_FAILED: nothing was stored, of nobody in this group, and no crash brings it back; memory is what is stored.
  // UNKNOWN COMMIT_UNKNOWN: the disk does not say whether it was stored. UNAVAILABLE STORE_GONE: the files were taken
  // away while the store was open; it acknowledges nothing more. UNAVAILABLE STORE_CLOSED.
  // Must not be called from inside `fn` (INTERNAL NESTED_WRITE) nor wait for a subscription.
  template <typename Fn>
  std::invoke_result_t<Fn, Txn&> Write(Fn&& fn) {
    return Run(std::forward<Fn>(fn), false);
  }

  // The same, but takes back everything in the end: what would Write answer?
  template <typename Fn>
  std::invoke_result_t<Fn, Txn&> DryRun(Fn&& fn) {
    return Run(std::forward<Fn>(fn), true);
  }

  // Why nothing was stored when last something was to be; a write that is stored ends it.
  virtual Status LastWrite() const = 0;

  // The state after the newest commit. Includes every write that was answered before the call.
  virtual ViewPtr Read() const = 0;

  // Resources (only) as they were at a revision. OUT_OF_RANGE REVISION_UNKNOWN: not there yet, or older than what is
  // kept (View::history_floor). Reads the disk, the more the longer ago it was.
  virtual Result<ViewPtr> ReadAt(int64_t revision) const = 0;
  // The same with the permission graph of that moment, under the installation's roles of today. Costs more the more is
  // stored.
  virtual Result<ViewPtr> StateAt(int64_t revision) const = 0;
  // xds::Position::mark of an earlier revision. NOT_FOUND REVISION_UNKNOWN: no write of this history has that number.
  // Reads the disk.
  virtual Result<std::string> MarkOf(int64_t revision) const = 0;
  // Every version of a name below a revision, without body and owners, newest first, deletions included; of all uids
  // the name ever had, as far as they are kept: the last is of the oldest state. Reads the disk.
  virtual Result<std::vector<ResourcePtr>> History(std::string_view fqn, size_t limit = 100,
                                                   int64_t below = INT64_MAX >> 20) const = 0;
  // What was changed in whole since the oldest state that is kept, newest first, without bodies. Reads the disk.
  virtual Result<std::vector<Change>> Changes(const ChangesQuery& query) const = 0;
  // OUT_OF_RANGE REVISION_UNKNOWN. Reads the disk.
  virtual Result<Revision> GetRevision(int64_t number) const = 0;
  // The last revision that was not later than this; 0 = none. OUT_OF_RANGE REVISION_UNKNOWN. Reads the disk.
  virtual Result<int64_t> RevisionAt(WallTime time) const = 0;
  // The last revision with no more than so many changes after it; 0 when there are no more at all. Reads the disk.
  virtual Result<int64_t> FloorOf(int64_t changes) const = 0;
  // The last revision at which a name was somebody else's than this uid's, or became nobody's; 0 = never, within what
  // is kept. Whatever is kept of a later one below that name was below this uid. Reads the disk.
  virtual Result<int64_t> LastOtherHolder(std::string_view fqn, std::string_view uid) const = 0;
  // What was answered to the write with that idempotency key. NOT_FOUND KEY_UNKNOWN. Reads the disk.
  virtual Result<std::string> KeptAnswer(std::string_view principal_uid, std::string_view key) const = 0;
  // In sequence order. Reads the disk.
  virtual Result<std::vector<AuditRow>> Audit(const AuditQuery& query) const = 0;
  // The last of the oldest records that are not later than this; 0 = none. Reads the disk.
  virtual Result<int64_t> AuditUntil(WallTime time) const = 0;
  // Newest first, with a sequence below this. Reads the disk.
  virtual Result<std::vector<AuditRow>> AuditBefore(int64_t before, size_t limit) const = 0;

  // How many of the last revisions' events still have their state (ChangeEvent::state).
  static constexpr size_t kStates = 256;
  // Calls back after COMMIT, in order and without a gap, for every revision above `after`; on a thread of the
  // subscription, so a slow subscriber delays nobody else. Read() in the callback is at least at that revision.
  virtual std::unique_ptr<Subscription> Subscribe(int64_t after, std::function<void(const ChangeEvent&)> callback) = 0;
  // The same for facts. When events since `after` are no longer known the first event says resync.
  virtual std::unique_ptr<Subscription> SubscribeFacts(uint64_t after,
                                                       std::function<void(const FactsEvent&)> callback) = 0;

 protected:
  virtual Status Commit(const std::function<Status(Txn&)>& fn, bool dry_run) = 0;

 private:
  template <typename Fn>
  std::invoke_result_t<Fn, Txn&> Run(Fn&& fn, bool dry_run) {
    std::optional<std::invoke_result_t<Fn, Txn&>> result;
    Status committed = Commit(
        [&](Txn& txn) -> Status {
          result.emplace(fn(txn));
          if (!result->ok()) return result->error();
          return {};
        },
        dry_run);
    if (!committed.ok()) return std::move(committed).error();
    return std::move(*result);
  }
};

}  // namespace weir::store
