#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "api/weir/v2/cluster.pb.h"
#include "api/weir/v2/server_state.pb.h"
#include "api/weir/v2/status.pb.h"
#include "api/weir/v2/traffic.pb.h"
#include "libs/base/clock.h"
#include "libs/base/result.h"

namespace weir::authn {
class Authn;
}
namespace weir::store {
class Store;
}

namespace weir::services {

// What the handlers stand on. The functions come from fleet; services know neither push nor agents.
struct Backends {
  store::Store* store = nullptr;
  authn::Authn* authn = nullptr;
  const Clock* clock = &Clock::Real();
  std::string anchor_sha256;  // Of the server anchor: what a join token pins.

  std::function<Result<v2::ResourceStatus>(const std::string& fqn)> status;
  std::function<Result<std::vector<v2::ResourceStatus>>(const std::string& parent)> statuses;
  // Whether everything up to that revision is compiled and handed to the streams; unset = always.
  std::function<bool(int64_t revision)> compiled;
  // What the gateways have made of it by then; with a deadline that is over: what they have made of it now.
  std::function<v2::ResourceStatus(const std::string& fqn, int64_t revision,
                                   std::chrono::steady_clock::time_point deadline)>
      wait_applied;
  std::function<v2::ClusterState(const std::string& cluster)> cluster_state;

  // Traffic and health as the gateways report them; host "" = all. Who may see an item is decided by its `source`.
  std::function<std::vector<v2::HostTraffic>(const std::string& parent, const std::string& host)> traffic;
  std::function<std::vector<v2::HostHealth>(const std::string& parent, const std::string& host)> health;
  // FQNs of the tier-1 objects of that organization which serve the host.
  std::function<std::vector<std::string>(const std::string& parent, const std::string& host)> serving;

  // Clusters whose agents keep another state than this server's; and the end of it, after the state was adopted.
  std::function<std::vector<v2::HeldCluster>()> held_clusters;
  std::function<void()> release_held_clusters;
  // What happens when the clusters of these names are lost; host "" = every host.
  std::function<std::vector<v2::FailoverPlan>(const std::string& parent, const std::string& host,
                                              const std::set<std::string>& without)>
      failover;

  const std::atomic<bool>* stopping = nullptr;  // Ends waits early.
};

}  // namespace weir::services
