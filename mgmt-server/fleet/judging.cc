#include <algorithm>
#include <utility>

#include "libs/base/mutex.h"
#include "libs/base/wait.h"
#include "libs/resource/admin_state.h"
#include "libs/resource/kinds.h"
#include "libs/resource/status_reason.h"
#include "libs/rpc/time.h"
#include "mgmt-server/ca/ca.h"
#include "mgmt-server/ca/generations.h"
#include "mgmt-server/compile/gateway_shape.h"
#include "mgmt-server/fleet/core.h"
#include "mgmt-server/fleet/effect.h"
#include "mgmt-server/invariants/facts.h"
#include "mgmt-server/invariants/intent.h"
#include "mgmt-server/push/pusher.h"
#include "mgmt-server/status/failover.h"
#include "mgmt-server/status/judgement.h"
#include "mgmt-server/status/route.h"

// What the fleet answers: statuses, traffic, plans.
namespace weir::fleet {

void Fleet::Core::ExcuseMaintained(const compile::World& world, std::vector<compile::Concern>& concerns) {
  const auto maintained = [&](const compile::Concern& concern) {
    const v2::Cluster* cluster = world.cluster(concern.cluster);
    return cluster != nullptr && cluster->spec().admin_state() == v2::MAINTENANCE;
  };
  if (std::all_of(concerns.begin(), concerns.end(), maintained)) return;
  for (compile::Concern& concern : concerns) concern.if_connected |= maintained(concern);
}

status::Shortfall Fleet::Core::PlightOfCluster(const std::string& cluster) const {
  if (std::string why = held.Reason(cluster); !why.empty()) {
    return {Word(resource::StatusReason::kStateConflict), std::move(why)};
  }
  const store::ResourcePtr resource = store.Read()->Get(cluster);
  return resource != nullptr && ca::IsRevoked(*resource) ? status::Revocation(cluster) : status::Shortfall{};
}

// Each cluster is looked at once.
PlightOf Fleet::Core::Plights() const {
  return [this, known = std::map<std::string, status::Shortfall>()](const std::string& cluster) mutable {
    const auto [entry, first] = known.try_emplace(cluster);
    if (first) entry->second = PlightOfCluster(cluster);
    return entry->second;
  };
}

HealthInTables Fleet::Core::Reported() const { return {traffic, applied, Plights(), options.clock->Now()}; }

// With the lock of the compilation held, as the next.
v2::ResourceStatus Fleet::Core::JudgeApplied(const compile::Compilation& compilation, const std::string& fqn,
                                             const std::string& kind, int64_t revision, const Counts& counts) const {
  std::vector<compile::Concern> concerns = compile::Concerns(compilation, fqn);
  std::erase_if(concerns, [&](const compile::Concern& concern) { return !counts(concern); });
  ExcuseMaintained(compilation.world(), concerns);
  v2::ResourceStatus status = StatusOf(fqn, kind, revision, concerns, applied, Plights());
  status::AddScope(compilation.world(), status);
  return status;
}

void Fleet::Core::AddReach(const compile::Compilation& compilation, v2::ResourceStatus& status) const {
  if (!status::TakesReach(status)) return;  // What it costs to find out would say nothing new.
  status::AddReach(status::ReachOf(compilation, status.fqn(), Reported()), status);
}

v2::ResourceStatus Fleet::Core::JudgeCluster(const store::StoredResource& resource) const {
  v2::ResourceStatus status = StoredStatus(resource.fqn, resource.kind, resource.revision);
  status::ClusterLine line;
  v2::Cluster cluster;
  if (cluster.ParseFromString(resource.body)) {
    line.admin_state = cluster.spec().admin_state();
    line.overdue = resource::OverdueAdminState(options.clock->Wall(), cluster);
  }
  const store::ClusterFactsPtr facts = store.Read()->Facts(resource.uid);
  if (facts != nullptr) line.last_seen = facts->last_seen;
  {
    MutexLock lock(mutex);
    const auto found = live.find(resource.fqn);
    if (found != live.end() && found->second.uid == resource.uid) {
      line.connected = found->second.stream != nullptr;
      line.last_seen = std::max(line.last_seen, found->second.last_seen);
      line.problems = ProblemsOf(found->second);
      line.leaf_lifetime = found->second.leaf_lifetime;
      const auto& duplicate = found->second.duplicate;
      if (duplicate && options.clock->Now() - duplicate->time < kDuplicateShown) {
        line.duplicate = {duplicate->peer, duplicate->wall};
      }
    }
  }
  line.ever_connected = line.last_seen > WallTime{};
  line.conflict = held.Reason(resource.fqn);
  line.revoked = ca::IsRevoked(resource);
  line.now = options.clock->Wall();
  status::JudgeCluster(line, status);
  return status;
}

// That some clusters run something else of it already is beside what else there is to say.
v2::ResourceStatus Fleet::Core::Judge(const store::StoredResource& resource) const {
  v2::ResourceStatus status = JudgeStored(resource);
  if (status.state() != v2::ResourceStatus::READY || !status.reason().empty()) return status;
  if (pusher == nullptr || !pusher->HasOverlays()) return status;
  pusher->Read([&](const compile::Compilation& compilation) {
    const auto& ahead = compilation.ahead().progress;
    const auto found = ahead.find(resource.fqn);
    if (found == ahead.end()) return;
    status.set_reason(Word(resource::StatusReason::kRollingOut));
    status.set_message(fmt::format("a change of it is rolled out: {} of the {} clusters that it concerns run it",
                                   found->second.clusters, found->second.of));
  });
  return status;
}

v2::ResourceStatus Fleet::Core::JudgeStored(const store::StoredResource& resource) const {
  if (resource.kind == "Cluster") return JudgeCluster(resource);
  v2::ResourceStatus status = StoredStatus(resource.fqn, resource.kind, resource.revision);
  if (resource.kind == "Organization" && ca.root_phase() != ca::RootPhase::kOne) {
    status.set_reason(Word(resource::StatusReason::kRootReplaced));
    status.set_message(
        "two mesh roots are trusted while one replaces the other; `weir server replace-root` says how far");
  }
  if (const Status written = store.LastWrite(); resource.kind == "Organization" && !written.ok()) {
    status.set_reason(Word(resource::StatusReason::kStoreFails));
    status.set_message(fmt::format("{}; look at the server's disk, its log has the cause. What is stored is served on",
                                   written.error().message));
  }
  if (const auto invariant = invariants::Read(resource.kind, resource.fqn, resource.uid, resource.body)) {
    return JudgeInvariant(resource, *invariant);
  }
  if (!compile::ReachesGateways(resource.fqn)) return status;
  if (pusher == nullptr || pusher->revision() < resource.revision) return status::NotPushed(std::move(status));
  pusher->Read([&](const compile::Compilation& compilation) {
    MutexLock lock(mutex);
    status = JudgeApplied(compilation, resource.fqn, resource.kind, resource.revision, AllCount);
    AddReach(compilation, status);
  });
  return status;
}

// By intent on a copy: neither a push nor an agent waits for a long search.
v2::ResourceStatus Fleet::Core::JudgeInvariant(const store::StoredResource& resource,
                                               const invariants::Invariant& invariant) const {
  v2::ResourceStatus status = StoredStatus(resource.fqn, resource.kind, resource.revision);
  if (pusher == nullptr || pusher->revision() < resource.revision) return status::NotPushed(std::move(status));
  compile::World world;
  invariants::Judgement judgement;
  pusher->Read([&](const compile::Compilation& compilation) {
    world = compilation.world();
    if (!invariants::AsksFacts(invariant)) return;
    MutexLock lock(mutex);
    status::PushedPieces pieces(compilation);
    judgement = invariants::JudgeFacts(pieces, Reported(), invariant);
  });
  std::vector<invariants::Breach> breaches = invariants::JudgeIntent(world, invariant);
  std::move(judgement.breaches.begin(), judgement.breaches.end(), std::back_inserter(breaches));
  if (!breaches.empty()) {
    std::string message = std::move(breaches.front().message);
    if (breaches.size() > 1) message += fmt::format(" (and {} more)", breaches.size() - 1);
    status::SetBroken(std::move(message), status);
  } else if (!judgement.unknown.empty()) {
    status::SetUnknown(std::move(judgement.unknown), status);
  }
  return status;
}

// For waits: whether the gateways that the writes of it since that revision touch serve it; the first that does not yet
// speaks for all.
v2::ResourceStatus Fleet::Core::JudgeEffect(const store::StoredResource& resource, int64_t since) const {
  const resource::KindInfo* kind = resource::FindKind(resource.kind);
  if (compile::ReachesGateways(resource.fqn) || pusher == nullptr || (kind != nullptr && kind->rules.invariant))
    return Judge(resource);
  v2::ResourceStatus status = StoredStatus(resource.fqn, resource.kind, resource.revision);
  if (pusher->revision() < resource.revision) return status::NotPushed(std::move(status));
  const compile::Trace trace = pusher->TraceOf(resource.fqn, since);
  pusher->Read([&](const compile::Compilation& compilation) {
    for (const Touched& touched : GatewaysTouched(compilation.world(), resource.fqn, trace)) {
      const std::string& fqn = touched.fqn;
      const auto counts = [&](const compile::Concern& concern) { return touched.Counts(concern, resource.fqn); };
      MutexLock lock(mutex);
      v2::ResourceStatus gateway = JudgeApplied(compilation, fqn, "", resource.revision, counts);
      const bool runs = gateway.state() == v2::ResourceStatus::READY;
      if (runs) AddReach(compilation, gateway);
      if (gateway.state() == v2::ResourceStatus::READY) continue;
      // What else is missing there is not for the write of this one to wait for; that nobody is left is.
      if ((runs || gateway.reason() == Word(resource::StatusReason::kNoWorkload)) &&
          gateway.reason() != Word(resource::StatusReason::kAllDrained))
        continue;
      gateway.set_kind(resource.kind);  // The FQN stays the gateway's: not everybody may be told of it.
      status = std::move(gateway);
      return;
    }
  });
  return status;
}

Result<v2::ResourceStatus> Fleet::GetStatus(std::string_view fqn) const {
  WEIR_ASSIGN(const std::vector<v2::ResourceStatus> all, ListStatuses(fqn));
  for (const v2::ResourceStatus& status : all) {
    if (status.fqn() == fqn) return status;
  }
  return NotFound("RESOURCE_NOT_FOUND", "{} does not exist", fqn);
}

Result<std::vector<v2::ResourceStatus>> Fleet::ListStatuses(std::string_view parent) const {
  const store::ViewPtr view = core_->store.Read();
  const store::ResourcePtr root = view->Get(parent);
  if (root == nullptr) return NotFound("RESOURCE_NOT_FOUND", "{} does not exist", parent);
  std::vector<v2::ResourceStatus> items{core_->Judge(*root)};
  view->ForEach(parent, "", [&](const store::ResourcePtr& resource) {
    if (resource->fqn != parent) items.push_back(core_->Judge(*resource));
    return true;
  });
  RollUp(items);
  return items;
}

v2::ResourceStatus Fleet::WaitApplied(std::string_view fqn, int64_t revision, MonoTime deadline) const {
  Core& core = *core_;
  if (core.pusher != nullptr) core.pusher->WaitFor(revision, *core.options.clock, deadline);
  while (true) {
    uint64_t seen;
    {
      MutexLock lock(core.mutex);
      seen = core.changes;
      if (core.stopped) deadline = {};
    }
    const store::ResourcePtr resource = core.store.Read()->Get(fqn);
    if (resource == nullptr) return StoredStatus(fqn, "", revision);
    v2::ResourceStatus status = core.JudgeEffect(*resource, revision);
    if (status.state() == v2::ResourceStatus::READY || status.state() == v2::ResourceStatus::FAILED) return status;
    MutexLock lock(core.mutex);
    const auto news = [&]() WEIR_REQUIRES(core.mutex) { return core.changes != seen || core.stopped; };
    if (!WaitUntil(*core.options.clock, core.news, core.mutex, deadline, news)) return status;
  }
}

std::vector<v2::HostTraffic> Fleet::TrafficOf(const TrafficQuery& query) const {
  std::vector<v2::HostTraffic> items;
  core_->pusher->Read([&](const compile::Compilation& compilation) {
    MutexLock lock(core_->mutex);
    items = fleet::TrafficOf(core_->traffic, compilation, query, core_->options.clock->Now());
  });
  return items;
}

std::vector<v2::HostHealth> Fleet::HealthOf(const TrafficQuery& query) const {
  std::vector<v2::HostHealth> items;
  core_->pusher->Read([&](const compile::Compilation& compilation) {
    MutexLock lock(core_->mutex);
    items = fleet::HealthOf(core_->traffic, compilation, query);
  });
  return items;
}

std::vector<std::string> Fleet::SourcesOf(const TrafficQuery& query) const {
  std::vector<std::string> sources;
  core_->pusher->Read([&](const compile::Compilation& compilation) { sources = fleet::SourcesOf(compilation, query); });
  return sources;
}

// One object after the other: neither a push nor an agent waits for all of them.
std::vector<v2::FailoverPlan> Fleet::PlanFailover(const std::string& parent,
                                                  const status::FailoverQuestion& question) const {
  std::vector<std::string> gateways;
  core_->pusher->Read([&](const compile::Compilation& compilation) {
    for (const auto& [fqn, shape] : compilation.world().state().gateways) {
      if (shape->tier1 && resource::IsAtOrBelow(fqn, parent)) gateways.push_back(fqn);
    }
  });
  std::vector<v2::FailoverPlan> plans;
  for (const std::string& fqn : gateways) {
    core_->pusher->Read([&](const compile::Compilation& compilation) {
      MutexLock lock(core_->mutex);
      for (auto& plan : status::PlanFailover(compilation, fqn, question, core_->Reported()))
        plans.push_back(std::move(plan));
    });
  }
  return plans;
}

std::vector<v2::ExplainedRoute> Fleet::ExplainRoute(const status::AskedRequest& asked) const {
  std::vector<v2::ExplainedRoute> routes;
  core_->pusher->Read([&](const compile::Compilation& compilation) {
    MutexLock lock(core_->mutex);
    // Each gateway answers by what its cluster is told.
    const std::string_view organization = resource::OrganizationFqn(asked.parent);
    for (const bool ahead : {false, true}) {
      if (ahead && compilation.ahead().clusters.empty()) continue;
      status::PushedPieces pieces(compilation, ahead);
      for (v2::ExplainedRoute& route : status::ExplainRoute(pieces, asked, core_->Reported())) {
        const std::string cluster = resource::ClusterFqn(organization, route.gateway_cluster());
        if (compilation.IsAhead(cluster) == ahead) routes.push_back(std::move(route));
      }
    }
  });
  return routes;
}

void Fleet::RenderMetrics(std::string& out) const {
  MutexLock lock(core_->mutex);
  RenderTraffic(core_->traffic, core_->options.clock->Now(), out);
}

v2::ClusterState Fleet::ClusterStateOf(std::string_view cluster) const {
  v2::ClusterState state;
  const store::ViewPtr view = core_->store.Read();
  const store::ResourcePtr resource = view->Get(cluster);
  const store::ClusterFactsPtr facts = resource == nullptr ? nullptr : view->Facts(resource->uid);
  WallTime seen{};
  state.set_connected(false);
  state.set_workloads(facts == nullptr ? 0 : static_cast<int32_t>(facts->workloads.size()));
  state.set_services(facts == nullptr ? 0 : static_cast<int32_t>(facts->services.size()));
  if (facts != nullptr) {
    state.set_agent_version(facts->agent_version);
    seen = facts->last_seen;
  }
  {
    MutexLock lock(core_->mutex);
    const auto found = core_->live.find(std::string(cluster));
    if (found != core_->live.end()) {
      state.set_connected(found->second.stream != nullptr);
      seen = std::max(seen, found->second.last_seen);
      const std::vector<v2::ClusterProblem> problems = Core::ProblemsOf(found->second);
      *state.mutable_problems() = {problems.begin(), problems.end()};
      if (const std::string why = core_->held.Reason(std::string(cluster)); !why.empty()) {
        v2::ClusterProblem& problem = *state.add_problems();
        problem.set_source("state");
        problem.set_text(why);
      }
    }
  }
  if (resource != nullptr) {
    state.set_generation(ca::GenerationOf(*resource));
    state.set_revoked(ca::IsRevoked(*resource));
  }
  if (seen > WallTime{}) *state.mutable_last_seen() = rpc::ToTimestamp(seen);
  return state;
}

}  // namespace weir::fleet
