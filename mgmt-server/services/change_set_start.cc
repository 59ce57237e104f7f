#include <algorithm>

#include "libs/resource/kinds.h"
#include "libs/resource/kinds/rules.h"
#include "libs/rpc/time.h"
#include "mgmt-server/services/change_set_orders.h"
#include "mgmt-server/services/change_sets.h"
#include "mgmt-server/services/crud.h"

// Committing a change set with waves: it is checked as any commit is, and then stands ahead of what is stored.
namespace weir::services {

using v2::ChangeSet;

namespace {

// Who does it sees all of it.
PlanQuestion QuestionOfAll(const WouldBe& done) {
  return QuestionOf(done, [](const std::string&) { return true; });
}

// A cluster is there for agents, certificates and facts; none of that can be ahead.
Status CheckNoClusterComesOrGoes(const PlanQuestion& question) {
  Error error = FailedPrecondition("WAVES_CLUSTER", "clusters come and go at once: put them into another change set");
  for (const PlanQuestion::Change& change : question.changes) {
    const store::ResourcePtr& any = change.before == nullptr ? change.after : change.before;
    const bool both = change.before != nullptr && change.after != nullptr && change.before->uid == change.after->uid;
    if (any == nullptr || any->kind != "Cluster" || both) continue;
    error.violations.push_back({.field = "waves", .description = change.fqn});
  }
  if (error.violations.empty()) return {};
  return error;
}

bool ReachesIntent(const PlanQuestion::Change& change) {
  const store::ResourcePtr& any = change.before == nullptr ? change.after : change.before;
  const resource::KindInfo* kind = any == nullptr ? nullptr : resource::FindKind(any->kind);
  return kind != nullptr && kind->rules.effect != resource::Effect::kNone;
}

v2::RolloutOverlay OverlayOf(const PlanQuestion& question, const Concerned& concerned) {
  v2::RolloutOverlay overlay;
  for (const PlanQuestion::Change& change : question.changes) {
    if (!ReachesIntent(change)) continue;
    v2::RolloutOverlay::Resource& resource = *overlay.add_resources();
    resource.set_fqn(change.fqn);
    resource.set_gone(change.after == nullptr);
    if (change.after == nullptr) continue;
    resource.set_kind(change.after->kind);
    resource.set_uid(change.after->uid);
    resource.set_body(change.after->body);
  }
  overlay.set_concerned(static_cast<int32_t>(concerned.clusters.size()));
  *overlay.mutable_hosts() = {concerned.hosts.begin(), concerned.hosts.end()};
  overlay.set_revision(question.revision);
  return overlay;
}

// One at a time in an organization: what one wave is judged by would be the other's doing as well. Whose it is, is not
// said.
Status CheckNoneRuns(const store::View& view, const std::string& organization) {
  for (const store::OverlayPtr& overlay : view.Overlays()) {
    if (resource::ParentFqn(overlay->fqn) != organization) continue;
    return FailedPrecondition(
        "ROLLOUT_RUNNING", "another change set is rolled out in {}; commit this one when that is done", organization);
  }
  return {};
}

}  // namespace

Result<ChangeSets::Placed> ChangeSets::PlaceWaves(const CallContext& call, const ChangeSet& set,
                                                  const std::string& organization, const WouldBe& done) const {
  PlanQuestion question = QuestionOfAll(done);
  WEIR_TRY(CheckNoClusterComesOrGoes(question));
  question.go_on = [&] { return CheckWanted(call); };
  question.deadline = backends_.clock->Now() + Planning::kMostTime;
  Placed placed;
  WEIR_ASSIGN(placed.concerned, backends_.fleet->ConcernedBy(question));
  WEIR_ASSIGN(placed.waves, PlaceInWaves(*done.after, organization, set.waves(), placed.concerned));
  return placed;
}

Result<ChangeSet> ChangeSets::Start(CallContext& call, const ChangeSet& seen) const {
  const std::string organization = resource::ParentFqn(seen.fqn());
  WEIR_TRY(CheckNoneRuns(*backends_.store->Read(), organization));
  WEIR_ASSIGN(const std::shared_ptr<const void> place, planning_->TakePlace(call));
  WEIR_ASSIGN(ChangeOrder order, OrderOf(seen));
  WEIR_TRY(CheckCurrent(call, seen, order));
  WEIR_TRY(CheckApprovals(backends_, writes_, call, seen, order));
  WouldBe done;
  WEIR_TRY(TryWrite(backends_, writes_, call, order, done));
  WEIR_ASSIGN(const Placed placed, PlaceWaves(call, seen, organization, done));
  v2::RolloutOverlay overlay = OverlayOf(QuestionOfAll(done), placed.concerned);
  overlay.set_digest(ChangeDigest(order, done));
  return Change(call, seen, "change-set.start", [&](store::Txn& txn, ChangeSet& set) -> Status {
    WEIR_TRY(CheckNoneRuns(txn.view(), organization));
    WEIR_TRY(Move(ChangeSetVerb::kCommit, ChangeSet::ROLLING_OUT, set));
    *set.mutable_started_by() = Person(call.principal, txn.now());
    v2::Rollout& rollout = *set.mutable_rollout();
    *rollout.mutable_waves() = {placed.waves.begin(), placed.waves.end()};
    *rollout.mutable_deadline() =
        rpc::ToTimestamp(txn.now() + std::chrono::duration_cast<WallTime::duration>(MostTime(placed.waves)));
    return txn.PutOverlay({set.fqn(), Serialize(overlay)});
  });
}

}  // namespace weir::services
