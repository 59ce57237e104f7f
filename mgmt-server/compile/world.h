#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/weir/agent/v1/discovery.pb.h"
#include "api/weir/v2/cluster.pb.h"
#include "api/weir/v2/gateway.pb.h"
#include "api/weir/v2/gateway_group.pb.h"
#include "api/weir/v2/organization.pb.h"
#include "api/weir/v2/organization_setting.pb.h"
#include "api/weir/v2/tier1_gateway.pb.h"
#include "api/weir/v2/workspace.pb.h"
#include "mgmt-server/compile/facts.h"

namespace weir::compile {

struct GatewayShape;  // gateway_shape.h: a gateway object in the one form that compile works on.

// All that intent is made of, at one revision and one facts sequence. A value: copies are cheap (they share), and a
// change to one copy is not seen by another. Clusters are named by FQN ("organizations/o/clusters/c") everywhere.
// Not thread-safe for writing; a copy per thread is.
class World {
 public:
  World();
  ~World();
  World(const World&);
  World(World&&) noexcept;
  World& operator=(const World&);
  World& operator=(World&&) noexcept;

  // Stores or replaces one resource. Those of kinds without an effect on gateways are ignored, so that callers can pass
  // everything.
  void Put(std::string_view fqn, std::shared_ptr<const google::protobuf::Message> resource);
  // Parses a stored body; `uid` of the stored resource. False = the bytes are not that kind's message (nothing
  // changed).
  bool PutBody(std::string_view kind, std::string_view fqn, std::string_view uid, std::string_view body);
  void Remove(std::string_view fqn);

  void SetFacts(std::string_view cluster, Facts facts);
  void PutWorkload(std::string_view cluster, const agent::v1::Workload& workload);
  void RemoveWorkload(std::string_view cluster, const std::string& name);  // "<namespace>/<name>"
  void PutService(std::string_view cluster, const agent::v1::Service& service);
  void RemoveService(std::string_view cluster, const std::string& name);
  void SetConnected(std::string_view cluster, bool connected, std::chrono::system_clock::time_point as_of);

  // PEM of the roots that every cluster trusts.
  void SetRoots(std::string pem);

  int64_t revision = 0;
  uint64_t facts_sequence = 0;

  // --- Reading; nullptr = no such. Pointers live as long as this copy is not changed. ---
  const v2::Organization* organization(std::string_view fqn) const;
  const v2::Workspace* workspace(std::string_view fqn) const;
  const v2::GatewayGroup* group(std::string_view fqn) const;
  const v2::Cluster* cluster(std::string_view fqn) const;
  const GatewayShape* gateway(std::string_view fqn) const;
  const Facts* facts(std::string_view cluster) const;
  const std::string& roots() const;
  std::vector<std::string> clusters() const;                // FQNs, sorted.
  std::string TrustDomain(std::string_view cluster) const;  // "<name>.<organization domain>"; "" = unknown cluster.

  struct State;
  const State& state() const { return *state_; }

 private:
  // selecting.cc: names the clusters anew of the objects that select them, after what they follow from has changed.
  class Follower;
  void Name(std::string_view fqn, const std::string* pattern);  // Only servers whose host it covers; nullptr = all.
  void FollowHostsOf(const GatewayShape& tier2);
  void FollowNamespace(std::string_view cluster, std::string_view name_space);
  void FollowAll(std::string_view organization);
  State& Own();
  std::shared_ptr<State> state_;
};

// spiffe://<trust domain>/ns/<namespace>/sa/<service account, default "default">
std::string SpiffeId(std::string_view trust_domain, const agent::v1::Workload& workload);

}  // namespace weir::compile
