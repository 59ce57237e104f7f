#include "mgmt-server/store/writer_queue.h"

namespace weir::store {

Status WriterQueue::Run(const std::function<Status(Txn&)>& fn, bool dry_run) {
  Call call{&fn, dry_run, {}};
  {
    MutexLock lock(mutex_);
    if (leader_ == std::this_thread::get_id()) return Internal("NESTED_WRITE", "a write was started inside a write");
    if (closed_) return Unavailable("STORE_CLOSED", "the server is stopping");
    if (led_) {
      turns_.Add(call.owner, &call);
      lock.Unlock();
      if (waits_) waits_();
      call.done.acquire();
      if (!call.leads) return std::move(call.status);
    } else {
      led_ = true;
    }
  }
  Lead(call);
  return std::move(call.status);
}

void WriterQueue::Lead(Call& own) {
  std::vector<Call*> group = {&own};
  {
    MutexLock lock(mutex_);
    leader_ = std::this_thread::get_id();
    while (!turns_.empty() && group.size() < max_group_) group.push_back(turns_.Take().second);
  }
  const std::vector<Call*> late = run_(group);
  {
    MutexLock lock(mutex_);
    leader_ = {};
    for (auto call = late.rbegin(); call != late.rend(); ++call) turns_.PutBack((*call)->owner, *call);
    led_ = !turns_.empty();
    if (led_) {
      Call* next = turns_.Take().second;
      next->leads = true;
      next->done.release();
    } else if (closed_) {
      empty_.NotifyAll();  // The store may be gone after this; only the calls are touched from here on.
    }
  }
  for (size_t i = 1; i < group.size(); ++i) group[i]->done.release();
}

void WriterQueue::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
  empty_.Wait(mutex_, [this]() WEIR_REQUIRES(mutex_) { return !led_; });
}

}  // namespace weir::store
