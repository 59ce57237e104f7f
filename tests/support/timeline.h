#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "libs/base/mutex.h"
#include "tests/support/load.h"

namespace weir::test {

// One request of a load. Seconds count from the start of the load.
struct Sample {
  double begin = 0;  // When it was sent; in an open loop when it was due.
  double end = 0;
  int status = 0;  // 0 = no answer.
  std::string backend;
  std::string error;  // Why it failed; "" = it did not.
  std::string id;     // Of LoadOptions::ids; may be "".

  bool failed() const { return !error.empty(); }
};

// What happened in a span of time, by when requests ended.
struct Span {
  uint64_t requests = 0;
  uint64_t failed = 0;
  std::map<std::string, uint64_t> by_backend;  // Of those that succeeded.
  double slowest = 0;                          // Seconds.
  std::map<std::string, uint64_t> errors;

  double Share(const std::string& backend) const;
  double Success() const { return requests == 0 ? 1 : 1 - static_cast<double>(failed) / static_cast<double>(requests); }
  // "1200 requests, 3 failed: status 503 (no_cluster_can_serve) x 3; slowest 0.42 s; c1 900, c2 297"
  std::string ToString() const;
};

// All requests of a load, readable while it runs. Thread-safe.
class Timeline {
 public:
  double Now() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }
  std::chrono::steady_clock::time_point start() const { return start_; }
  void Add(Sample sample);

  static constexpr double kEnd = 1e9;
  Span Between(double from, double to = kEnd) const;
  std::vector<Sample> Samples() const;  // All so far.
  // When the last request that failed and ended after `from` ended; unset = none failed.
  std::optional<double> LastFailure(double from) const;
  // End of the first window of `window` seconds that begins at or after `from` and in which every share is within
  // `tolerance` of what is wanted, over at least `least` requests; unset = there is none yet.
  std::optional<double> SharesReached(const std::map<std::string, double>& wanted, double from, double tolerance = 0.02,
                                      double window = 2, uint64_t least = 50) const;

 private:
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  mutable Mutex mutex_;
  std::vector<Sample> samples_ WEIR_GUARDED_BY(mutex_);  // By end, nearly: as they arrived.
};

// A load in the background, until it is stopped.
class Traffic {
 public:
  explicit Traffic(LoadOptions options);  // `requests`, `stop` and `timeline` are set here.
  ~Traffic() { Stop(); }
  const Timeline& timeline() const { return timeline_; }
  double Now() const { return timeline_.Now(); }
  void Stop();  // Returns when all requests are answered.
  // Lets it run until `seconds` after its start.
  void RunUntil(double seconds) const;
  void RunFor(double seconds) const { RunUntil(Now() + seconds); }

 private:
  Timeline timeline_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace weir::test
