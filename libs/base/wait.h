#pragma once

#include "libs/base/clock.h"
#include "libs/base/mutex.h"

namespace weir {

// Waits on `wake` until `ready` holds or `clock` shows `deadline`; says whether `ready` holds. `mutex` is held at both
// ends and whenever `ready` is called. Where this is used no condition variable is given a time of its own, so that a
// test's clock is obeyed.
template <typename Ready>
bool WaitUntil(const Clock& clock, CondVar& wake, Mutex& mutex, MonoTime deadline, const Ready& ready)
    // The analysis does not see that the mutex that `ready` requires is this one.
    WEIR_REQUIRES(mutex) WEIR_NO_THREAD_SAFETY_ANALYSIS {
  constexpr Duration kLongest = std::chrono::hours(1);  // A deadline may be the end of time.
  while (!ready()) {
    const MonoTime now = clock.Now();
    if (now >= deadline) return false;
    const Duration left = deadline - now < kLongest ? Duration(deadline - now) : kLongest;
    wake.WaitRealTime(mutex, clock.MaxSleep(left));
  }
  return true;
}

// The same for a time from now.
template <typename Ready>
bool WaitFor(const Clock& clock, CondVar& wake, Mutex& mutex, Duration time, const Ready& ready) WEIR_REQUIRES(mutex) {
  return WaitUntil(clock, wake, mutex, clock.Now() + std::chrono::duration_cast<MonoTime::duration>(time), ready);
}

}  // namespace weir
