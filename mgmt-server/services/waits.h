#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "api/weir/v2/status.pb.h"
#include "mgmt-server/services/backends.h"

namespace weir::services {

// Calls that wait for gateways. Each holds a thread of the pool, so there is a bound over all of them.
class Waits {
 public:
  explicit Waits(const Backends& backends) : backends_(backends) {}

  // The states of these resources when all that their revision touches has acknowledged it and is served, or at the end
  // of the time; earlier when the server stops, and after 3 s when something from outside is missing (a workload, a
  // service, a cluster that is not drained). RESOURCE_EXHAUSTED TOO_MANY_WAITS.
  Result<std::vector<v2::ResourceStatus>> Applied(const std::vector<std::string>& fqns, int64_t revision, int seconds);

  // Of a request's `wait` ("" or "applied") and `wait_seconds` (0 to 300; 0 = 60).
  static void Check(const std::string& wait, int seconds, std::vector<FieldViolation>& violations);

 private:
  v2::ResourceStatus One(const std::string& fqn, int64_t revision, MonoTime begun, MonoTime deadline) const;

  const Backends& backends_;
  std::atomic<int> running_{0};
};

}  // namespace weir::services
