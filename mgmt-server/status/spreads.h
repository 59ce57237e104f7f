#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "api/weir/mesh/v1/intent.pb.h"
#include "mgmt-server/compile/keys.h"
#include "mgmt-server/status/hops.h"
#include "mgmt-server/status/host_table.h"
#include "mgmt-server/status/reach.h"

// How one tier-1 object spreads requests, without what its gateways report. For this room.
namespace weir::status {

// Of a cluster (FQN). Behind gateways that nobody reaches there may be more to say: whoever was revoked is refused.
Shortfall WhyOut(traffic::Reason reason, const std::string& cluster, const ReportedHealth& health);

class Spreads {
 public:
  Spreads(Pieces& pieces, const compile::GatewayShape& tier1, const ReportedHealth& health)
      : pieces_(pieces), tier1_(tier1), health_(health) {}

  // The route of one destination set of the intent of `cluster`; nullopt = it goes to no cluster.
  std::optional<RouteReach> Of(const std::string& cluster, const compile::Key& key);
  // The same by path, for each rule behind it that makes a difference; empty = it goes to no cluster.
  std::vector<RouteReach> ByPath(const std::string& cluster, const compile::Key& key);

 private:
  struct Known {
    traffic::Availability availability;
    Shortfall detail;
    bool unchecked = false;
  };
  // Paths that the route takes and rules behind it may tell apart; none when there is only one rule behind it.
  std::vector<std::string> PathsOf(const std::string& cluster, const compile::Key& key,
                                   const compile::DestinationSetParts& name);
  struct AtPath;
  AtPath At(const std::string& path, const std::string& tenant, const std::string& host, const std::string& cluster);
  // What is known of the clusters of a route for one path; false = no rule behind it takes the path anywhere.
  bool Narrow(const std::string& path, const std::string& tenant, RouteReach& route);
  const std::string& TenantOf(const compile::DestinationSetParts& name) const;
  // Of one cluster of a set.
  Known Assess(const std::string& importer, const mesh::v1::ClusterShare& share, const std::string& hostname,
               const std::string& tenant);

  Pieces& pieces_;
  const compile::GatewayShape& tier1_;
  const ReportedHealth& health_;
  Hops hops_{pieces_, health_};
  std::map<std::pair<std::string, std::string>, HostTable> tables_;  // Of one tier-1 host, by cluster and its name.
};

}  // namespace weir::status
