#include "mgmt-server/fleet/effect.h"

#include "libs/resource/kinds.h"
#include "mgmt-server/compile/gateway_shape.h"

namespace weir::fleet {

std::vector<std::string> GatewaysTouched(const compile::World& world, std::string_view fqn) {
  std::vector<std::string> touched;
  const compile::World::State& state = world.state();
  const auto below = [&](const std::string& parent, bool tier1_only) {
    for (auto at = state.gateways.lower_bound(parent); at != state.gateways.end(); ++at) {
      if (!at->first.starts_with(parent)) break;
      if (resource::IsAtOrBelow(at->first, parent) && (!tier1_only || at->second->tier1)) touched.push_back(at->first);
    }
  };
  switch (compile::EffectOf(fqn)) {
    case resource::Effect::kGateway:
      touched.emplace_back(fqn);
      break;
    case resource::Effect::kBelow:
      below(std::string(fqn), false);
      break;
    case resource::Effect::kDefaults:
      below(resource::ParentFqn(fqn), true);
      break;
    case resource::Effect::kCluster: {
      const auto routing = state.by_target_cluster.find(resource::LastName(fqn));
      if (routing == state.by_target_cluster.end()) break;
      for (const std::string& gateway : routing->second) {
        if (resource::IsAtOrBelow(gateway, compile::OrganizationFqn(fqn))) touched.push_back(gateway);
      }
      break;
    }
    case resource::Effect::kNone:
    case resource::Effect::kOrganization:
      break;
  }
  return touched;
}

}  // namespace weir::fleet
