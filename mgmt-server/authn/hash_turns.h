#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "libs/base/mutex.h"

namespace weir::authn {

// Turns at the memory-hard hash: so many at once, so many waiting, so many of both from one source; whoever comes
// beyond that is sent away at once. Bounds memory, CPU and held threads of a flood of sign-ins. Thread-safe.
class HashTurns {
 public:
  struct Bounds {
    size_t parallel = 1;    // At least 1.
    size_t waiting = 16;    // Each holds the thread it came on.
    size_t per_source = 8;  // At work or waiting; fewer than parallel + waiting, so that one source cannot take all.
  };
  explicit HashTurns(Bounds bounds) : bounds_(bounds) {}

  class Turn {
   public:
    Turn(Turn&& other) noexcept : turns_(other.turns_), source_(std::move(other.source_)) { other.turns_ = nullptr; }
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (turns_ != nullptr) turns_->Leave(source_);
    }

   private:
    friend class HashTurns;
    Turn(HashTurns* turns, std::string source) : turns_(turns), source_(std::move(source)) {}
    HashTurns* turns_;
    std::string source_;
  };
  // Blocks until it is this caller's turn; nullopt at once when there are too many. Source "" = the server itself,
  // which has no bound of its own.
  std::optional<Turn> Take(std::string_view source);
  size_t waiting() const;

 private:
  void Leave(const std::string& source);

  const Bounds bounds_;
  mutable Mutex mutex_;
  CondVar free_;
  size_t working_ WEIR_GUARDED_BY(mutex_) = 0;
  size_t waiting_ WEIR_GUARDED_BY(mutex_) = 0;
  std::map<std::string, size_t, std::less<>> of_source_ WEIR_GUARDED_BY(mutex_);  // At most parallel + waiting entries.
};

}  // namespace weir::authn
