#include "cluster-agent/serve/applied.h"

#include "api/weir/agent/v1/agent.pb.h"

namespace weir::agent {
namespace {

// Absence of these in what a gateway has can be known; routes, endpoints and secrets go with their parents (rule T19).
constexpr std::string_view kRemovable[] = {xds::kListener, xds::kCluster, xds::kVirtualHost};

}  // namespace

void AppliedLedger::SetConfig(const std::string& workload, std::shared_ptr<const NodeConfig> config) {
  Gateway& gateway = gateways_[workload];
  gateway.config = std::move(config);
  gateway.forgotten = false;
  gateway.dirty = true;
}

void AppliedLedger::OnOpened(const std::string& workload, uint64_t stream) {
  Gateway& gateway = gateways_[workload];
  if (stream < gateway.stream) return;
  gateway.stream = stream;
  gateway.ever_connected = true;
  gateway.acknowledged.clear();
  gateway.rejected.clear();
  for (auto& [key, said] : gateway.intents) said = {};  // It may be a new process that runs nothing yet.
  gateway.dirty = true;
}

void AppliedLedger::OnClosed(const std::string& workload, uint64_t stream) {
  const auto found = gateways_.find(workload);
  if (found == gateways_.end() || found->second.stream != stream) return;
  found->second.stream = 0;
  found->second.dirty = true;
}

void AppliedLedger::OnAck(const std::string& workload, uint64_t stream, const xds::AckEvent& event) {
  const auto found = gateways_.find(workload);
  if (found == gateways_.end() || found->second.stream != stream) return;
  Gateway& gateway = found->second;
  auto& acknowledged = gateway.acknowledged[event.type_url];
  auto& rejected = gateway.rejected[event.type_url];
  for (const xds::NamedVersion& resource : event.accepted_resources) {
    acknowledged[resource.name] = resource.version;
    rejected.erase(resource.name);
  }
  for (const xds::NamedVersion& resource : event.rejected_resources) {
    rejected[resource.name] = {resource.version, event.error};
  }
  for (const std::string& name : event.removed) {
    acknowledged.erase(name);
    rejected.erase(name);
  }
  // It has something of that name, but should the version before be wanted again, its old word for it is worth nothing.
  for (const std::string& name : event.replaced) acknowledged[name].clear();
  gateway.dirty = true;
}

void AppliedLedger::Forget(const std::string& workload) {
  const auto found = gateways_.find(workload);
  if (found == gateways_.end()) return;
  found->second.forgotten = true;
  found->second.stream = 0;
  found->second.dirty = true;
}

void AppliedLedger::Recompute(Gateway* gateway) {
  gateway->dirty = false;
  if (gateway->config == nullptr) return;
  if (gateway->forgotten) {
    gateway->intents.clear();
    return;
  }
  struct Verdict {
    std::string version;
    bool runs = true;
    const Rejection* rejection = nullptr;
  };
  std::map<IntentKey, Verdict> verdicts;
  bool leftovers = false;  // It still runs something that it should not.
  for (const auto& [url, resources] : gateway->config->types) {
    const auto& acknowledged = gateway->acknowledged[url];
    const auto& rejected = gateway->rejected[url];
    for (const auto& [name, resource] : resources) {
      const auto has = acknowledged.find(name);
      const bool runs = has != acknowledged.end() && has->second == resource->resource->version;
      const auto refusal = rejected.find(name);
      const bool refused = !runs && refusal != rejected.end() && refusal->second.version == resource->resource->version;
      for (const IntentRef& origin : resource->origins) {
        Verdict& verdict = verdicts[{origin.type, origin.name}];
        verdict.version = origin.version;
        verdict.runs = verdict.runs && runs;
        if (refused) verdict.rejection = &refusal->second;
      }
    }
  }
  for (const std::string_view url : kRemovable) {
    const auto& wanted = gateway->config->types.find(url)->second;
    for (const auto& [name, version] : gateway->acknowledged[std::string(url)]) leftovers |= !wanted.contains(name);
  }
  for (const auto& [key, verdict] : verdicts) {
    Said& said = gateway->intents[key];
    if (verdict.runs) said.version = verdict.version;
    said.rejected_version = verdict.rejection == nullptr ? "" : verdict.version;
    said.error = verdict.rejection == nullptr ? "" : verdict.rejection->error;
  }
  if (leftovers || gateway->stream == 0) return;
  std::erase_if(gateway->intents, [&](const auto& entry) { return !verdicts.contains(entry.first); });
}

bool AppliedLedger::ReportOne(bool full, Gateway* gateway, v1::GatewayApplied* out) {
  if (gateway->dirty) Recompute(gateway);
  const bool connected = gateway->stream != 0;
  bool differs = full || !gateway->reported_once || connected != gateway->reported_connected;
  out->set_connected(connected);
  for (const auto& [key, said] : gateway->intents) {
    const auto before = gateway->reported.find(key);
    if (!full && before != gateway->reported.end() && before->second == said) continue;
    v1::AppliedIntent* intent = out->add_intents();
    intent->set_type(key.first);
    intent->set_name(key.second);
    intent->set_version(said.version);
    intent->set_rejected_version(said.rejected_version);
    intent->set_error(said.error);
    differs = true;
  }
  if (!full) {
    for (const auto& [key, said] : gateway->reported) {
      if (gateway->intents.contains(key)) continue;
      v1::AppliedIntent* intent = out->add_intents();
      intent->set_type(key.first);
      intent->set_name(key.second);
      intent->set_removed(true);
      differs = true;
    }
  }
  gateway->reported = gateway->intents;
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
    at = gateway.forgotten && (waiting || !gateway.dirty) ? gateways_.erase(at) : std::next(at);
  }
  return differs;
}

}  // namespace weir::agent
