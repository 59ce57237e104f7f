#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mgmt-server/status/host_table.h"
#include "mgmt-server/status/reach.h"

// What tier-2 gateways do with a path. For this room.
namespace weir::status {

// Every name under which a server may take the host: itself, and each suffix.
std::vector<std::string> PatternsOf(const std::string& host);

// Where a host stands in the documents.
struct Place {
  const compile::GatewayShape* shape = nullptr;
  const compile::ServerShape* server = nullptr;
  int index = 0;  // Of the server.
};
Place PlaceOf(const compile::World& world, const std::string& cluster, const mesh::v1::Host& host);

// Where a rule of a tier-2 object goes.
struct Target {
  const v2::ServiceDestination* service = nullptr;
  Shortfall outside;  // Why there is none.
};
Target TargetOf(Pieces& pieces, const std::string& cluster, const Place& place, const std::string& set);

// What a tier-2 object of one cluster does with a request that tier-1 gateways send there.
struct Hop {
  Place place;  // `shape` null: it does not know the host.
  const mesh::v1::Host* host = nullptr;
  const mesh::v1::Route* route = nullptr;           // Null: no rule takes the path.
  int number = 0;                                   // Of the rule.
  std::string match;                                // "prefix /a"
  const v2::ServiceDestination* service = nullptr;  // Where the rule goes; null = to none.
  Shortfall shortfall;                              // Why it is not served; reason "" = it is, or nobody knows.
  bool unchecked = false;                           // Its gateways will say, and have not yet.
};

// Remembers what it looked up: for one answer. Pointers of hops live as long as this.
class Hops {
 public:
  Hops(Pieces& pieces, const ReportedHealth& health) : pieces_(pieces), health_(health) {}

  // `host`: as a tier-1 object has it. `cluster`: FQN.
  Hop Take(const std::string& cluster, const compile::GatewayShape& tier2, const std::string& host,
           const std::string& authority, const std::string& target);

 private:
  bool OnMesh(const std::string& cluster, const std::string& name);
  const HostTable& TableOf(const std::string& cluster, const compile::GatewayShape& tier2, const std::string& host);

  struct Served {
    Target target;
    Shortfall shortfall;
    bool unchecked = false;
  };
  using At = std::pair<std::string, std::string>;  // Cluster, tier-2 object.
  Pieces& pieces_;
  const ReportedHealth& health_;
  std::map<std::pair<At, std::string>, HostTable> tables_;  // By host.
  std::map<std::pair<At, std::string>, Served> served_;     // By destination set.
};

}  // namespace weir::status
