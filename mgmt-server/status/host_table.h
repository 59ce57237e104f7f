#pragma once

#include <set>
#include <string>
#include <vector>

#include "api/weir/mesh/v1/intent.pb.h"
#include "libs/traffic/route_table.h"
#include "mgmt-server/status/pieces.h"

namespace weir::status {

// Hosts of one port as a gateway has them, and the rule that takes a request. Of two hosts of one name the first
// counts, as in translation.
class HostTable {
 public:
  // `names`: of intent hosts of the cluster (FQN); what is not there is left out.
  HostTable(Pieces& pieces, const std::string& cluster, const std::set<std::string>& names);

  struct Taken {
    const mesh::v1::Host* host = nullptr;               // Null: unknown.
    int number = 0;                                     // Of the route; the first is 0.
    const mesh::v1::Route* route = nullptr;             // Null: no rule takes the path.
    std::string match;                                  // "exact /a", "prefix /a", "every path".
    const std::vector<std::string>* origins = nullptr;  // FQNs that the host is made of.
  };
  // Points into the table. `target` is canonical.
  Taken Match(const std::string& authority, const std::string& target) const;

 private:
  std::vector<mesh::v1::Host> hosts_;
  std::vector<std::vector<std::string>> origins_;
  traffic::RouteTable table_;
};

}  // namespace weir::status
