#include "mgmt-server/store/sqlite/file_watch.h"

#include <sys/stat.h>

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
  return {};
}

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

}  // namespace weir::store
