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

  // Resources (only) as they were at a revision. OUT_OF_RANGE REVISION_UNKNOWN. Reads the disk.
  virtual Result<ViewPtr> ReadAt(int64_t revision) const = 0;
  // xds::Position::mark of an earlier revision. NOT_FOUND REVISION_UNKNOWN: no write of this history has that number.
  // Reads the disk.
  virtual Result<std::string> MarkOf(int64_t revision) const = 0;
  // Every version of a name, newest first, deletions included; of all uids the name ever had. Reads the disk.
  virtual Result<std::vector<ResourcePtr>> History(std::string_view fqn, size_t limit = 100) const = 0;
  // In sequence order. Reads the disk.
  virtual Result<std::vector<AuditRow>> Audit(const AuditQuery& query) const = 0;

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
