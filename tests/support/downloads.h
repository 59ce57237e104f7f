#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "libs/base/mutex.h"
#include "libs/base/result.h"
#include "tests/support/load.h"

namespace weir::test {

struct DownloadOptions {
  std::vector<Target> targets;  // Connections are dealt out over them in turn.
  std::string host;             // Served by weir-demo-app, whose lines tell a whole body from any other.
  unsigned connections = 4;     // One thread each.
  uint64_t bytes = 0;           // Of each body.
  uint64_t served_rate = 0;     // Bytes a second that the app sends; 0 = all that is taken.
  uint64_t read_rate = 0;       // Bytes a second that we read, with a small buffer of the kernel; 0 = all that comes.
  bool once = false;            // One per connection; else one after the other.
};

struct Download {
  double begin = 0, end = 0;  // Seconds since the start of all.
  std::string backend;        // Who began the answer; "" = nobody.
  uint64_t bytes = 0;         // That came, all of them right.
  std::string error;          // Why it is not whole; "" = it is.
};

// Long answers in the background, each byte of them looked at.
class Downloads {
 public:
  explicit Downloads(DownloadOptions options);
  ~Downloads() { Abandon(); }

  // Until each connection has the head of an answer and some of its body.
  Status AllBegun(std::chrono::milliseconds deadline) const;
  uint64_t bytes() const { return bytes_; }  // Read by all together.
  // No new ones; returns when those under way have ended. All that were begun.
  std::vector<Download> Finish();
  // The same, but those under way are cut, and told as whole as long as nothing was wrong with them.
  std::vector<Download> Abandon();

 private:
  void Drive(unsigned number);
  Download One(const Target& target, std::atomic<bool>& begun) const;
  std::vector<Download> Join();
  double Now() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

  const DownloadOptions options_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::atomic<bool> stop_{false}, abandon_{false};
  mutable std::atomic<uint64_t> bytes_{0};
  Mutex mutex_;
  std::vector<Download> ended_ WEIR_GUARDED_BY(mutex_);
  std::vector<std::atomic<bool>> begun_;
  std::vector<std::thread> threads_;
};

}  // namespace weir::test
