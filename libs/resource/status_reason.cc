#include "libs/resource/status_reason.h"

#include <array>

namespace weir::resource {
namespace {

using enum StatusReason;
constexpr std::string_view kUnserved = "ACCEPTED, PARTIAL";

constexpr std::array kRows = {
    StatusReasonRow{kWaitingForAck, "WAITING_FOR_ACK", kUnserved, "gateways have not acknowledged it yet"},
    StatusReasonRow{kWaitingForHealth, "WAITING_FOR_HEALTH", kUnserved,
                    "gateways have not found out yet whether anybody can serve it"},
    StatusReasonRow{kDisconnected, "DISCONNECTED", kUnserved,
                    "a gateway or a cluster's agent is not connected: nobody knows"},
    StatusReasonRow{kNoWorkload, "NO_WORKLOAD", kUnserved, "no gateway is selected (look at workloadSelector)"},
    StatusReasonRow{kNoReceiver, "NO_RECEIVER", kUnserved,
                    "no tier-2 gateway of the clusters that it routes to serves the host"},
    StatusReasonRow{kServiceMissing, "SERVICE_MISSING", kUnserved,
                    "the service of a rule exists in no cluster where the rule counts"},
    StatusReasonRow{kPortMissing, "PORT_MISSING", kUnserved, "the service of a rule lacks the port"},
    StatusReasonRow{kNoEndpoint, "NO_ENDPOINT", kUnserved, "nothing healthy stands behind it"},
    StatusReasonRow{kGatewaysDown, "GATEWAYS_DOWN", kUnserved, "none of the tier-2 gateways answers"},
    StatusReasonRow{kNoSuchHost, "NO_SUCH_HOST", kUnserved, "the tier-2 gateways do not know the host (yet)"},
    StatusReasonRow{kAllDrained, "ALL_DRAINED", kUnserved, "every cluster of a route is drained"},
    StatusReasonRow{kChild, "CHILD", "READY", "something below it is not ready"},
    StatusReasonRow{kRejected, "REJECTED", "FAILED", "a gateway or an agent refused it; the message is its own"},
    StatusReasonRow{kTier1NotAdmitted, "TIER1_NOT_ADMITTED", "FAILED",
                    "its cluster's tier-1 gateways are let in nowhere (spec.tier1Cluster)"},
    StatusReasonRow{kServiceOutsideWorkspace, "SERVICE_OUTSIDE_WORKSPACE", "FAILED",
                    "it routes to a service in a namespace that its workspace does not own"},
    StatusReasonRow{kWorkloadsOutsideWorkspace, "WORKLOADS_OUTSIDE_WORKSPACE", "FAILED",
                    "it selects gateways in a namespace that its workspace does not own"},
    StatusReasonRow{kRootReplaced, "ROOT_REPLACED", "READY",
                    "of the organization: one mesh root replaces the other, both trusted"},
    StatusReasonRow{kStoreFails, "STORE_FAILS", "READY",
                    "of the organization: the server's store refused the last write"},
    StatusReasonRow{kNeverJoined, "NEVER_JOINED", "ACCEPTED", "of a cluster: no agent of it has ever connected"},
    StatusReasonRow{kDuplicateAgent, "DUPLICATE_AGENT", "PARTIAL",
                    "of a cluster: a second agent with its identity is refused"},
    StatusReasonRow{kStateConflict, "STATE_CONFLICT", kUnserved,
                    "a cluster's agent acknowledged another state than this server's"},
    StatusReasonRow{kRevoked, "REVOKED", kUnserved, "a membership was revoked: its agent must join with a new token"},
    StatusReasonRow{kAgentProblem, "AGENT_PROBLEM", "READY",
                    "of a cluster: its agent refused something, or was refused something"},
    StatusReasonRow{kDraining, "DRAINING", "READY", "of a cluster: it gets no new requests"},
    StatusReasonRow{kStandby, "STANDBY", "READY", "of a cluster: it gets requests only while no active one can serve"},
    StatusReasonRow{kMaintenance, "MAINTENANCE", "READY", "of a cluster: it gets no new requests and may be away"},
    StatusReasonRow{kInvariantBroken, "INVARIANT_BROKEN", "FAILED",
                    "of an Invariant: its condition does not hold; the message says where"},
    StatusReasonRow{kRollingOut, "ROLLING_OUT", "READY", "some clusters run already what a change set makes of it"},
    StatusReasonRow{kAdminStateOverdue, "ADMIN_STATE_OVERDUE", "READY",
                    "of a cluster: its state goes on past its end, else a host is alone"},
};

constexpr bool InOrder() {
  for (size_t i = 0; i < kRows.size(); ++i) {
    if (static_cast<size_t>(kRows[i].reason) != i) return false;
  }
  return kRows.size() == static_cast<size_t>(kAdminStateOverdue) + 1;
}
static_assert(InOrder());

}  // namespace

std::span<const StatusReasonRow> StatusReasons() { return kRows; }
std::string Word(StatusReason reason) { return std::string(kRows.at(static_cast<size_t>(reason)).word); }

}  // namespace weir::resource
