#include <algorithm>

#include "libs/base/ids.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/change_set_orders.h"
#include "mgmt-server/services/change_sets.h"
#include "mgmt-server/services/kept_answers.h"

// How a change set comes to its end: approved, rejected, committed, aborted.
namespace weir::services {

using v2::ChangeSet;

namespace {

constexpr int kMostTries = 5;

Status OtherPlan(const ChangeSet& set) {
  return StalePlan(fmt::format("the plan of {} is {} now; look at that first", set.fqn(), set.plan()));
}

}  // namespace

Result<ChangeSet> ChangeSets::Approve(CallContext& call, const v2::ApproveChangeSetRequest& request) const {
  WEIR_ASSIGN(ChangeSet seen, Find(*backends_.store->Read(), call, request.fqn()));
  if (IsAmong(seen.editors(), call.principal.uid) || seen.author().uid() == call.principal.uid) {
    return PermissionDenied("APPROVES_OWN", "you made or changed {}; somebody else approves it", seen.fqn());
  }
  if (request.plan() != seen.plan()) return OtherPlan(seen).error();
  if (IsOpen(seen.state()) && IsAmong(seen.approvals(), call.principal.uid)) return Shown(call, std::move(seen));
  ChangeSet next = seen;
  *next.add_approvals() = Person(call.principal, backends_.clock->Wall());
  WEIR_TRY(Move(ChangeSetVerb::kApprove, OpenState(next), next));
  WEIR_ASSIGN(const std::shared_ptr<const void> place, planning_->TakePlace(call));
  WEIR_ASSIGN(ChangeOrder order, OrderOf(seen));
  WEIR_TRY(CheckCurrent(call, seen, order));
  WEIR_TRY(CheckMayDoAll(call, order));
  return Change(call, seen, "change-set.approve", [&](store::Txn&, ChangeSet& set) -> Status {
    set = next;
    return {};
  });
}

Result<ChangeSet> ChangeSets::End(CallContext& call, ChangeSet seen, ChangeSetVerb verb,
                                  const std::string& reason) const {
  Error error = InvalidArgument("INVALID_REQUEST", "the call is not complete");
  CheckNote("reason", reason, false, error.violations);
  if (!error.violations.empty()) return error;
  const bool rejects = verb == ChangeSetVerb::kReject;
  const auto end = [&](store::Txn& txn, ChangeSet& set) -> Status {
    if (rejects) WEIR_TRY(CheckMayWrite(txn.view(), call.principal, set));
    const bool rolling = set.state() == ChangeSet::ROLLING_OUT;
    WEIR_TRY(Move(verb, rejects ? ChangeSet::REJECTED : ChangeSet::ABORTED, set));
    *set.mutable_ended_by() = Person(call.principal, txn.now());
    set.set_reason(reason);
    return rolling ? EndRollout(txn, v2::Rollout::ENDED, "", set) : Status();
  };
  for (int tries = 1;; ++tries) {
    auto ended = Change(call, seen, rejects ? "change-set.reject" : "change-set.abort", end);
    // A rollout moves on by itself: who stops it need not be faster.
    const bool moved = !ended.ok() && ended.error().reason == "ETAG_MISMATCH" && seen.state() == ChangeSet::ROLLING_OUT;
    if (!moved || tries == kMostTries) return ended;
    WEIR_ASSIGN(seen, Find(*backends_.store->Read(), call, seen.fqn()));
  }
}

Result<ChangeSet> ChangeSets::Reject(CallContext& call, const v2::RejectChangeSetRequest& request) const {
  WEIR_ASSIGN(ChangeSet seen, Find(*backends_.store->Read(), call, request.fqn()));
  if (IsAmong(seen.editors(), call.principal.uid) || seen.author().uid() == call.principal.uid) {
    return PermissionDenied("APPROVES_OWN", "you made or changed {}; abort it instead", seen.fqn());
  }
  return End(call, std::move(seen), ChangeSetVerb::kReject, request.reason());
}

Result<ChangeSet> ChangeSets::Abort(CallContext& call, const v2::AbortChangeSetRequest& request) const {
  WEIR_ASSIGN(ChangeSet seen, Find(*backends_.store->Read(), call, request.fqn()));
  const bool own = IsAmong(seen.editors(), call.principal.uid) || seen.author().uid() == call.principal.uid ||
                   seen.started_by().uid() == call.principal.uid;
  if (!own) {
    return PermissionDenied("NOT_YOURS", "{} is aborted by those who made or changed it; reject it instead",
                            seen.fqn());
  }
  return End(call, std::move(seen), ChangeSetVerb::kAbort, request.reason());
}

Result<ChangeSet> ChangeSets::Commit(CallContext& call, const v2::CommitChangeSetRequest& request) const {
  WEIR_ASSIGN(const ChangeSet seen, Find(*backends_.store->Read(), call, request.fqn()));
  ChangeSet next = seen;
  const bool in_waves = seen.waves_size() > 0;
  WEIR_TRY(Move(ChangeSetVerb::kCommit, in_waves ? ChangeSet::ROLLING_OUT : ChangeSet::COMMITTED, next));
  if (!request.plan().empty() && request.plan() != seen.plan()) return OtherPlan(seen).error();
  if (in_waves) return Start(call, seen);
  WEIR_ASSIGN(const std::shared_ptr<const void> place, planning_->TakePlace(call));
  WEIR_ASSIGN(ChangeOrder order, OrderOf(seen));
  const PlanToken token{.revision = seen.planned_revision(), .request = "", .effect = seen.plan()};
  const auto also = [&](store::Txn& txn, const WouldBe& done) -> Status {
    WEIR_TRY(FindSame(txn, seen));
    next.set_revision(done.revision);
    *next.mutable_ended_by() = Person(call.principal, txn.now());
    txn.Annotate({.message = next.message(), .change_set = next.fqn()});
    WEIR_TRY(StoreChangeSet(txn, call, bounds_, "change-set.commit", next));
    return KeepAnswer(txn, call, Shown(call, next));
  };
  const auto make = [&]() -> Result<MadePlan> {
    WEIR_ASSIGN(MadePlan made, MakeAgain(call, seen, order));
    if (made.token.effect == token.effect) WEIR_TRY(CheckApprovals(backends_, writes_, call, seen, order));
    return made;
  };
  WEIR_TRY(planning_->StoreIf(call, order, token, make, false, also));
  return Shown(call, std::move(next));
}

}  // namespace weir::services
