#include "api/weir/v2/traffic_group.pb.h"
#include "libs/resource/kinds/groups.h"

namespace weir::resource {

KindRules TrafficGroupRules() { return RulesOfGroup<v2::TrafficGroup>().Rules(); }

}  // namespace weir::resource
