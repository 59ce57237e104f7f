#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "libs/base/mutex.h"

namespace weir {

// Threads for work that blocks, and a bounded queue before them, shared so that nobody's work keeps another's out. Of
// the threads, and of the places in the queue, one owner may have three quarters of what the others leave, and one at
// least; owners who wait are served in turn. Threads are started on demand. Of the idle ones the last that worked works
// next: its memory is warm, and what more threads than needed have touched is left alone. Thread-safe.
class FairPool {
 public:
  FairPool(size_t threads, size_t queue_limit);  // At least one thread.
  ~FairPool();                                   // Stop().
  FairPool(const FairPool&) = delete;
  FairPool& operator=(const FairPool&) = delete;

  // `owner`: whose work this is, a principal or a source of connections. False when the queue is full or the owner has
  // its share of it, or the pool stops: shed the load.
  bool Post(const std::string& owner, std::function<void()> work);
  // Whose work this thread does just now; "" = it is of no pool. For who shares out what is scarce behind the pool.
  static std::string OwnerOfThisThread();
  // Runs what is queued, then joins. Not from a thread of the pool. Idempotent.
  void Stop();

 private:
  struct Owner {
    std::deque<std::function<void()>> queue;
    size_t running = 0;
  };
  using Owners = std::map<std::string, Owner>;
  struct Task {
    std::function<void()> work;
    Owners::iterator owner;
  };
  struct Sleeper {
    CondVar wake;
    std::unique_ptr<Task> task;
  };

  static size_t Share(size_t all, size_t of_others);
  std::unique_ptr<Task> Next() WEIR_REQUIRES(mutex_);  // Null: nobody who waits may have a thread now.
  void Dispatch() WEIR_REQUIRES(mutex_);               // Gives work to threads as long as there are both.
  void Finished(Owners::iterator owner) WEIR_REQUIRES(mutex_);
  void Run(std::unique_ptr<Task> first);

  const size_t thread_limit_;
  const size_t queue_limit_;
  Mutex mutex_;
  Owners owners_ WEIR_GUARDED_BY(mutex_);                       // Who waits or runs.
  std::deque<Owners::iterator> turns_ WEIR_GUARDED_BY(mutex_);  // Who waits; the first is served next.
  size_t waiting_ WEIR_GUARDED_BY(mutex_) = 0;
  size_t running_ WEIR_GUARDED_BY(mutex_) = 0;
  std::vector<Sleeper*> idle_ WEIR_GUARDED_BY(mutex_);
  bool stopping_ WEIR_GUARDED_BY(mutex_) = false;
  size_t started_ WEIR_GUARDED_BY(mutex_) = 0;
  std::vector<std::thread> threads_ WEIR_GUARDED_BY(mutex_);
};

}  // namespace weir
