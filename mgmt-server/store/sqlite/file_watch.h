#pragma once

#include <sys/types.h>

#include <string>

#include "libs/base/result.h"

namespace weir::store {

// Notices that an open database's files are not those that its path names any more: deleted, moved, or replaced by a
// copy. Writes would still succeed then, into files that no later start finds. A check costs two calls of stat.
class FileWatch {
 public:
  // Remembers the files as they are. UNAVAILABLE STORE_IO.
  Status Begin(const std::string& path);
  // UNAVAILABLE STORE_GONE names the file. Before Begin nothing is watched.
  Status StillThere() const;

 private:
  struct File {
    std::string path;
    dev_t device = 0;
    ino_t inode = 0;
  };
  File database_, log_;
};

}  // namespace weir::store
