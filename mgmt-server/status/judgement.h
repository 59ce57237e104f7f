#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/weir/v2/cluster.pb.h"
#include "api/weir/v2/status.pb.h"
#include "libs/base/clock.h"
#include "mgmt-server/status/reach.h"

// The one judgement that `status`, waits and `explain` speak from. Pure.
namespace weir::status {

v2::ResourceStatus NotPushed(v2::ResourceStatus status);  // WAITING_FOR_ACK: stored a moment ago.
// What it points at beyond its workspace serves nobody, whatever was acknowledged.
void AddScope(const compile::World& world, v2::ResourceStatus& status);
// What everybody acknowledged is READY only when a request would be answered: adds what stands in the way. All of it
// unserved: ACCEPTED; a part: PARTIAL. What is known to be unserved goes before that of others nobody knows
// (DISCONNECTED and the like); what is not READY for another reason stays.
void AddReach(const Reach& reach, v2::ResourceStatus& status);

// An Invariant whose condition does not hold: FAILED INVARIANT_BROKEN; of which nobody knows: PARTIAL DISCONNECTED.
void SetBroken(std::string why, v2::ResourceStatus& status);
void SetUnknown(std::string why, v2::ResourceStatus& status);

// READY, or all that it says is that of some nobody knows: AddReach may say more.
bool TakesReach(const v2::ResourceStatus& status);
// Something from outside is missing, a workload, a service, a cluster that is not drained or follows this server.
// Waiting helps only when it comes by itself; health does.
bool LacksSomething(const v2::ResourceStatus& status);

// Of a cluster (FQN) whose membership was revoked and that nobody has joined since.
Shortfall Revocation(std::string_view cluster);

// What is known of one cluster.
struct ClusterLine {
  bool ever_connected = false;
  bool connected = false;
  WallTime last_seen{};  // Of its agent.
  WallTime now{};
  Duration leaf_lifetime{0};  // Of its gateways' certificates, renewed at 40 to 60 % of it; 0 = not known.
  v2::AdminState admin_state = v2::ACTIVE;
  std::optional<v2::AdminState> overdue;  // What the end of that state, which has passed, should have brought.
  bool revoked = false;
  struct Duplicate {
    std::string peer;  // Whence the refused one came last.
    WallTime last_tried{};
  };
  std::optional<Duplicate> duplicate;
  std::string conflict;  // Why its agent does not follow this server's state; "" = it does.
  std::vector<v2::ClusterProblem> problems;
};
// READY: its agent is connected and has nothing to say; with reason AGENT_PROBLEM, ADMIN_STATE_OVERDUE, DRAINING or
// STANDBY it serves on; in MAINTENANCE whether the agent is there or not. ACCEPTED NEVER_JOINED; PARTIAL DISCONNECTED
// (what its gateways know they go on with) or DUPLICATE_AGENT (the older serves on) or STATE_CONFLICT or REVOKED.
void JudgeCluster(const ClusterLine& line, v2::ResourceStatus& status);

}  // namespace weir::status
