#pragma once

#include <condition_variable>
#include <mutex>

#include "libs/base/clock.h"

// Which lock guards what, for clang's -Wthread-safety to hold us to (every build by clang); nothing to other compilers.
#if defined(__clang__)
#define WEIR_THREAD_SAFETY(x) __attribute__((x))
#else
#define WEIR_THREAD_SAFETY(x)
#endif

// Of a member: it is touched only under this lock.
#define WEIR_GUARDED_BY(mutex) WEIR_THREAD_SAFETY(guarded_by(mutex))
// Of a function or lambda: who calls it holds the lock, before and after.
#define WEIR_REQUIRES(...) WEIR_THREAD_SAFETY(requires_capability(__VA_ARGS__))
// Of a function whose locks the analysis cannot follow; the reason stands beside it.
#define WEIR_NO_THREAD_SAFETY_ANALYSIS WEIR_THREAD_SAFETY(no_thread_safety_analysis)

namespace weir {

// std::mutex, known to the analysis; libstdc++'s own is not.
class WEIR_THREAD_SAFETY(capability("mutex")) Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  // Only for a function that WEIR_REQUIRES the lock and lets go of it for a while; all others take a MutexLock.
  void Lock() WEIR_THREAD_SAFETY(acquire_capability()) { mutex_.lock(); }
  void Unlock() WEIR_THREAD_SAFETY(release_capability()) { mutex_.unlock(); }

 private:
  friend class CondVar;

  std::mutex mutex_;
};

// Holds a mutex to the end of the scope; may let go of it between.
class WEIR_THREAD_SAFETY(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) WEIR_THREAD_SAFETY(acquire_capability(mutex)) : mutex_(mutex) { mutex_.Lock(); }
  ~MutexLock() WEIR_THREAD_SAFETY(release_capability()) {
    if (held_) mutex_.Unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  void Lock() WEIR_THREAD_SAFETY(acquire_capability()) {
    mutex_.Lock();
    held_ = true;
  }
  void Unlock() WEIR_THREAD_SAFETY(release_capability()) {
    held_ = false;
    mutex_.Unlock();
  }

 private:
  Mutex& mutex_;
  bool held_ = true;
};

// std::condition_variable with a Mutex. `ready` is called with the mutex held: a lambda that reads guarded members is
// written `[this]() WEIR_REQUIRES(mutex_) { return stopped_; }`.
class CondVar {
 public:
  template <typename Ready>
  void Wait(Mutex& mutex, const Ready& ready) WEIR_REQUIRES(mutex) {
    std::unique_lock lock(mutex.mutex_, std::adopt_lock);
    wake_.wait(lock, ready);
    lock.release();  // Held on: whoever called took it.
  }

  // Wakes, for any reason or none, after `time` of real time at the latest; libs/base/wait.h waits by a Clock.
  void WaitRealTime(Mutex& mutex, Duration time) WEIR_REQUIRES(mutex) {
    std::unique_lock lock(mutex.mutex_, std::adopt_lock);
    wake_.wait_for(lock, time);
    lock.release();
  }

  // Says whether `ready` holds, after `time` of real time at the latest.
  template <typename Ready>
  bool WaitRealTime(Mutex& mutex, Duration time, const Ready& ready) WEIR_REQUIRES(mutex) {
    std::unique_lock lock(mutex.mutex_, std::adopt_lock);
    const bool is_ready = wake_.wait_for(lock, time, ready);
    lock.release();
    return is_ready;
  }

  void NotifyOne() { wake_.notify_one(); }
  void NotifyAll() { wake_.notify_all(); }

 private:
  std::condition_variable wake_;
};

}  // namespace weir
