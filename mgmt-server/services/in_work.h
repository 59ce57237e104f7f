#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>

#include "libs/base/mutex.h"

namespace weir::services {

// How much is in work at once, of one principal and of all: bytes of documents, which lie in memory many times over
// while they are read and stored, or calls of a dear kind. Thread-safe.
class InWork {
 public:
  InWork(size_t of_one, size_t of_all) : of_one_(of_one), of_all_(of_all) {}
  // A place, given back with its last copy; nullptr: there is none now.
  std::shared_ptr<const void> Take(const std::string& principal, size_t amount) {
    MutexLock lock(mutex_);
    const auto known = taken_.find(principal);
    const size_t of_one = known == taken_.end() ? 0 : known->second;
    if (of_one + amount > of_one_ || all_ + amount > of_all_) return nullptr;
    taken_[principal] += amount;
    all_ += amount;
    return {this, [this, principal, amount](const void*) {
              MutexLock leaving(mutex_);
              all_ -= amount;
              const auto own = taken_.find(principal);
              if ((own->second -= amount) == 0) taken_.erase(own);
            }};
  }

 private:
  const size_t of_one_, of_all_;
  Mutex mutex_;
  std::map<std::string, size_t> taken_ WEIR_GUARDED_BY(mutex_);
  size_t all_ WEIR_GUARDED_BY(mutex_) = 0;
};

}  // namespace weir::services
