#include "mgmt-server/services/services.h"

namespace weir::services {

void AddAll(MethodTable& table, const Backends& backends, Writes& writes) {
  AddOrganizations(table, backends, writes);
  AddTenants(table, backends, writes);
  AddWorkspaces(table, backends, writes);
  AddGatewayGroups(table, backends, writes);
  AddTier1Gateways(table, backends, writes);
  AddGateways(table, backends, writes);
  AddClusters(table, backends, writes);
  AddUsers(table, backends, writes);
  AddAccessBindings(table, backends);
  AddSessions(table, backends);
  AddStatuses(table, backends);
  AddDocuments(table, backends, writes);
}

}  // namespace weir::services
