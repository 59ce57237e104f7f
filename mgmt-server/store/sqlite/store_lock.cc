#include "mgmt-server/store/sqlite/store_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <system_error>

namespace weir::store {

StoreLock::~StoreLock() {
  if (fd_ >= 0) ::close(fd_);
}

Status StoreLock::Take(const std::string& path) {
  const std::string file = path + ".lock";
  fd_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd_ < 0) return Unavailable("STORE_IO", "cannot open {}: {}", file, std::system_category().message(errno));
  if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) return {};
  return FailedPrecondition("STORE_LOCKED", "another process uses the store (it holds {})", file);
}

}  // namespace weir::store
