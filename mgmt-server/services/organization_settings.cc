#include "mgmt-server/services/crud.h"
#include "mgmt-server/services/services.h"

namespace weir::services {

void AddOrganizationSettings(MethodTable& table, const Backends& backends, Writes& writes) {
  AddCrud(table, backends, writes, resource::Kind::kOrganizationSetting);
}

}  // namespace weir::services
