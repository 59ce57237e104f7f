#include "mgmt-server/fleet/effect.h"

#include "libs/resource/kinds.h"
#include "mgmt-server/compile/gateway_shape.h"

namespace weir::fleet {

std::vector<std::string> GatewaysTouched(const compile::World& world, std::string_view kind, std::string_view fqn) {
  std::vector<std::string> touched;
  const compile::World::State& state = world.state();
  const std::string organization(compile::OrganizationFqn(fqn));
  if (compile::ReachesGateways(fqn)) {
    touched.emplace_back(fqn);
  } else if (kind == "Workspace" || kind == "GatewayGroup") {
    for (auto at = state.gateways.lower_bound(fqn); at != state.gateways.end(); ++at) {
      if (!at->first.starts_with(fqn)) break;
      if (resource::IsAtOrBelow(at->first, fqn)) touched.push_back(at->first);
    }
  } else if (kind == "Cluster") {
    const auto routing = state.by_target_cluster.find(resource::LastName(fqn));
    if (routing == state.by_target_cluster.end()) return touched;
    for (const std::string& gateway : routing->second) {
      if (resource::IsAtOrBelow(gateway, organization)) touched.push_back(gateway);
    }
  } else if (kind == "OrganizationSetting") {
    for (const auto& [gateway, shape] : state.gateways) {
      if (shape->tier1 && shape->organization == organization) touched.push_back(gateway);
    }
  }
  return touched;
}

}  // namespace weir::fleet
