#include "mgmt-server/services/services.h"

#include "mgmt-server/authn/authn.h"
#include "mgmt-server/services/crud.h"
#include "mgmt-server/services/kept_answers.h"
#include "mgmt-server/services/planning.h"
#include "mgmt-server/services/quotas.h"
#include "mgmt-server/services/registry.h"
#include "mgmt-server/services/rollouts.h"
#include "mgmt-server/services/waits.h"
#include "mgmt-server/services/watches.h"

namespace weir::services {

void Standing::Stop() const {
  if (watches != nullptr) watches->Stop();
  if (waits != nullptr) waits->Stop();
}

std::unique_ptr<MethodTable> MakeTable(const Backends& backends) {
  return std::make_unique<MethodTable>(
      [&backends](const std::string& token) { return backends.authn->Authenticate(token); },
      [&backends](const CallContext& call, const google::protobuf::Message& prototype) {
        return KeptAnswer(backends, call, prototype);
      });
}
void Standing::Step() const { rollouts->Tick(); }

Standing AddAll(MethodTable& table, const Backends& backends, Writes& writes) {
  for (const resource::KindInfo& kind : resource::Kinds()) AddCrud(table, backends, writes, kind.kind);
  AddClusters(table, backends, writes);
  AddAdminStates(table, backends);
  AddUsers(table, backends, writes);
  AddAccessBindings(table, backends);
  AddEffective(table, backends);
  AddSessions(table, backends);
  AddPackages(table, backends);
  const auto registry = std::make_shared<Registry>();
  AddServices(table, backends, registry);
  AddSearch(table, backends, registry);
  AddServerState(table, backends);
  const auto waits = std::make_shared<Waits>(backends);
  AddStatuses(table, backends, waits);
  AddTraffic(table, backends);
  AddExplainRoute(table, backends);
  const auto planning = std::make_shared<const Planning>(backends, writes);
  AddDocuments(table, backends, writes, waits, planning);
  AddPlans(table, planning);
  const auto rollouts = std::make_shared<Rollouts>(backends, writes);
  AddChangeSets(table, backends, writes, planning, rollouts);
  AddRevisions(table, backends);
  AddRestore(table, backends, writes, planning);
  AddAuditRecords(table, backends);
  const auto watch_quota = std::make_shared<WatchQuota>();
  AddQuotas(table, backends, watch_quota);
  return {waits, AddWatches(table, backends, watch_quota), rollouts};
}

}  // namespace weir::services
