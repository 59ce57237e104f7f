#pragma once

#include <condition_variable>
#include <mutex>

#include "libs/base/clock.h"

namespace weir {

// Waits on `wake` until `ready` holds or `clock` shows `deadline`; says whether `ready` holds. `lock` is held at both
// ends and whenever `ready` is called. Where this is used no condition variable is given a time of its own, so that a
// test's clock is obeyed.
template <typename Ready>
bool WaitUntil(const Clock& clock, std::condition_variable& wake, std::unique_lock<std::mutex>& lock, MonoTime deadline,
               const Ready& ready) {
  constexpr Duration kLongest = std::chrono::hours(1);  // A deadline may be the end of time.
  while (!ready()) {
    const MonoTime now = clock.Now();
    if (now >= deadline) return false;
    const Duration left = deadline - now < kLongest ? Duration(deadline - now) : kLongest;
    wake.wait_for(lock, clock.Nap(left));
  }
  return true;
}

// The same for a time from now.
template <typename Ready>
bool WaitFor(const Clock& clock, std::condition_variable& wake, std::unique_lock<std::mutex>& lock, Duration time,
             const Ready& ready) {
  return WaitUntil(clock, wake, lock, clock.Now() + std::chrono::duration_cast<MonoTime::duration>(time), ready);
}

}  // namespace weir
