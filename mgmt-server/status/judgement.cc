#include "mgmt-server/status/judgement.h"

#include <algorithm>
#include <initializer_list>

#include "libs/resource/kinds.h"
#include "libs/resource/status_reason.h"

namespace weir::status {
namespace {

using resource::StatusReason;
using State = v2::ResourceStatus;

void Set(State::State state, std::string reason, std::string message, State& status) {
  status.set_state(state);
  status.set_worst(state);
  status.set_reason(std::move(reason));
  status.set_message(std::move(message));
}

// Without its agent a cluster's gateways cannot renew their certificates. Said from half of the time on that the first
// of them has left: whoever was about to renew at 60 % of its life.
std::string IdentitiesOf(const ClusterLine& line) {
  if (line.leaf_lifetime <= Duration(0)) return "";
  const auto left = std::chrono::duration_cast<WallTime::duration>(line.leaf_lifetime * 2 / 5);
  if (line.now < line.last_seen + left / 2) return "";
  return fmt::format("; the certificates of its gateways {} out from {} on",
                     line.now < line.last_seen + left ? "run" : "ran", Rfc3339(line.last_seen + left));
}

bool IsOneOf(const State& status, std::initializer_list<StatusReason> reasons) {
  return std::any_of(reasons.begin(), reasons.end(),
                     [&](StatusReason reason) { return status.reason() == Word(reason); });
}

// How a state that an administrator set is told.
struct AdminWords {
  StatusReason reason;
  const char* message;
  const char* aside;  // Beside something that matters more.
};
const AdminWords* WordsOf(v2::AdminState state) {
  static constexpr AdminWords kDraining{StatusReason::kDraining,
                                        "tier-1 gateways send it no new requests; `weir cluster activate` undoes it",
                                        "it is draining"};
  static constexpr AdminWords kStandby{
      StatusReason::kStandby,
      "tier-1 gateways send it requests only while no active cluster can serve; `weir cluster activate` undoes it",
      "it is on standby"};
  static constexpr AdminWords kMaintenance{
      StatusReason::kMaintenance,
      "in maintenance: tier-1 gateways send it no new requests; `weir cluster activate` undoes it",
      "it is in maintenance"};
  switch (state) {
    case v2::DRAINING:
      return &kDraining;
    case v2::STANDBY:
      return &kStandby;
    case v2::MAINTENANCE:
      return &kMaintenance;
    default:
      return nullptr;
  }
}

// Nothing keeps it from following; what else there is to say of it.
void JudgeConnected(const ClusterLine& line, State& status) {
  if (!line.problems.empty()) {
    const v2::ClusterProblem& first = line.problems.front();
    Set(State::READY, Word(StatusReason::kAgentProblem), fmt::format("{}: {}", first.source(), first.text()), status);
  } else if (line.overdue) {
    const std::string_view name = resource::LastName(status.fqn());
    Set(State::READY, Word(StatusReason::kAdminStateOverdue),
        fmt::format(
            "the end of {0} has passed, and {0} is kept: with {1} some host would be left without a cluster that "
            "can serve it, or nobody knows (`weir explain failover --without {2}`). It ends as soon as that is "
            "not so; {1} all the same: `weir cluster {3} {2} --force`",
            v2::AdminState_Name(line.admin_state), v2::AdminState_Name(*line.overdue), name,
            *line.overdue == v2::MAINTENANCE ? "maintenance" : "drain"),
        status);
  } else if (const AdminWords* words = WordsOf(line.admin_state)) {
    Set(State::READY, Word(words->reason), words->message, status);
  }
}

}  // namespace

State NotPushed(State status) {
  Set(State::ACCEPTED, Word(StatusReason::kWaitingForAck), "not pushed yet", status);
  return status;
}

void SetBroken(std::string why, State& status) {
  Set(State::FAILED, Word(StatusReason::kInvariantBroken), std::move(why), status);
}

void SetUnknown(std::string why, State& status) {
  Set(State::PARTIAL, Word(StatusReason::kDisconnected), std::move(why), status);
}

void AddScope(const compile::World& world, State& status) {
  const auto outside = compile::OutOfScopeOf(world, status.fqn());
  if (outside && status.reason() != Word(StatusReason::kRejected))
    Set(State::FAILED, outside->reason, outside->message, status);
}

void AddReach(const Reach& reach, State& status) {
  if (!TakesReach(status) || reach.unserved == 0) return;
  const Shortfall& first = reach.shortfalls.front();
  std::string message = first.message;
  if (reach.unserved > 1) message += fmt::format(" (and {} more of {} routes)", reach.unserved - 1, reach.routes);
  if (status.state() != State::READY) message += "; " + status.message();
  Set(reach.unserved == reach.routes ? State::ACCEPTED : State::PARTIAL, first.reason, std::move(message), status);
}

bool TakesReach(const State& status) {
  return status.state() == State::READY ||
         IsOneOf(status, {StatusReason::kDisconnected, StatusReason::kStateConflict, StatusReason::kRevoked});
}

bool LacksSomething(const State& status) {
  return IsOneOf(status, {StatusReason::kNoWorkload, StatusReason::kNoReceiver, StatusReason::kAllDrained,
                          StatusReason::kServiceMissing, StatusReason::kPortMissing, StatusReason::kStateConflict,
                          StatusReason::kRevoked});
}

Shortfall Revocation(std::string_view cluster) {
  return {Word(StatusReason::kRevoked),
          fmt::format("the membership of {0} was revoked: its agent is refused here, its gateways by those of every "
                      "other cluster; `weir cluster rejoin {0}` makes the token with which its agent joins again",
                      cluster.substr(cluster.rfind('/') + 1))};
}

void JudgeCluster(const ClusterLine& line, State& status) {
  if (line.duplicate) {
    Set(State::PARTIAL, Word(StatusReason::kDuplicateAgent),
        fmt::format("a second agent with its identity is refused (from {}, last tried {}); the older one keeps the "
                    "cluster. If the second is a copy, stop it and join it as another cluster",
                    line.duplicate->peer, Rfc3339(line.duplicate->last_tried)),
        status);
  } else if (!line.conflict.empty()) {
    Set(State::PARTIAL, Word(StatusReason::kStateConflict), line.conflict, status);
  } else if (!line.ever_connected) {
    Set(State::ACCEPTED, Word(StatusReason::kNeverJoined),
        fmt::format("no agent of it has connected yet; `weir cluster token {}` makes the token with which one joins",
                    status.fqn().substr(status.fqn().rfind('/') + 1)),
        status);
  } else if (!line.connected && line.admin_state == v2::MAINTENANCE) {
    Set(State::READY, Word(StatusReason::kMaintenance),
        fmt::format("in maintenance; its agent is not connected, last heard of at {}", Rfc3339(line.last_seen)) +
            IdentitiesOf(line),
        status);
  } else if (!line.connected && line.revoked) {
    Set(State::PARTIAL, Word(StatusReason::kRevoked), Revocation(status.fqn()).message + IdentitiesOf(line), status);
  } else if (!line.connected) {
    Set(State::PARTIAL, Word(StatusReason::kDisconnected),
        fmt::format("its agent is not connected; last heard of at {}; its gateways go on with what they know",
                    Rfc3339(line.last_seen)) +
            IdentitiesOf(line),
        status);
  } else {
    JudgeConnected(line, status);
  }
  const AdminWords* words = WordsOf(line.admin_state);
  if (words != nullptr && status.reason() != Word(words->reason))
    status.set_message(fmt::format("{}; {}", status.message(), words->aside));
}

}  // namespace weir::status
