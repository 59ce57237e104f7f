#include "libs/process/state_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "libs/base/file.h"

namespace weir::process {

StateLock::~StateLock() {
  if (fd_ >= 0) close(fd_);
}

Result<StateLock> StateLock::Take(const std::string& folder, std::string_view program, std::string_view remedy) {
  if (const Status made = MakeFolders(folder, 0700); !made.ok()) {
    return FailedPrecondition("STATE_FOLDER", "the state folder {} cannot be made: {}", folder, made.error().message);
  }
  const std::string path = folder + "/lock";
  StateLock lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  const auto unwritable = [&] {
    return FailedPrecondition("STATE_FOLDER", "cannot write to the state folder {}: {}", folder, std::strerror(errno));
  };
  if (lock.fd_ < 0) return unwritable();
  if (flock(lock.fd_, LOCK_EX | LOCK_NB) != 0) {
    char owner[32] = {};
    const ssize_t length = pread(lock.fd_, owner, sizeof owner - 1, 0);
    return FailedPrecondition("STATE_IN_USE", "another {}{} runs on {}; {}", program,
                              length > 0 ? fmt::format(" (process {})", std::string(owner, length)) : "", folder,
                              remedy);
  }
  const std::string self = std::to_string(getpid());
  const auto size = static_cast<ssize_t>(self.size());
  // A full disk takes no name; the lock holds without one, and names nobody else.
  if (pwrite(lock.fd_, self.data(), self.size(), 0) != size || ftruncate(lock.fd_, size) != 0) {
    if (ftruncate(lock.fd_, 0) != 0) return unwritable();
  }
  return lock;
}

}  // namespace weir::process
