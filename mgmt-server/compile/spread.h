#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "libs/traffic/share.h"
#include "mgmt-server/compile/gateway_shape.h"

namespace google::protobuf {
template <typename T>
class RepeatedPtrField;
}
namespace weir::mesh::v1 {
class DestinationSet;
}

// Inside compile: how the tier-1 gateways of one cluster spread over others.
namespace weir::compile {

// What a resource comes from, by FQN; a set, because the order of discovery must not show.
using Sources = std::set<std::string>;

using ClusterList = google::protobuf::RepeatedPtrField<v2::ClusterDestination>;

// The shares of the list, each with its place in the failover order as seen from `cluster` (FQN), and the mode.
void SetSpread(const World& world, std::string_view cluster, const GatewayShape& shape, const ServerShape& server,
               const ClusterList& list, mesh::v1::DestinationSet& set, Sources& sources);

// What such a set says, as libs/traffic takes it: all that are not drained can serve.
struct ListedClusters {
  traffic::Mode mode = traffic::Mode::kProportional;
  std::vector<traffic::Candidate> candidates;
};
ListedClusters ListedIn(const mesh::v1::DestinationSet& set);

}  // namespace weir::compile
