#pragma once

#include <string>
#include <vector>

#include "mgmt-server/compile/gateway_shape.h"
#include "mgmt-server/compile/spread.h"

// Inside compile: lists of clusters that name none, or some by labels and network. The World keeps each such object
// with lists that name every cluster (GatewayShape::gateway), so that nothing behind it knows of selectors; it names
// them anew when clusters, tier-2 gateways or their workloads change.
namespace weir::compile {

bool IsSelecting(const v2::Gateway& gateway);
bool IsSelecting(const ClusterList& list);

// The clusters of each entry of a list as it was written, sorted; of an empty list one entry: all that serve the host.
std::vector<std::vector<std::string>> SelectedBy(const World& world, const GatewayShape& shape,
                                                 const ServerShape& server, const ClusterList& list);

// Whether two versions of a workload are selected alike.
bool SameSelection(const agent::v1::Workload& a, const agent::v1::Workload& b);

// What a change of the world does to objects that select: made before it, it follows up when it ends.
class World::Follower {
 public:
  Follower(World& world, std::string_view fqn);
  // Of a workload of this cluster (FQN) and namespace: nothing follows while the same objects count there as before.
  Follower(World& world, std::string_view cluster, std::string_view name_space);
  ~Follower();
  Follower(const Follower&) = delete;

 private:
  friend class World;
  class Naming;
  std::vector<std::string> Counted() const;

  World& world_;
  const std::string fqn_;
  const std::string namespace_;
  const std::vector<std::string> counted_;                    // As it was.
  std::shared_ptr<const GatewayShape> shape_;                 // As it was.
  std::shared_ptr<const google::protobuf::Message> cluster_;  // As it was; nullptr = none, or not a cluster.
};

}  // namespace weir::compile
