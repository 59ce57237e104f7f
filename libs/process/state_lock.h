#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "libs/base/result.h"

namespace weir::process {

// The right to use a state folder, taken before anything is read or written there. Held while the process lives; the
// kernel lets go of it however the process ends, so that a dead one leaves nothing behind that has to be removed.
class StateLock {
 public:
  StateLock() = default;
  StateLock(StateLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  StateLock& operator=(StateLock&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~StateLock();

  // Makes `folder` (0700) when it is not there. `remedy` ends the sentence "another weir-agent (process 17) runs on
  // FOLDER; ...". FAILED_PRECONDITION STATE_IN_USE, STATE_FOLDER (it cannot be made or written to).
  static Result<StateLock> Take(const std::string& folder, std::string_view program, std::string_view remedy);

  // The descriptor, which the caller keeps or hands to its successor.
  int Release() { return std::exchange(fd_, -1); }

 private:
  explicit StateLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace weir::process
