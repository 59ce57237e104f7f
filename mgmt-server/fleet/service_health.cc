#include "libs/base/mutex.h"
#include "libs/dialect/dialect.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/fleet/core.h"

namespace weir::fleet {

const agent::v1::ClusterHealth* TrafficTable::ServiceHealthOf(const std::string& cluster, const std::string& set,
                                                              const std::string& target, MonoTime now) const {
  const agent::v1::ClusterHealth* best = nullptr;
  const auto reports = clusters_.find(cluster);
  if (reports == clusters_.end()) return nullptr;
  for (const auto& [workload, gateway] : reports->second.gateways) {
    const agent::v1::ClusterHealth* said = HealthOf(cluster, workload, set, target, now);
    if (said == nullptr || said->unchecked()) continue;
    if (best == nullptr || (said->can_serve() && !best->can_serve())) best = said;
  }
  return best;
}

std::optional<agent::v1::ClusterHealth> Fleet::ServiceHealth(const std::string& cluster, const std::string& host,
                                                             uint32_t port) const {
  MutexLock lock(core_->mutex);
  const auto* said = core_->traffic.ServiceHealthOf(
      cluster, dialect::ServiceSet(host, port), std::string(resource::LastName(cluster)), core_->options.clock->Now());
  return said == nullptr ? std::nullopt : std::optional(*said);
}

}  // namespace weir::fleet
