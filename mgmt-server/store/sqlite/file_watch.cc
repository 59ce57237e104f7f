#include "mgmt-server/store/sqlite/file_watch.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <system_error>

namespace weir::store {

Status FileWatch::Begin(const std::string& path) {
  database_.path = path;
  log_.path = path + "-wal";
  for (File* file : {&database_, &log_}) {
    struct stat facts{};
    if (::stat(file->path.c_str(), &facts) != 0) {
      return Unavailable("STORE_IO", "cannot look at {}", file->path).WithCause(std::system_category().message(errno));
    }
    file->device = facts.st_dev;
    file->inode = facts.st_ino;
  }
  log_content_ = Fd(::open(log_.path.c_str(), O_RDONLY | O_CLOEXEC));
  if (log_content_) return {};
  return Unavailable("STORE_IO", "cannot read {}", log_.path).WithCause(std::system_category().message(errno));
}

uint32_t FileWatch::LogSalt() const { return ReadLogSalt(log_content_.get()); }

Status FileWatch::StillThere() const {
  for (const File* file : {&database_, &log_}) {
    if (file->path.empty()) continue;
    struct stat facts{};
    if (::stat(file->path.c_str(), &facts) == 0 && facts.st_dev == file->device && facts.st_ino == file->inode)
      continue;
    return Unavailable("STORE_GONE",
                       "{} was deleted, moved or replaced while the server runs; nothing more is stored. Put the files "
                       "back or restore a backup, then start the server again",
                       file->path);
  }
  return {};
}

uint32_t ReadLogSalt(int fd) {
  constexpr off_t kAt = 16;  // https://sqlite.org/fileformat2.html#walformat: "Salt-1", big-endian.
  std::array<unsigned char, 4> bytes{};
  if (::pread(fd, bytes.data(), bytes.size(), kAt) != static_cast<ssize_t>(bytes.size())) return 0;
  uint32_t salt = 0;
  for (const unsigned char byte : bytes) salt = salt << 8 | byte;
  return salt;
}

}  // namespace weir::store
