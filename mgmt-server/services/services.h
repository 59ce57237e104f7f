#pragma once

#include <memory>

#include "mgmt-server/services/backends.h"
#include "mgmt-server/services/call.h"
#include "mgmt-server/services/writes.h"

namespace weir::services {

class Waits;

// One file per noun; each adds its methods to the table. Table, backends and writes outlive the calls.
void AddOrganizations(MethodTable& table, const Backends& backends, Writes& writes);
void AddOrganizationSettings(MethodTable& table, const Backends& backends, Writes& writes);
void AddTenants(MethodTable& table, const Backends& backends, Writes& writes);
void AddWorkspaces(MethodTable& table, const Backends& backends, Writes& writes);
void AddGatewayGroups(MethodTable& table, const Backends& backends, Writes& writes);
void AddTier1Gateways(MethodTable& table, const Backends& backends, Writes& writes);
void AddGateways(MethodTable& table, const Backends& backends, Writes& writes);
void AddClusters(MethodTable& table, const Backends& backends, Writes& writes);  // And join tokens.
void AddUsers(MethodTable& table, const Backends& backends, Writes& writes);     // And passwords.
void AddAccessBindings(MethodTable& table, const Backends& backends);
void AddServerState(MethodTable& table, const Backends& backends);
void AddSessions(MethodTable& table, const Backends& backends);
void AddStatuses(MethodTable& table, const Backends& backends, std::shared_ptr<Waits> waits);
void AddTraffic(MethodTable& table, const Backends& backends);
void AddDocuments(MethodTable& table, const Backends& backends, Writes& writes, std::shared_ptr<Waits> waits);
void AddRevisions(MethodTable& table, const Backends& backends);
void AddRestore(MethodTable& table, const Backends& backends, Writes& writes);
void AddAuditRecords(MethodTable& table, const Backends& backends);

// The waits must be stopped before the doors that their callers came through go away.
std::shared_ptr<Waits> AddAll(MethodTable& table, const Backends& backends, Writes& writes);

}  // namespace weir::services
