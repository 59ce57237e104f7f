#include "api/weir/v2/istio_internal_group.pb.h"
#include "libs/resource/kinds/groups.h"

namespace weir::resource {

KindRules IstioInternalGroupRules() {
  auto rules = RulesOfGroup<v2::IstioInternalGroup>();
  rules.always = {{"spec.configMode", {"DIRECT"}}};
  return rules.Rules();
}

}  // namespace weir::resource
