#include "mgmt-server/fleet/applied.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/weir/agent/v1/agent.pb.h"
#include "libs/base/text.h"
#include "libs/resource/status_reason.h"
#include "libs/rpc/time.h"
#include "libs/xds/protocol/types.h"

namespace weir::fleet {
namespace {

using resource::StatusReason;
using State = v2::ResourceStatus;

// "type.googleapis.com/weir.mesh.v1.Host" -> "Host"
std::string ShortType(const std::string& url) { return url.substr(url.rfind('.') + 1); }

// Longer than any name that the server gives: of nothing that it asked for.
constexpr size_t kMaxName = 1024;
bool IsTooLong(const agent::v1::AppliedIntent& intent) {
  return intent.type().size() > kMaxName || intent.name().size() > kMaxName;
}

int Badness(State::State state) {
  switch (state) {
    case State::FAILED:
      return 3;
    case State::PARTIAL:
      return 2;
    case State::ACCEPTED:
      return 1;
    default:
      return 0;
  }
}

}  // namespace

void AppliedTable::Report(const std::string& cluster, const agent::v1::Applied& report, WallTime now) {
  ClusterTable& table = clusters_[cluster];
  if (report.full()) {
    table.told = true;
    table.gateways.clear();
    table.intents = 0;
  }
  Take(report, now, table);
}

void AppliedTable::Take(const agent::v1::Applied& report, WallTime now, ClusterTable& table) {
  for (const auto& gateway : report.gateways()) {
    if (gateway.workload().size() > kMaxName) continue;
    auto known = table.gateways.find(gateway.workload());
    if (known == table.gateways.end()) {
      if (table.gateways.size() >= kMaxGateways) continue;
      known = table.gateways.emplace(gateway.workload(), GatewayState()).first;
    }
    GatewayState& state = known->second;
    state.connected = gateway.connected();
    state.reports_health = gateway.reports_health();
    state.time = now;
    for (const auto& intent : gateway.intents()) {
      const compile::Key key{intent.type(), intent.name()};
      if (intent.removed()) {
        table.intents -= state.intents.erase(key);
        continue;
      }
      if (!state.intents.contains(key)) {
        if (table.intents >= kMaxIntents || IsTooLong(intent)) continue;
        ++table.intents;
      }
      state.intents[key] = {intent.version().substr(0, kMaxName), intent.rejected_version().substr(0, kMaxName),
                            CleanText(intent.error(), kMaxText)};
    }
  }
}

void AppliedTable::ReportAgent(const std::string& cluster, const xds::AckEvent& event, WallTime now) {
  ClusterTable& table = clusters_[cluster];
  table.time = now;
  const std::string type = ShortType(event.type_url);
  for (const auto& [name, version] : event.accepted_resources) table.refused.erase({type, name});
  for (const std::string& name : event.removed) table.refused.erase({type, name});
  for (const auto& [name, version] : event.rejected_resources) {
    const compile::Key key{type, name};
    if (table.refused.size() >= kMaxRefused && !table.refused.contains(key)) continue;
    table.refused[key] = {"", version, CleanText(event.error, kMaxText)};
  }
}

void AppliedTable::SetConnected(const std::string& cluster, bool connected, WallTime now) {
  ClusterTable& table = clusters_[cluster];
  table.connected = connected;
  table.told = false;
  table.time = now;
}

bool AppliedTable::Connected(const std::string& cluster) const {
  const auto found = clusters_.find(cluster);
  return found != clusters_.end() && found->second.connected;
}

bool AppliedTable::Told(const std::string& cluster) const {
  const auto found = clusters_.find(cluster);
  return found != clusters_.end() && found->second.connected && found->second.told;
}

void AppliedTable::Forget(const std::string& cluster) { clusters_.erase(cluster); }

const GatewayState* AppliedTable::Find(const std::string& cluster, const std::string& workload) const {
  const auto table = clusters_.find(cluster);
  if (table == clusters_.end()) return nullptr;
  const auto gateway = table->second.gateways.find(workload);
  return gateway == table->second.gateways.end() ? nullptr : &gateway->second;
}

const std::map<std::string, GatewayState>& AppliedTable::GatewaysOf(const std::string& cluster) const {
  static const std::map<std::string, GatewayState> kNone;
  const auto table = clusters_.find(cluster);
  return table == clusters_.end() ? kNone : table->second.gateways;
}

const AppliedVersion* AppliedTable::RefusedByAgent(const std::string& cluster, const compile::Key& key) const {
  const auto table = clusters_.find(cluster);
  if (table == clusters_.end()) return nullptr;
  const auto refused = table->second.refused.find(key);
  return refused == table->second.refused.end() ? nullptr : &refused->second;
}

namespace {

// One gateway's part: does it serve these versions?
v2::GatewayStatus OfGateway(const compile::Concern& concern, const std::string& workload, const AppliedTable& applied,
                            const PlightOf& plight) {
  v2::GatewayStatus status;
  status.set_cluster(concern.cluster);
  status.set_workload(workload);
  const GatewayState* gateway = applied.Find(concern.cluster, workload);
  if (gateway != nullptr && gateway->time != WallTime{}) *status.mutable_time() = rpc::ToTimestamp(gateway->time);
  size_t acknowledged = 0;
  for (const auto& [key, version] : concern.keys) {
    const AppliedVersion* refused = applied.RefusedByAgent(concern.cluster, key);
    const AppliedVersion* own = nullptr;
    if (gateway != nullptr) {
      const auto found = gateway->intents.find(key);
      if (found != gateway->intents.end()) own = &found->second;
    }
    if (own != nullptr && own->version == version) ++acknowledged;
    const AppliedVersion* at_fault = refused != nullptr && refused->rejected_version == version ? refused
                                     : own != nullptr && own->rejected_version == version       ? own
                                                                                                : nullptr;
    if (at_fault != nullptr) {
      status.set_state(State::FAILED);
      status.set_reason(Word(StatusReason::kRejected));
      status.set_message(
          fmt::format("{} {}: {}{}", key.type, key.name, at_fault == refused ? "the agent: " : "", at_fault->error));
      return status;
    }
  }
  if (concern.not_admitted) {
    status.set_state(State::FAILED);
    status.set_reason(Word(StatusReason::kTier1NotAdmitted));
    status.set_message(
        fmt::format("other clusters do not let tier-1 gateways of {} in; an administrator says so in its "
                    "spec.tier1Cluster",
                    concern.cluster));
    return status;
  }
  const bool current = acknowledged == concern.keys.size();
  const bool here = applied.Connected(concern.cluster);
  status::Shortfall why = plight ? plight(concern.cluster) : status::Shortfall{};
  if (here && current) why = {};  // Whatever its cluster's plight: it runs just this.
  if (why.reason.empty() && !(here && gateway != nullptr && gateway->connected)) {
    why = {Word(StatusReason::kDisconnected),
           fmt::format("{}{} not connected{}", current ? "had it, but " : "",
                       here ? "the gateway is" : "the cluster's agent is", here ? " to its agent" : "")};
  } else if (why.reason.empty() && !current) {
    why = {Word(StatusReason::kWaitingForAck),
           fmt::format("{} of {} parts acknowledged", acknowledged, concern.keys.size())};
  }
  status.set_state(why.reason.empty() ? State::READY : State::ACCEPTED);
  status.set_reason(why.reason);
  status.set_message(why.message);
  return status;
}

// Silence is reported before slowness: it needs somebody to look. A known cause of it before both.
int Urgency(const v2::GatewayStatus& gateway) {
  if (gateway.reason() == Word(StatusReason::kWaitingForAck)) return 0;
  return gateway.reason() == Word(StatusReason::kDisconnected) ? 1 : 2;
}

}  // namespace

v2::ResourceStatus StoredStatus(std::string_view fqn, std::string_view kind, int64_t revision) {
  v2::ResourceStatus status;
  status.set_fqn(std::string(fqn));
  status.set_kind(std::string(kind));
  status.set_revision(revision);
  status.set_state(State::READY);
  status.set_worst(State::READY);
  return status;
}

v2::ResourceStatus StatusOf(std::string_view fqn, std::string_view kind, int64_t revision,
                            const std::vector<compile::Concern>& concerns, const AppliedTable& applied,
                            const PlightOf& plight) {
  v2::ResourceStatus status = StoredStatus(fqn, kind, revision);
  // A workload may be concerned in more than one way: one line each, the worst counts.
  std::map<std::pair<std::string, std::string>, v2::GatewayStatus> gateways;
  for (const compile::Concern& concern : concerns) {
    for (const std::string& workload : concern.workloads) {
      v2::GatewayStatus one = OfGateway(concern, workload, applied, plight);
      if (concern.if_connected && Urgency(one) > 0 && one.state() == State::ACCEPTED) continue;
      auto& kept = gateways[{concern.cluster, workload}];
      if (kept.workload().empty() || Badness(one.state()) > Badness(kept.state())) kept = std::move(one);
    }
  }
  size_t ready = 0;
  const v2::GatewayStatus* failed = nullptr;
  const v2::GatewayStatus* waiting = nullptr;
  for (const auto& [who, gateway] : gateways) {
    *status.add_gateways() = gateway;
    if (gateway.state() == State::READY)
      ++ready;
    else if (gateway.state() == State::FAILED)
      failed = failed ? failed : &gateway;
    else if (waiting == nullptr || Urgency(gateway) >= Urgency(*waiting))
      waiting = &gateway;
  }
  const auto set = [&](State::State state, const std::string& reason, const std::string& message) {
    status.set_state(state);
    status.set_reason(reason);
    status.set_message(message);
  };
  if (gateways.empty()) {
    set(State::ACCEPTED, Word(StatusReason::kNoWorkload), "no gateway workload is selected");
  } else if (failed != nullptr) {
    set(State::FAILED, failed->reason(),
        fmt::format("{} {}: {}", failed->cluster(), failed->workload(), failed->message()));
  } else if (ready < gateways.size()) {
    set(ready > 0 ? State::PARTIAL : State::ACCEPTED, waiting->reason(),
        fmt::format("{} of {} gateways serve it; {} {}: {}", ready, gateways.size(), waiting->cluster(),
                    waiting->workload(), waiting->message()));
  }
  status.set_worst(status.state());
  return status;
}

void RollUp(std::vector<v2::ResourceStatus>& items) {
  std::map<std::string, v2::ResourceStatus*> by_fqn;
  for (auto& item : items) {
    item.set_worst(item.state());
    by_fqn[item.fqn()] = &item;
  }
  for (const auto& item : items) {
    // Every prefix that ends before a '/' may be an ancestor.
    for (size_t slash = item.fqn().rfind('/'); slash != std::string::npos && slash > 0;
         slash = item.fqn().rfind('/', slash - 1)) {
      const auto parent = by_fqn.find(item.fqn().substr(0, slash));
      if (parent == by_fqn.end()) continue;
      if (Badness(item.state()) > Badness(parent->second->worst())) parent->second->set_worst(item.state());
    }
  }
  for (auto& item : items) {
    if (item.state() == State::READY && item.worst() != State::READY && item.reason().empty()) {
      item.set_reason(Word(StatusReason::kChild));
      item.set_message("something below it is not ready");
    }
  }
}

}  // namespace weir::fleet
