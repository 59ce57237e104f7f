#pragma once

#include <chrono>
#include <thread>

#include "libs/base/clock.h"

namespace weir {

// Whether `holds` comes true within `patience`, which is real time, whatever clock the tested code goes by: how long a
// broken test may take, never how long a good one does. Nothing else in a test sleeps (tests/layering/time.py).
template <typename Condition>
bool Eventually(const Condition& holds, Duration patience = std::chrono::seconds(20)) {
  const MonoTime end = Clock::Real().Now() + std::chrono::duration_cast<MonoTime::duration>(patience);
  while (!holds()) {
    if (Clock::Real().Now() >= end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

// Measures how long something really took; only for what must not be quicker, for nothing bounds how slow a machine is.
class Stopwatch {
 public:
  Duration Elapsed() const { return Clock::Real().Now() - begun_; }

 private:
  const MonoTime begun_ = Clock::Real().Now();
};

// Gives `clock` the present wall time, by which gRPC judges certificates and the file system dates files, whatever
// clock the tested code goes by.
inline void SetToPresent(ManualClock& clock) { clock.JumpWall(Clock::Real().Wall() - clock.Wall()); }

}  // namespace weir
