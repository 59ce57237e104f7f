#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace weir::resource {

// Why a resource is in its state. The one list, and with StatusReasons the one table: statuses and waits of the server,
// and the help of the command line, say these words and no others.
enum class StatusReason : uint8_t {
  kWaitingForAck,
  kWaitingForHealth,
  kDisconnected,
  kNoWorkload,
  kNoReceiver,
  kServiceMissing,
  kPortMissing,
  kNoEndpoint,
  kGatewaysDown,
  kNoSuchHost,
  kAllDrained,
  kChild,
  kRejected,
  kTier1NotAdmitted,
  kServiceOutsideWorkspace,
  kWorkloadsOutsideWorkspace,
  kRootReplaced,
  kStoreFails,
  kNeverJoined,
  kDuplicateAgent,
  kStateConflict,
  kRevoked,
  kAgentProblem,
  kDraining,
  kStandby,
  kMaintenance,
  kInvariantBroken,
  kRollingOut,
  kAdminStateOverdue,
};

struct StatusReasonRow {
  StatusReason reason;
  std::string_view word;     // "NO_RECEIVER".
  std::string_view states;   // Beside which it stands: "ACCEPTED, PARTIAL".
  std::string_view meaning;  // For people.
};
std::span<const StatusReasonRow> StatusReasons();  // By the order of the enum.
std::string Word(StatusReason reason);

}  // namespace weir::resource
