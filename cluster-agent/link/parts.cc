#include "cluster-agent/link/parts.h"

#include <utility>

namespace weir::agent {

std::vector<v1::AgentMessage> InParts(v1::FactsDelta delta, size_t most) {
  std::vector<v1::AgentMessage> parts;
  size_t in_part = 0;
  const auto part = [&](size_t bytes) -> v1::FactsDelta& {
    if (parts.empty() || in_part + bytes > most) {
      if (!parts.empty()) parts.back().mutable_facts()->set_more(true);
      v1::FactsDelta& fresh = *parts.emplace_back().mutable_facts();
      fresh.set_sequence(delta.sequence());
      fresh.set_full(delta.full());
      in_part = 0;
    }
    in_part += bytes;
    return *parts.back().mutable_facts();
  };
  for (auto& item : *delta.mutable_workloads()) *part(item.ByteSizeLong()).add_workloads() = std::move(item);
  for (auto& item : *delta.mutable_services()) *part(item.ByteSizeLong()).add_services() = std::move(item);
  for (auto& key : *delta.mutable_removed_workloads()) part(key.size()).add_removed_workloads(std::move(key));
  for (auto& key : *delta.mutable_removed_services()) part(key.size()).add_removed_services(std::move(key));
  v1::FactsDelta& last = part(delta.hash().size());
  last.set_hash(delta.hash());
  last.set_empty_is_proven(delta.empty_is_proven());
  return parts;
}

std::vector<v1::AgentMessage> InParts(const v1::Applied& applied, size_t most) {
  std::vector<v1::AgentMessage> parts;
  parts.emplace_back().mutable_applied()->set_full(applied.full());
  size_t in_part = 0;
  for (const v1::GatewayApplied& gateway : applied.gateways()) {
    v1::GatewayApplied* into = nullptr;
    const auto begin = [&] {
      into = parts.back().mutable_applied()->add_gateways();
      into->set_workload(gateway.workload());
      into->set_connected(gateway.connected());
      into->set_reports_health(gateway.reports_health());
      in_part += gateway.workload().size();
    };
    begin();
    for (const v1::AppliedIntent& intent : gateway.intents()) {
      if (in_part + intent.ByteSizeLong() > most) {
        parts.emplace_back().mutable_applied();
        in_part = 0;
        begin();
      }
      in_part += intent.ByteSizeLong();
      *into->add_intents() = intent;
    }
  }
  return parts;
}

}  // namespace weir::agent
