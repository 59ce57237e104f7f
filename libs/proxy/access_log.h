#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "libs/base/result.h"
#include "libs/net/loop.h"

namespace weir::proxy {

// What is remembered of a request for its line in the log; allocated only when the log is on.
struct LogEntry {
  std::string method, host, target, request_id, peer, identity;
  std::string cluster, endpoint, reason;
  std::string detail;      // Why an answer or a head could not be understood.
  std::string first_line;  // Of a head that could not be understood, at most 128 bytes.
  int status = 0;
  uint64_t bytes_in = 0, bytes_out = 0;
  uint64_t started_us = 0;
  bool retried = false;
};

// JSON lines, buffered per worker; written when 64 KiB are full or after a second.
class AccessLog : public net::Timer {
 public:
  static constexpr size_t kBuffer = 64 * 1024;
  static constexpr uint64_t kFlushMs = 1'000;

  ~AccessLog() override;
  // Path (appended), "-" = standard output, "" = off. FAILED_PRECONDITION ACCESS_LOG.
  Status Open(const std::string& path);
  bool on() const { return fd_ >= 0; }
  void Write(net::Loop& loop, const LogEntry& entry);
  void OnTimer() override { Flush(); }

 private:
  void Flush();
  int fd_ = -1;
  std::string buffer_;
};

uint64_t MonotonicUs(const Clock& clock);

}  // namespace weir::proxy
