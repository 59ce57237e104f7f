#pragma once

#include <chrono>
#include <string>

namespace weir {

using Duration = std::chrono::nanoseconds;
using MonoTime = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::system_clock::time_point;

// Every timer and expiry takes one, so that tests turn the hands themselves.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonoTime Now() const = 0;   // For intervals; never jumps.
  virtual WallTime Wall() const = 0;  // For certificates, audit and people; may jump.
  static const Clock& Real();
};

// Stands still until a test moves it. Not thread-safe.
class ManualClock : public Clock {
 public:
  MonoTime Now() const override { return now_; }
  WallTime Wall() const override { return wall_; }
  void Advance(Duration by) {
    now_ += std::chrono::duration_cast<MonoTime::duration>(by);
    wall_ += std::chrono::duration_cast<WallTime::duration>(by);
  }
  void JumpWall(Duration by) { wall_ += std::chrono::duration_cast<WallTime::duration>(by); }

 private:
  MonoTime now_{std::chrono::hours(1)};
  WallTime wall_{std::chrono::seconds(1'700'000'000)};
};

std::string Rfc3339(WallTime time);  // "2026-11-21T14:00:00.123Z"

}  // namespace weir
