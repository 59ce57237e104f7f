#pragma once

#include <chrono>
#include <memory>

#include "mgmt-server/services/backends.h"
#include "mgmt-server/services/call.h"
#include "mgmt-server/services/writes.h"

namespace weir::services {

class Planning;
class Registry;
class Rollouts;
class Waits;
class Watches;
class WatchQuota;

// Without methods; for callers whom backends.authn knows, with answers that backends.store keeps.
std::unique_ptr<MethodTable> MakeTable(const Backends& backends);

// What every kind has (create, get, list, update, delete) comes from the list of kinds; what else a noun has stands in
// its file, which adds its methods to the table. Table, backends and writes outlive the calls.
void AddClusters(MethodTable& table, const Backends& backends, Writes& writes);
void AddAdminStates(MethodTable& table, const Backends& backends);
void AddUsers(MethodTable& table, const Backends& backends, Writes& writes);
void AddAccessBindings(MethodTable& table, const Backends& backends);
void AddPackages(MethodTable& table, const Backends& backends);
void AddEffective(MethodTable& table, const Backends& backends);
void AddSearch(MethodTable& table, const Backends& backends, std::shared_ptr<Registry> registry);
void AddServices(MethodTable& table, const Backends& backends, std::shared_ptr<Registry> registry);
void AddServerState(MethodTable& table, const Backends& backends);
void AddSessions(MethodTable& table, const Backends& backends);
void AddStatuses(MethodTable& table, const Backends& backends, std::shared_ptr<Waits> waits);
void AddTraffic(MethodTable& table, const Backends& backends);
void AddExplainRoute(MethodTable& table, const Backends& backends);
void AddDocuments(MethodTable& table, const Backends& backends, Writes& writes, std::shared_ptr<Waits> waits,
                  std::shared_ptr<const Planning> planning);
void AddPlans(MethodTable& table, std::shared_ptr<const Planning> planning);
void AddChangeSets(MethodTable& table, const Backends& backends, Writes& writes,
                   std::shared_ptr<const Planning> planning, std::shared_ptr<const Rollouts> rollouts);
void AddRevisions(MethodTable& table, const Backends& backends);
void AddRestore(MethodTable& table, const Backends& backends, Writes& writes, std::shared_ptr<const Planning> planning);
void AddAuditRecords(MethodTable& table, const Backends& backends);
void AddQuotas(MethodTable& table, const Backends& backends, std::shared_ptr<const WatchQuota> watches);

// What goes on after a method has returned: calls, and rollouts, which whoever runs the server moves on.
struct Standing {
  std::shared_ptr<Waits> waits;
  std::shared_ptr<Watches> watches;
  std::shared_ptr<Rollouts> rollouts;
  // Moves rollouts on. By one thread, each kStep.
  void Step() const;
  static constexpr std::chrono::milliseconds kStep{500};
  // Ends them all; before the doors that their callers came through go away.
  void Stop() const;
};
std::shared_ptr<Watches> AddWatches(MethodTable& table, const Backends& backends, std::shared_ptr<WatchQuota> quota);

Standing AddAll(MethodTable& table, const Backends& backends, Writes& writes);

}  // namespace weir::services
