#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/weir/v2/status.pb.h"
#include "libs/base/clock.h"
#include "mgmt-server/compile/compile.h"
#include "mgmt-server/status/reach.h"

namespace weir::agent::v1 {
class Applied;
}
namespace weir::xds {
struct AckEvent;
}

namespace weir::fleet {

// What one gateway said about one intent resource.
struct AppliedVersion {
  std::string version;           // Last acknowledged; "" = none.
  std::string rejected_version;  // "" = none.
  std::string error;
};
struct GatewayState {
  bool connected = false;
  bool reports_health = false;  // Of its own accord: of what it has not reported nobody knows anything.
  WallTime time{};              // Of the last report that changed something.
  std::map<compile::Key, AppliedVersion> intents;
};

// What is applied where, as the agents report it. What an agent says is cut to the bounds below and cleaned of control
// characters; what does not fit is not kept, and stands as not acknowledged. Not thread-safe; Fleet guards it.
class AppliedTable {
 public:
  static constexpr size_t kMaxGateways = 10'000;    // Of one cluster.
  static constexpr size_t kMaxIntents = 1'000'000;  // Of one cluster, all gateways together.
  static constexpr size_t kMaxRefused = 1'000;      // Of one cluster, by its agent.
  static constexpr size_t kMaxText = 4096;

  // One report of a cluster (FQN). A full one replaces what is known of it.
  void Report(const std::string& cluster, const agent::v1::Applied& report, WallTime now);
  // The agent itself took or refused intent (its ACK or NACK on the xDS stream).
  void ReportAgent(const std::string& cluster, const xds::AckEvent& event, WallTime now);
  // The agent of this cluster is (not) there: without it its gateways count as disconnected. What they acknowledged
  // stays.
  void SetConnected(const std::string& cluster, bool connected, WallTime now);
  bool Connected(const std::string& cluster) const;
  bool Told(const std::string& cluster) const;  // Connected, and its agent has said what runs since.
  void Forget(const std::string& cluster);

  const GatewayState* Find(const std::string& cluster, const std::string& workload) const;  // nullptr = never reported.
  // Those that run something, by workload.
  const std::map<std::string, GatewayState>& GatewaysOf(const std::string& cluster) const;
  // What the agent refused and why; nullptr = nothing of this key.
  const AppliedVersion* RefusedByAgent(const std::string& cluster, const compile::Key& key) const;

 private:
  struct ClusterTable {
    bool connected = false;
    bool told = false;  // Since it is connected.
    WallTime time{};
    std::map<std::string, GatewayState> gateways;
    std::map<compile::Key, AppliedVersion> refused;
    size_t intents = 0;  // Of all gateways.
  };
  static void Take(const agent::v1::Applied& report, WallTime now, ClusterTable& table);
  std::map<std::string, ClusterTable> clusters_;
};

// What keeps the agent of a cluster (FQN) from following this server's state, with the remedy: STATE_CONFLICT, REVOKED;
// reason "" = nothing.
using PlightOf = std::function<status::Shortfall(const std::string& cluster)>;

// Status of one resource that reaches gateways, from who is concerned and what is applied. Pure. READY: every gateway
// concerned is connected and acknowledged the current versions. FAILED REJECTED: one rejected a current version.
// PARTIAL: some acknowledged, others are DISCONNECTED or WAITING_FOR_ACK. ACCEPTED: none acknowledged (WAITING_FOR_ACK,
// DISCONNECTED) or none is concerned (NO_WORKLOAD). A gateway that is disconnected but acknowledged the current
// versions before serves them: it still counts as not READY, because nobody knows. Where a plight of its cluster is the
// cause, that is the reason.
v2::ResourceStatus StatusOf(std::string_view fqn, std::string_view kind, int64_t revision,
                            const std::vector<compile::Concern>& concerns, const AppliedTable& applied,
                            const PlightOf& plight = nullptr);
// READY: for kinds that reach no gateway.
v2::ResourceStatus StoredStatus(std::string_view fqn, std::string_view kind, int64_t revision);

// Sets `worst` of each from itself and all below it (by FQN); a READY parent with a worse child keeps its own state and
// gets reason CHILD. FAILED > PARTIAL > ACCEPTED > READY. Any order is fine.
void RollUp(std::vector<v2::ResourceStatus>& items);

}  // namespace weir::fleet
