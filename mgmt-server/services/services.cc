#include "mgmt-server/services/services.h"

#include "mgmt-server/services/waits.h"

namespace weir::services {

std::shared_ptr<Waits> AddAll(MethodTable& table, const Backends& backends, Writes& writes) {
  AddOrganizations(table, backends, writes);
  AddOrganizationSettings(table, backends, writes);
  AddTenants(table, backends, writes);
  AddWorkspaces(table, backends, writes);
  AddGatewayGroups(table, backends, writes);
  AddTier1Gateways(table, backends, writes);
  AddGateways(table, backends, writes);
  AddClusters(table, backends, writes);
  AddUsers(table, backends, writes);
  AddAccessBindings(table, backends);
  AddSessions(table, backends);
  AddServerState(table, backends);
  const auto waits = std::make_shared<Waits>(backends);
  AddStatuses(table, backends, waits);
  AddTraffic(table, backends);
  AddDocuments(table, backends, writes, waits);
  AddRevisions(table, backends);
  AddRestore(table, backends, writes);
  AddAuditRecords(table, backends);
  return waits;
}

}  // namespace weir::services
