#include "libs/proxy/access_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "libs/obs/json.h"

namespace weir::proxy {

uint64_t MonotonicUs(const Clock& clock) {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(clock.Now().time_since_epoch()).count());
}

AccessLog::~AccessLog() {
  Flush();
  if (fd_ > STDERR_FILENO) close(fd_);
}

Status AccessLog::Open(const std::string& path) {
  if (path.empty()) return {};
  fd_ = path == "-" ? STDOUT_FILENO : open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
  if (fd_ < 0) return FailedPrecondition("ACCESS_LOG", "cannot open the access log {}: {}", path, strerror(errno));
  return {};
}

void AccessLog::Write(net::Loop& loop, const LogEntry& entry) {
  const auto text = [this](std::string_view key, std::string_view value) {
    if (value.empty()) return;
    buffer_ += ",\"";
    buffer_ += key;
    buffer_ += "\":";
    obs::AppendJsonString(buffer_, value);
  };
  buffer_ += "{\"time\":\"";
  buffer_ += Rfc3339(loop.clock().Wall());
  buffer_ += '"';
  text("method", entry.method);
  text("host", entry.host);
  text("path", entry.target);
  fmt::format_to(std::back_inserter(buffer_), ",\"status\":{},\"durationUs\":{},\"bytesIn\":{},\"bytesOut\":{}",
                 entry.status, MonotonicUs(loop.clock()) - entry.started_us, entry.bytes_in, entry.bytes_out);
  text("cluster", entry.cluster);
  text("endpoint", entry.endpoint);
  text("reason", entry.reason);
  text("detail", entry.detail);
  text("firstLine", entry.first_line);
  text("requestId", entry.request_id);
  text("peer", entry.peer);
  text("identity", entry.identity);
  if (entry.retried) buffer_ += ",\"retried\":true";
  buffer_ += "}\n";
  if (buffer_.size() >= kBuffer) {
    Flush();
  } else {
    loop.SetTimer(*this, kFlushMs);
  }
}

void AccessLog::Flush() {
  size_t sent = 0;
  while (sent < buffer_.size()) {
    const ssize_t wrote = write(fd_, buffer_.data() + sent, buffer_.size() - sent);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) break;  // A full disk must not stop the traffic.
    sent += static_cast<size_t>(wrote);
  }
  buffer_.clear();
}

}  // namespace weir::proxy
