#include "mgmt-server/services/crud.h"
#include "mgmt-server/services/services.h"

namespace weir::services {

void AddGatewayGroups(MethodTable& table, const Backends& backends, Writes& writes) {
  AddCrud(table, backends, writes, resource::Kind::kGatewayGroup);
}

}  // namespace weir::services
