#include "api/weir/v2/gateway_group.pb.h"
#include "libs/resource/kinds/groups.h"

namespace weir::resource {

KindRules GatewayGroupRules() {
  auto rules = RulesOfGroup<v2::GatewayGroup>();
  rules.effect = Effect::kBelow;
  return rules.Rules();
}

}  // namespace weir::resource
