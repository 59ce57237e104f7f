#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "api/weir/v2/status.pb.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/base/result.h"
#include "mgmt-server/store/store.h"

namespace weir::server {

// Looks now and then whether every Invariant holds, for metrics and log; each status is judged when it is asked for.
// Thread-safe.
class InvariantWatch {
 public:
  static constexpr Duration kInterval = std::chrono::seconds(2);  // Of Look.
  static constexpr size_t kMostAtOnce = 200;                      // Judged by one look; the others by the next ones.
  static constexpr size_t kMostShown = 1'000;                     // In metrics, by name.

  // What is asked of the rest of the server: the status of an Invariant (FQN), and what is pushed, by revision and
  // facts.
  struct Senses {
    std::function<Result<v2::ResourceStatus>(const std::string& fqn)> judge;
    std::function<std::pair<int64_t, uint64_t>()> pushed;
  };
  InvariantWatch(const store::Store& store, Senses senses) : store_(store), senses_(std::move(senses)) {}

  // What does not hold any more is logged, and when it holds again. What follows from intent alone is judged anew only
  // after something was pushed.
  void Look();

  size_t broken() const;  // As of the last look.
  // "weir_invariant_broken" with the FQN as a label, and "weir_invariant_unknown".
  void Render(std::string& out) const;

 private:
  enum class Verdict : uint8_t { kNotYet, kHolds, kBroken, kUnknown };
  struct Seen {
    std::string etag;  // Of the version that was judged.
    std::string uid;
    std::pair<int64_t, uint64_t> pushed{-1, 0};
    Verdict verdict = Verdict::kNotYet;
  };
  bool IsDue(const store::StoredResource& stored, const std::pair<int64_t, uint64_t>& pushed) const;
  void Judge(const store::StoredResource& stored, const std::pair<int64_t, uint64_t>& pushed);

  const store::Store& store_;
  const Senses senses_;
  std::string next_;  // Where the next look begins. Of Look only, which is one at a time.
  mutable Mutex mutex_;
  std::map<std::string, Seen> seen_ WEIR_GUARDED_BY(mutex_);  // By FQN.
};

}  // namespace weir::server
