#include "mgmt-server/services/crud.h"
#include "mgmt-server/services/services.h"

namespace weir::services {

void AddTier1Gateways(MethodTable& table, const Backends& backends, Writes& writes) {
  AddCrud(table, backends, writes, resource::Kind::kTier1Gateway);
}

}  // namespace weir::services
