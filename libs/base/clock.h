#pragma once

#include <atomic>
#include <chrono>
#include <string>

namespace weir {

using Duration = std::chrono::nanoseconds;
using MonoTime = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::system_clock::time_point;

// What the time is. Who reads it, waits or sets timers takes one, so that tests turn the hands themselves. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonoTime Now() const = 0;   // For intervals; never jumps.
  virtual WallTime Wall() const = 0;  // For certificates, audit and people; may jump.
  // How long a thread that waits for `left` of this clock may sleep before it looks at it again; at most `left`.
  virtual Duration MaxSleep(Duration left) const { return left; }
  static const Clock& Real();
};

// Stands still until a test moves it. Who waits by it notices within kPollInterval of real time (MaxSleep), so Advance
// needs to know nobody.
class ManualClock : public Clock {
 public:
  static constexpr Duration kPollInterval = std::chrono::milliseconds(1);

  MonoTime Now() const override { return MonoTime(MonoTime::duration(mono_.load())); }
  WallTime Wall() const override { return WallTime(WallTime::duration(wall_.load())); }
  Duration MaxSleep(Duration left) const override { return left < kPollInterval ? left : kPollInterval; }
  void Advance(Duration by) {
    mono_ += std::chrono::duration_cast<MonoTime::duration>(by).count();
    JumpWall(by);
  }
  void JumpWall(Duration by) { wall_ += std::chrono::duration_cast<WallTime::duration>(by).count(); }

 private:
  std::atomic<MonoTime::rep> mono_{MonoTime::duration(std::chrono::hours(1)).count()};
  std::atomic<WallTime::rep> wall_{WallTime::duration(std::chrono::seconds(1'700'000'000)).count()};
};

std::string Rfc3339(WallTime time);  // "2026-11-21T14:00:00.123Z"

}  // namespace weir
