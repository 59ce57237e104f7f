#pragma once

#include <set>
#include <string>

#include "libs/base/result.h"
#include "mgmt-server/services/backends.h"

namespace weir::services {

// That a cluster may be taken out of traffic. It is found out from what is pushed and reported, which no write waits
// for; so whoever writes it asks whether it still counts.
class Leave {
 public:
  // FAILED_PRECONDITION LAST_RECEIVER when a host that is served now would be served by nobody, HEALTH_UNKNOWN when
  // nobody knows; UNAVAILABLE NOT_COMPILED. Blocks as FleetView::Failover does.
  // `principal`: who is told names, of what he may read; null = the server itself. `cluster`: its FQN.
  static Result<Leave> Judge(const Backends& backends, const authn::Principal* principal, const std::string& cluster);

  // Every other cluster that it was judged with still takes requests. Within the write.
  bool Holds(const store::View& view) const;

 private:
  std::string organization_;
  std::set<std::string> others_;  // Uids.
};

}  // namespace weir::services
