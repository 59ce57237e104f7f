#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "libs/base/clock.h"
#include "libs/base/result.h"

namespace weir::net {

class Loop;

uint64_t MonoMs(const Clock& clock);  // As Loop::now_ms counts, from any thread.

// Receives what epoll says about one socket. Freed only through Loop::Retire, so events of the same turn find it alive.
class Watcher {
 public:
  virtual ~Watcher() = default;
  virtual void OnEvents(uint32_t epoll_events) = 0;
};

// Work put off to the end of the turn, so that handlers never run nested. At most once in the list.
class Deferred {
 public:
  virtual ~Deferred();
  virtual void OnDeferred() = 0;

 private:
  friend class Loop;
  Loop* queued_in_ = nullptr;
  size_t position_ = 0;
};

// One deadline. Coarse: it rings up to one tick (50 ms) late, never early. Moving it later costs nothing.
class Timer {
 public:
  virtual ~Timer();
  virtual void OnTimer() = 0;

 private:
  friend class Wheel;
  Timer* next_ = nullptr;
  Timer** link_ = nullptr;  // Where the pointer to this one stands; null = not set.
  uint64_t deadline_ms_ = 0;
  uint64_t slot_ms_ = 0;  // When the wheel looks at it next.
  class Wheel* wheel_ = nullptr;
};

// A hashed timer wheel: setting and clearing are O(1).
class Wheel {
 public:
  static constexpr uint64_t kTickMs = 50;
  static constexpr size_t kSlots = 1024;  // One round = 51.2 s; later deadlines wait for more rounds.

  explicit Wheel(uint64_t now_ms) : tick_(now_ms / kTickMs), slots_(kSlots, nullptr) {}
  void Set(Timer& timer, uint64_t deadline_ms);
  void Clear(Timer& timer);
  void Advance(uint64_t now_ms);  // Rings what is due.
  bool empty() const { return count_ == 0; }

 private:
  void Link(Timer& timer, uint64_t at_ms);
  void Unlink(Timer& timer);

  uint64_t tick_;
  size_t count_ = 0;
  std::vector<Timer*> slots_;
};

// What one thread of the data plane runs: an io_context(1) that waits on an own edge-triggered epoll set. Sockets are
// registered once for reading and writing; there is one receive buffer per thread, valid only within a handler.
// Everything but Post and Stop belongs to the thread that runs it.
class Loop {
 public:
  static constexpr size_t kBufferSize = 128 * 1024;
  static constexpr int kEventsPerTurn = 256;

  // `clock`: what timers and now_ms() go by; it outlives the loop.
  static Result<std::unique_ptr<Loop>> New(const Clock& clock);
  ~Loop();

  void Run();                             // Until Stop.
  void Stop();                            // Any thread.
  void Post(std::function<void()> work);  // Any thread; dropped after Stop. Timers that are due ring before it.

  // INTERNAL EPOLL when the kernel refuses.
  Status Add(int fd, Watcher* watcher);
  // Before a descriptor is closed whose socket lives on in another process: the set would keep watching it.
  void Remove(int fd);
  void Defer(Deferred& work);
  void Retire(std::unique_ptr<Watcher> watcher);  // Freed when the turn ends.

  uint64_t now_ms() const { return now_ms_; }  // Monotonic, read once per turn.
  const Clock& clock() const { return clock_; }
  Wheel& wheel() { return *wheel_; }
  void SetTimer(Timer& timer, uint64_t in_ms);

  char* buffer() { return buffer_.get(); }
  std::string& cipher() { return cipher_; }    // TLS records on their way out; empty between operations.
  std::string& scratch() { return scratch_; }  // Free for use within one handler.

 private:
  friend class Deferred;
  struct Host;  // The Asio side.
  explicit Loop(const Clock& clock);
  void ReadClock() { now_ms_ = MonoMs(clock_); }
  void Turn();
  void Tick();
  void RunDeferred();
  void FreeRetired();

  const Clock& clock_;
  std::unique_ptr<Host> host_;
  int epoll_ = -1;
  std::unique_ptr<char[]> buffer_;
  std::string cipher_;
  std::string scratch_;
  uint64_t now_ms_ = 0;
  std::unique_ptr<Wheel> wheel_;
  bool ticking_ = false;
  std::vector<Deferred*> deferred_;
  std::vector<std::unique_ptr<Watcher>> retired_;
};

}  // namespace weir::net
