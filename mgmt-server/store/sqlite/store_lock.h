#pragma once

#include <string>

#include "libs/base/result.h"

namespace weir::store {

// Keeps a second process away from a store while it lives; the kernel lets go however the process ends.
class StoreLock {
 public:
  StoreLock() = default;
  ~StoreLock();
  StoreLock(const StoreLock&) = delete;
  StoreLock& operator=(const StoreLock&) = delete;

  // Of the store at `path`, by `<path>.lock`. FAILED_PRECONDITION STORE_LOCKED; UNAVAILABLE STORE_IO.
  Status Take(const std::string& path);

 private:
  int fd_ = -1;
};

}  // namespace weir::store
