#include "api/weir/v2/security_group.pb.h"
#include "libs/resource/kinds/groups.h"

namespace weir::resource {

KindRules SecurityGroupRules() { return RulesOfGroup<v2::SecurityGroup>().Rules(); }

}  // namespace weir::resource
