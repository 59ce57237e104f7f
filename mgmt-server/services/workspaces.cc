#include "mgmt-server/services/crud.h"
#include "mgmt-server/services/services.h"

namespace weir::services {

void AddWorkspaces(MethodTable& table, const Backends& backends, Writes& writes) {
  AddCrud(table, backends, writes, resource::Kind::kWorkspace);
}

}  // namespace weir::services
