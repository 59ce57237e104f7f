#include "mgmt-server/services/waits.h"

#include <algorithm>

#include "mgmt-server/status/judgement.h"

namespace weir::services {
namespace {

constexpr int kMaxWaits = 16;
constexpr int kDefaultSeconds = 60;
constexpr std::chrono::milliseconds kSlice(500);  // How soon a stopping server ends a wait.
// A workload or service that is missing may be on its way, but a wait that began this long ago says what is missing.
constexpr std::chrono::seconds kGrace(3);

}  // namespace

void Waits::Check(const std::string& wait, int seconds, std::vector<FieldViolation>& violations) {
  if (!wait.empty() && wait != "applied") {
    violations.push_back({.field = "wait", .description = "must be \"applied\" or left out"});
  }
  if (seconds < 0 || seconds > 300) {
    violations.push_back({.field = "waitSeconds", .description = "must be 1 to 300"});
  }
}

v2::ResourceStatus Waits::One(const std::string& fqn, int64_t revision, MonoTime begun, MonoTime deadline) const {
  while (true) {
    const MonoTime slice = std::chrono::steady_clock::now() + kSlice;
    v2::ResourceStatus status = backends_.wait_applied(fqn, revision, std::min(slice, deadline));
    const MonoTime now = std::chrono::steady_clock::now();
    if (now < slice || now >= deadline || (backends_.stopping != nullptr && *backends_.stopping)) return status;
    if (status::LacksSomething(status) && now - begun >= kGrace) return status;
  }
}

Result<std::vector<v2::ResourceStatus>> Waits::Applied(const std::vector<std::string>& fqns, int64_t revision,
                                                       int seconds) {
  const MonoTime begun = std::chrono::steady_clock::now();
  const MonoTime deadline = begun + std::chrono::seconds(seconds == 0 ? kDefaultSeconds : seconds);
  if (running_.fetch_add(1) >= kMaxWaits) {
    running_.fetch_sub(1);
    return ResourceExhausted("TOO_MANY_WAITS",
                             "it is stored (revision {}), but too many calls wait for gateways already; ask for the "
                             "status instead",
                             revision);
  }
  std::vector<v2::ResourceStatus> statuses;
  for (const std::string& fqn : fqns) statuses.push_back(One(fqn, revision, begun, deadline));
  running_.fetch_sub(1);
  return statuses;
}

}  // namespace weir::services
