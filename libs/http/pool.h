#pragma once

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "libs/base/mutex.h"

namespace weir::http {

// Threads for handlers that block: started on demand up to `threads`, fed from a bounded queue. Of the idle ones the
// last that worked works next: its memory is warm, and what more threads than needed have touched is left alone.
class Pool {
 public:
  Pool(int threads, size_t queue_limit);
  ~Pool();  // Stop().

  bool Post(std::function<void()> task);  // False when the queue is full or the pool stops.
  void Stop();                            // Runs what is queued, then joins.

 private:
  struct Sleeper {
    CondVar wake;
    std::function<void()> task;
  };
  void Run();

  const size_t thread_limit_;
  const size_t queue_limit_;
  Mutex mutex_;
  std::deque<std::function<void()>> queue_ WEIR_GUARDED_BY(mutex_);  // Only while nobody is idle.
  std::vector<Sleeper*> idle_ WEIR_GUARDED_BY(mutex_);
  bool stopping_ WEIR_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_ WEIR_GUARDED_BY(mutex_);
};

}  // namespace weir::http
