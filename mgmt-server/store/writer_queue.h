#pragma once

#include <functional>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

#include "libs/base/fair_pool.h"
#include "libs/base/mutex.h"
#include "libs/base/result.h"
#include "mgmt-server/store/turns.h"

namespace weir::store {

class Txn;

// Who writes next, and with whom. A caller who finds nobody writing leads: he writes on his own thread for all who
// wait, so that a single writer wakes nobody. While he syncs the next gather; one of them leads after him. Whose turn
// it is goes by the owner of the caller's thread (FairPool). Thread-safe.
class WriterQueue {
 public:
  struct Call {
    const std::function<Status(Txn&)>* fn;
    bool dry_run;
    Status status;
    const std::string owner = FairPool::OwnerOfThisThread();
    bool changed = false;
    bool leads = false;  // Woken to lead the next group, not because it is answered.
    std::binary_semaphore done{0};
  };
  // Answers the calls of a group, the leader's first. Those whom it has no time for it takes out of the group and
  // returns, in their order: they come next. One group at a time.
  using RunGroup = std::function<std::vector<Call*>(std::vector<Call*>& group)>;

  // `waits`: called by each caller that waits, once it has its place; may be empty.
  WriterQueue(size_t max_group, std::function<void()> waits, RunGroup run)
      : max_group_(max_group), waits_(std::move(waits)), run_(std::move(run)) {}

  // INTERNAL NESTED_WRITE from inside a write; UNAVAILABLE STORE_CLOSED.
  Status Run(const std::function<Status(Txn&)>& fn, bool dry_run);
  // Refuses new calls and waits until all are answered.
  void Close();

 private:
  void Lead(Call& own);

  const size_t max_group_;
  const std::function<void()> waits_;
  const RunGroup run_;
  Mutex mutex_;
  CondVar empty_;
  Turns<Call*> turns_ WEIR_GUARDED_BY(mutex_);
  bool led_ WEIR_GUARDED_BY(mutex_) = false;        // Somebody leads, or was just told to.
  std::thread::id leader_ WEIR_GUARDED_BY(mutex_);  // While it writes.
  bool closed_ WEIR_GUARDED_BY(mutex_) = false;
};

}  // namespace weir::store
