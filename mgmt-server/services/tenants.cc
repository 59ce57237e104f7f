#include "mgmt-server/services/crud.h"
#include "mgmt-server/services/services.h"

namespace weir::services {

void AddTenants(MethodTable& table, const Backends& backends, Writes& writes) {
  AddCrud(table, backends, writes, resource::Kind::kTenant);
}

}  // namespace weir::services
