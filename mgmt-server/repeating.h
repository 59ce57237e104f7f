#pragma once

#include <functional>
#include <thread>
#include <utility>

#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/base/wait.h"

namespace weir::server {

// Runs `task` now and then until stopped.
class Repeating {
 public:
  void Start(const Clock& clock, Duration interval, std::function<void()> task) {
    thread_ = std::thread([this, &clock, interval, task = std::move(task)] {
      MutexLock lock(mutex_);
      while (!WaitFor(clock, wake_, mutex_, interval, [this]() WEIR_REQUIRES(mutex_) { return stopped_; })) task();
    });
  }
  void Stop() {
    {
      MutexLock lock(mutex_);
      stopped_ = true;
    }
    wake_.NotifyAll();
    if (thread_.joinable()) thread_.join();
  }
  ~Repeating() { Stop(); }

 private:
  Mutex mutex_;
  CondVar wake_;
  bool stopped_ WEIR_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace weir::server
