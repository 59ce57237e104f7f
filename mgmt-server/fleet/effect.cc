#include "mgmt-server/fleet/effect.h"

#include <map>

#include "libs/resource/kinds.h"
#include "mgmt-server/compile/gateway_shape.h"
#include "mgmt-server/compile/keys.h"

namespace weir::fleet {
namespace {

using ByFqn = std::map<std::string, Touched>;

void AddBelow(const compile::World& world, const std::string& parent, bool tier1_only, const Touched& how, ByFqn& all) {
  world.state().EachGatewayBelow(parent, [&](const compile::GatewayShape& shape) {
    if (!tier1_only || shape.tier1) all[shape.fqn] = how;
  });
}

void AddSenders(const compile::World& world, const std::string& cluster, const compile::Trace& trace, ByFqn& all) {
  const auto& targets = world.state().by_target_cluster;
  if (const auto sending = targets.find(resource::LastName(cluster)); sending != targets.end()) {
    for (const std::string& gateway : sending->second) {
      if (resource::IsAtOrBelow(gateway, std::string(resource::OrganizationFqn(cluster))))
        all[gateway].own.elsewhere = true;
    }
  }
  for (const std::string& gateway : trace.left) {
    if (world.gateway(gateway) != nullptr) all[gateway].own.elsewhere = true;
  }
  for (const std::string& gateway : trace.come) {
    if (world.gateway(gateway) != nullptr) all[gateway].others.there = true;
  }
}

void AddOwn(const compile::World& world, const std::string& cluster, const compile::Trace& trace, ByFqn& all) {
  const v2::Cluster* written = world.cluster(cluster);
  if (written == nullptr || (!trace.moved && !trace.admission)) return;
  for (const compile::GatewayShape* shape : compile::ShapesIn(world, cluster)) {
    if (!shape->tier1) continue;
    Touched& touched = all[shape->fqn];
    // Those whom nobody lets in any more have nothing to do for it.
    touched.own.there |= trace.moved || written->spec().tier1_cluster();
    touched.others.there |= trace.admission;
    touched.others.elsewhere |= trace.admission;
  }
}

}  // namespace

std::vector<Touched> GatewaysTouched(const compile::World& world, const std::string& fqn, const compile::Trace& trace) {
  constexpr Touched::Gateways kAll{.there = true, .elsewhere = true};
  const Touched whole{.fqn = "", .own = kAll, .others = kAll};
  ByFqn all;
  switch (compile::EffectOf(fqn)) {
    case resource::Effect::kGateway:
      all[fqn] = whole;
      break;
    case resource::Effect::kBelow:
      AddBelow(world, fqn, false, whole, all);
      break;
    case resource::Effect::kDefaults:
      AddBelow(world, resource::ParentFqn(fqn), true, {.fqn = "", .own = kAll, .others = {}}, all);
      break;
    case resource::Effect::kCluster:
      AddSenders(world, fqn, trace, all);
      AddOwn(world, fqn, trace, all);
      break;
    case resource::Effect::kNone:
    case resource::Effect::kOrganization:
      break;
  }
  std::vector<Touched> touched;
  for (auto& [gateway, how] : all) {
    how.fqn = gateway;
    touched.push_back(std::move(how));
  }
  return touched;
}

}  // namespace weir::fleet
