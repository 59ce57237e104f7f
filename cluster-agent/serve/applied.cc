#include "cluster-agent/serve/applied.h"

#include "api/weir/agent/v1/agent.pb.h"
#include "libs/base/walk.h"

namespace weir::agent {
namespace {

// Absence of these in what a gateway has can be known; routes, endpoints and secrets go with their parents (rule T19).
constexpr std::string_view kRemovable[] = {xds::kListener, xds::kCluster, xds::kVirtualHost};

// What EnvoyResource::needs is about.
constexpr std::string_view kNeeded[] = {xds::kCluster, xds::kEndpoints};
bool IsNeeded(std::string_view url) { return url == kNeeded[0] || url == kNeeded[1]; }

using Named = std::map<std::string, translate::EnvoyResourcePtr>;

const Named& NamedOf(const translate::NodeConfig* config, std::string_view url) {
  static const Named none;
  if (config == nullptr) return none;
  const auto found = config->types.find(url);
  return found == config->types.end() ? none : found->second;
}

// Calls `gone(name, resource)` and `come(name, resource)` for what differs; resources that stay are the same object.
template <typename Gone, typename Come>
void Compare(const Named& before, const Named& after, Gone gone, Come come) {
  WalkBoth(
      before, after,
      [&](const std::string& name, const translate::EnvoyResourcePtr* old, const translate::EnvoyResourcePtr* now) {
        if (old != nullptr && now != nullptr && *old == *now) return;
        if (old != nullptr) gone(name, **old);
        if (now != nullptr) come(name, **now);
      });
}

}  // namespace

void AppliedLedger::SetConfig(const std::string& workload, std::shared_ptr<const translate::NodeConfig> config) {
  Gateway& gateway = gateways_[workload];
  for (size_t type = 0; type < std::size(xds::kEnvoyTypes); ++type) {
    Compare(
        NamedOf(gateway.config.get(), xds::kEnvoyTypes[type]), NamedOf(config.get(), xds::kEnvoyTypes[type]),
        [&](const std::string& name, const translate::EnvoyResource& resource) {
          for (const translate::IntentRef& origin : resource.origins) {
            IntentKey key{origin.type, origin.name};
            gateway.pieces[key].parts.erase({type, name});
            gateway.touched.insert(std::move(key));
          }
          for (const std::string& destination : resource.needs) {
            const auto found = gateway.needed_by.find(destination);
            found->second.erase({type, name});
            if (found->second.empty()) gateway.needed_by.erase(found);
          }
        },
        [&](const std::string& name, const translate::EnvoyResource& resource) {
          for (const translate::IntentRef& origin : resource.origins) {
            IntentKey key{origin.type, origin.name};
            gateway.pieces[key].parts.emplace(type, name);
            gateway.touched.insert(std::move(key));
          }
          for (const std::string& destination : resource.needs) gateway.needed_by[destination].emplace(type, name);
        });
  }
  gateway.config = std::move(config);
  if (gateway.forgotten) TouchAll(&gateway);
  gateway.forgotten = false;
  gateway.dirty = true;
}

void AppliedLedger::TouchAll(Gateway* gateway) {
  for (const auto& [key, piece] : gateway->pieces) gateway->touched.insert(key);
}

// Everything that a resource of this answer is made of.
void AppliedLedger::Touch(Gateway* gateway, const xds::AckEvent& event) {
  const auto touch_one = [&](std::string_view url, const std::string& name) {
    const Named& wanted = NamedOf(gateway->config.get(), url);
    const auto found = wanted.find(name);
    if (found == wanted.end()) return;
    for (const translate::IntentRef& origin : found->second->origins)
      gateway->touched.emplace(origin.type, origin.name);
  };
  const auto touch = [&](const std::string& name) {
    touch_one(event.type_url, name);
    if (!IsNeeded(event.type_url)) return;
    const auto found = gateway->needed_by.find(name);
    if (found == gateway->needed_by.end()) return;
    for (const auto& [type, dependent] : found->second) touch_one(xds::kEnvoyTypes[type], dependent);
  };
  for (const xds::NamedVersion& resource : event.accepted_resources) touch(resource.name);
  for (const xds::NamedVersion& resource : event.rejected_resources) touch(resource.name);
  for (const std::string& name : event.removed) touch(name);
  for (const std::string& name : event.replaced) touch(name);
}

// Another stream counts than before: it may be of a process that runs nothing yet.
void AppliedLedger::CountAnew(Gateway* gateway) {
  for (auto& [key, piece] : gateway->pieces) {
    if (piece.said) piece.said.emplace();
  }
  TouchAll(gateway);
}

void AppliedLedger::OnOpened(const std::string& workload, uint64_t stream, bool reports_health) {
  Gateway& gateway = gateways_[workload];
  const bool newest = stream > Counting(workload);
  gateway.streams[stream];
  gateway.last = {};
  gateway.ever_connected = true;
  gateway.reports_health = reports_health;
  if (newest) CountAnew(&gateway);
  gateway.dirty = true;
}

void AppliedLedger::OnClosed(const std::string& workload, uint64_t stream) {
  const auto found = gateways_.find(workload);
  if (found == gateways_.end()) return;
  Gateway& gateway = found->second;
  const auto closed = gateway.streams.find(stream);
  if (closed == gateway.streams.end()) return;
  const bool counted = Counting(workload) == stream;
  if (gateway.streams.size() == 1) gateway.last = std::move(closed->second);
  gateway.streams.erase(closed);
  if (counted && !gateway.streams.empty()) CountAnew(&gateway);
  gateway.dirty = true;
}

uint64_t AppliedLedger::Counting(const std::string& workload) const {
  const auto found = gateways_.find(workload);
  return found == gateways_.end() || found->second.streams.empty() ? 0 : found->second.streams.rbegin()->first;
}

void AppliedLedger::OnAck(const std::string& workload, uint64_t stream, const xds::AckEvent& event) {
  const auto found = gateways_.find(workload);
  if (found == gateways_.end()) return;
  Gateway& gateway = found->second;
  const auto from = gateway.streams.find(stream);
  if (from == gateway.streams.end()) return;
  auto& acknowledged = from->second.acknowledged[event.type_url];
  auto& rejected = from->second.rejected[event.type_url];
  for (const xds::NamedVersion& resource : event.accepted_resources) {
    acknowledged[resource.name] = resource.version;
    rejected.erase(resource.name);
  }
  for (const xds::NamedVersion& resource : event.rejected_resources) {
    rejected[resource.name] = {resource.version, event.error};
    // What it had taken it may refuse when it comes to serving it: a listener whose port is found to be taken.
    const auto had = acknowledged.find(resource.name);
    if (had != acknowledged.end() && had->second == resource.version) had->second.clear();
  }
  for (const std::string& name : event.removed) {
    acknowledged.erase(name);
    rejected.erase(name);
  }
  // It has something of that name, but should the version before be wanted again, its old word for it is worth nothing.
  for (const std::string& name : event.replaced) acknowledged[name].clear();
  if (std::next(from) != gateway.streams.end()) return;  // Kept until it counts.
  Touch(&gateway, event);
  gateway.dirty = true;
}

bool AppliedLedger::Answered(const std::string& workload, std::string_view type_url, const std::string& name) const {
  const auto found = gateways_.find(workload);
  if (found == gateways_.end() || !found->second.connected() || found->second.config == nullptr) return true;
  if (found->second.config->Find(type_url, name) == nullptr) return true;
  const Rejection* rejection = nullptr;
  return Runs(found->second, std::string(type_url), name, &rejection) || rejection != nullptr;
}

void AppliedLedger::Forget(const std::string& workload) {
  const auto found = gateways_.find(workload);
  if (found == gateways_.end()) return;
  found->second.forgotten = true;  // Its streams stand until they end: it may be declared again before.
  TouchAll(&found->second);
  found->second.dirty = true;
}

// It still runs something that it should not.
bool AppliedLedger::HasLeftovers(const Gateway& gateway) {
  for (const std::string_view url : kRemovable) {
    const Named& wanted = NamedOf(gateway.config.get(), url);
    const auto has = gateway.words().acknowledged.find(std::string(url));
    if (has == gateway.words().acknowledged.end()) continue;
    for (const auto& [name, version] : has->second) {
      if (!wanted.contains(name)) return true;
    }
  }
  return false;
}

// It runs this resource as it is wanted. If not: its refusal of it, if there is one.
bool AppliedLedger::Runs(const Gateway& gateway, const std::string& url, const std::string& name,
                         const Rejection** rejection) {
  const translate::EnvoyResource* wanted = gateway.config->Find(url, name);
  if (wanted == nullptr) return false;
  const std::string& version = wanted->resource->version;
  const Words& words = gateway.words();
  if (const auto yes = words.acknowledged.find(url); yes != words.acknowledged.end()) {
    const auto has = yes->second.find(name);
    if (has != yes->second.end() && has->second == version) return true;
  }
  const auto no = words.rejected.find(url);
  if (no == words.rejected.end()) return false;
  const auto refusal = no->second.find(name);
  if (refusal != no->second.end() && refusal->second.version == version) *rejection = &refusal->second;
  return false;
}

// What can be said of a piece that something is made of.
std::optional<AppliedLedger::Said> AppliedLedger::Judge(const Gateway& gateway, const IntentKey& key,
                                                        const Piece& piece) {
  std::string wanted;
  bool runs = true;
  const Rejection* rejection = nullptr;
  for (const auto& [type, name] : piece.parts) {
    const std::string url(xds::kEnvoyTypes[type]);
    const translate::EnvoyResource& resource = *NamedOf(gateway.config.get(), url).at(name);
    for (const translate::IntentRef& origin : resource.origins) {
      if (origin.type == key.first && origin.name == key.second) wanted = origin.version;
    }
    runs &= Runs(gateway, url, name, &rejection);
    for (const std::string& destination : resource.needs) {
      for (const std::string_view needed : kNeeded) runs &= Runs(gateway, std::string(needed), destination, &rejection);
    }
  }
  Said said = piece.said.value_or(Said());
  if (runs) said.version = wanted;
  said.rejected_version = rejection == nullptr ? "" : wanted;
  said.error = rejection == nullptr ? "" : rejection->error;
  return said;
}

void AppliedLedger::Recompute(Gateway* gateway) {
  gateway->dirty = false;
  if (gateway->config == nullptr) return;
  std::optional<bool> may_forget;  // Asked once, and only when something is made of nothing any more.
  std::set<IntentKey> later;
  for (const IntentKey& key : gateway->touched) {
    const auto found = gateway->pieces.find(key);
    if (found == gateway->pieces.end()) continue;
    Piece& piece = found->second;
    gateway->unsaid.insert(key);
    if (gateway->forgotten) {
      piece.said.reset();
    } else if (!piece.parts.empty()) {
      piece.said = Judge(*gateway, key, piece);
    } else {
      if (!may_forget) may_forget = gateway->connected() && !HasLeftovers(*gateway);
      if (*may_forget) {
        piece.said.reset();
      } else {
        later.insert(key);
      }
    }
  }
  gateway->touched = std::move(later);
}

bool AppliedLedger::ReportOne(bool full, Gateway* gateway, v1::GatewayApplied* out) {
  if (gateway->dirty) Recompute(gateway);
  const bool connected = gateway->connected();
  bool differs = full || !gateway->reported_once || connected != gateway->reported_connected;
  out->set_connected(connected);
  out->set_reports_health(gateway->reports_health);
  const auto say = [&](std::map<IntentKey, Piece>::iterator at) {
    auto& [key, piece] = *at;
    if (piece.said ? full || piece.reported != piece.said : !full && piece.reported) {
      v1::AppliedIntent* intent = out->add_intents();
      intent->set_type(key.first);
      intent->set_name(key.second);
      if (piece.said) {
        intent->set_version(piece.said->version);
        intent->set_rejected_version(piece.said->rejected_version);
        intent->set_error(piece.said->error);
      } else {
        intent->set_removed(true);
      }
      differs = true;
    }
    piece.reported = piece.said;
    return piece.said || !piece.parts.empty() ? std::next(at) : gateway->pieces.erase(at);
  };
  if (full) {
    for (auto at = gateway->pieces.begin(); at != gateway->pieces.end();) at = say(at);
  } else {
    for (const IntentKey& key : gateway->unsaid) {
      const auto at = gateway->pieces.find(key);
      if (at != gateway->pieces.end()) say(at);
    }
  }
  gateway->unsaid.clear();
  gateway->reported_connected = connected;
  gateway->reported_once = true;
  return differs;
}

bool AppliedLedger::Report(bool full, v1::Applied* out) {
  out->set_full(full);
  bool differs = full;
  for (auto at = gateways_.begin(); at != gateways_.end();) {
    auto& [workload, gateway] = *at;
    const bool waiting = !gateway.ever_connected;
    v1::GatewayApplied one;
    one.set_workload(workload);
    if (!waiting && (full || gateway.dirty) && ReportOne(full, &gateway, &one)) {
      *out->add_gateways() = std::move(one);
      differs = true;
    }
    const bool over = gateway.forgotten && gateway.streams.empty() && (waiting || !gateway.dirty);
    at = over ? gateways_.erase(at) : std::next(at);
  }
  return differs;
}

}  // namespace weir::agent
