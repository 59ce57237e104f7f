#include "mgmt-server/server_status.h"

#include "libs/obs/metrics.h"
#include "libs/process/version.h"
#include "mgmt-server/fleet/fleet.h"
#include "mgmt-server/push/pusher.h"

namespace weir::server {

v2::ServerStatus StatusOf(const store::View& view, size_t agents, SelfWatch& watch) {
  v2::ServerStatus status;
  status.set_version(std::string(process::kVersion));
  status.set_resources(static_cast<int64_t>(view.resource_count()));
  status.set_agents(static_cast<int32_t>(agents));
  status.set_oldest_state(view.history_floor());
  watch.Fill(status);
  return status;
}

void RenderState(const store::View& view, size_t agents, std::string& out) {
  const std::pair<const char*, double> gauges[] = {
      {"weir_server_revision", static_cast<double>(view.revision())},
      {"weir_server_facts_sequence", static_cast<double>(view.facts_sequence())},
      {"weir_server_resources", static_cast<double>(view.resource_count())},
      {"weir_server_audit_records", static_cast<double>(view.audit_count())},
      {"weir_server_oldest_state", static_cast<double>(view.history_floor())},
      {"weir_server_agent_streams", static_cast<double>(agents)}};
  for (const auto& [name, value] : gauges) {
    obs::AppendFamily(out, name, "gauge", "See ARCHITECTURE.md.");
    obs::AppendSample(out, name, {}, value);
  }
}

Senses SensesOf(const std::string& state_dir, const store::Store& store, const push::Pusher& pusher,
                const InvariantWatch& invariants) {
  return {.disk = [state_dir] { return DiskSpaceOf(state_dir); },
          .stored = [&store] { return store.Read()->revision(); },
          .compiled = [&pusher] { return pusher.revision(); },
          .last_write = [&store] { return store.LastWrite(); },
          .broken_invariants = [&invariants] { return invariants.broken(); }};
}

InvariantWatch::Senses InvariantSensesOf(const fleet::Fleet& fleet, const push::Pusher& pusher) {
  return {.judge = [&fleet](const std::string& fqn) { return fleet.GetStatus(fqn); },
          .pushed = [&pusher] { return std::pair(pusher.revision(), pusher.facts_sequence()); }};
}

}  // namespace weir::server
