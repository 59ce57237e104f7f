#include "mgmt-server/authn/hash_turns.h"

#include "libs/base/mutex.h"

namespace weir::authn {

std::optional<HashTurns::Turn> HashTurns::Take(std::string_view source) {
  MutexLock lock(mutex_);
  if (working_ >= bounds_.parallel && waiting_ >= bounds_.waiting) return std::nullopt;
  std::string key(source);
  if (!key.empty()) {
    const auto found = of_source_.find(key);
    if (found != of_source_.end() && found->second >= bounds_.per_source) return std::nullopt;
    ++of_source_[key];
  }
  ++waiting_;
  free_.Wait(mutex_, [this]() WEIR_REQUIRES(mutex_) { return working_ < bounds_.parallel; });
  --waiting_;
  ++working_;
  return Turn(this, std::move(key));
}

size_t HashTurns::waiting() const {
  MutexLock lock(mutex_);
  return waiting_;
}

void HashTurns::Leave(const std::string& source) {
  {
    MutexLock lock(mutex_);
    --working_;
    const auto found = of_source_.find(source);
    if (found != of_source_.end() && --found->second == 0) of_source_.erase(found);
  }
  free_.NotifyOne();
}

}  // namespace weir::authn
