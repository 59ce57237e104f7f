#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "libs/base/fd.h"
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
  uint32_t LogSalt() const;  // See LogPosition; 0 before the first frame. Costs a pread.

 private:
  struct File {
    std::string path;
    dev_t device = 0;
    ino_t inode = 0;
  };
  File database_, log_;
  Fd log_content_;
};

// Of an open write-ahead log; 0 = it is empty.
uint32_t ReadLogSalt(int fd);

}  // namespace weir::store
