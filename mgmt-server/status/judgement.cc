#include "mgmt-server/status/judgement.h"

#include <algorithm>
#include <array>

namespace weir::status {
namespace {

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

}  // namespace

State NotPushed(State status) {
  Set(State::ACCEPTED, "WAITING_FOR_ACK", "not pushed yet", status);
  return status;
}

void AddScope(const compile::World& world, State& status) {
  const auto outside = compile::OutOfScopeOf(world, status.fqn());
  if (outside && status.reason() != "REJECTED") Set(State::FAILED, outside->reason, outside->message, status);
}

void AddReach(const Reach& reach, State& status) {
  if (status.state() != State::READY || reach.unserved == 0) return;
  const Shortfall& first = reach.shortfalls.front();
  std::string message = first.message;
  if (reach.unserved > 1) message += fmt::format(" (and {} more of {} routes)", reach.unserved - 1, reach.routes);
  Set(reach.unserved == reach.routes ? State::ACCEPTED : State::PARTIAL, first.reason, std::move(message), status);
}

bool IsUnserved(const State& status) {
  static constexpr std::array kByHealth = {"GATEWAYS_DOWN", "NO_ENDPOINT"};
  return LacksSomething(status) || std::find(kByHealth.begin(), kByHealth.end(), status.reason()) != kByHealth.end();
}

bool LacksSomething(const State& status) {
  static constexpr std::array kLacking = {"NO_WORKLOAD", "NO_RECEIVER", "ALL_DRAINED", "SERVICE_MISSING",
                                          "PORT_MISSING"};
  return std::find(kLacking.begin(), kLacking.end(), status.reason()) != kLacking.end();
}

void JudgeCluster(const ClusterLine& line, State& status) {
  if (line.duplicate) {
    Set(State::PARTIAL, "DUPLICATE_AGENT",
        fmt::format("a second agent with its identity is refused (from {}, last tried {}); the older one keeps the "
                    "cluster. If the second is a copy, stop it and join it as another cluster",
                    line.duplicate->peer, Rfc3339(line.duplicate->last_tried)),
        status);
  } else if (!line.conflict.empty()) {
    Set(State::PARTIAL, "STATE_CONFLICT", line.conflict, status);
  } else if (!line.ever_connected) {
    Set(State::ACCEPTED, "NEVER_JOINED",
        fmt::format("no agent of it has connected yet; `weir cluster token {}` makes the token with which one joins",
                    status.fqn().substr(status.fqn().rfind('/') + 1)),
        status);
  } else if (!line.connected) {
    Set(State::PARTIAL, "DISCONNECTED",
        fmt::format("its agent is not connected; last heard of at {}; its gateways go on with what they know",
                    Rfc3339(line.last_seen)) +
            IdentitiesOf(line),
        status);
  } else if (!line.problems.empty()) {
    const v2::ClusterProblem& first = line.problems.front();
    Set(State::READY, "AGENT_PROBLEM", fmt::format("{}: {}", first.source(), first.text()), status);
  } else if (line.draining) {
    Set(State::READY, "DRAINING", "it gets no new requests; `weir cluster activate` undoes it", status);
  }
  if (line.draining && status.reason() != "DRAINING") status.set_message(status.message() + "; it is draining");
}

}  // namespace weir::status
