#pragma once

#include <atomic>
#include <map>
#include <optional>
#include <string>

#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "mgmt-server/services/backends.h"
#include "mgmt-server/services/leaving.h"

namespace weir::services {

// Clusters whose admin state has ended go back to the one before, each in a write of its own with a record in the
// audit. Into a state that takes no requests only when that leaves no host alone, as a drain; until then the state is
// kept and asked for again every kAgain. One thread; Render any.
class AdminStateEnds {
 public:
  static constexpr Duration kAgain = std::chrono::seconds(10);

  explicit AdminStateEnds(const Backends& backends);  // Outlives it.

  // To be called now and then, and at start: what ended while no server ran has ended. The first error of several; one
  // that fails keeps no other back.
  Status Pass(WallTime now);
  void Render(std::string& out) const;

 private:
  struct Kept {
    std::string reason;  // Of the error why.
    MonoTime again{};
  };
  bool MayLeave(const std::string& fqn, const v2::Cluster& before, const v2::Cluster& after,
                std::optional<Leave>* leave);
  Status End(const std::string& fqn, WallTime now);
  Status Write(const std::string& fqn, WallTime now, const std::optional<Leave>& leave);

  const Backends& backends_;
  std::map<std::string, Kept> kept_;  // By FQN.
  std::atomic<size_t> overdue_{0};
};

}  // namespace weir::services
