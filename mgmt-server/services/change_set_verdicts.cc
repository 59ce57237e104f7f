#include <algorithm>

#include "libs/base/ids.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/change_sets.h"
#include "mgmt-server/services/kept_answers.h"

// How a change set comes to its end: approved, rejected, committed, aborted.
namespace weir::services {

using v2::ChangeSet;

namespace {

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
  if (IsOpen(seen.state()) && IsAmong(seen.approvals(), call.principal.uid)) return Shown(std::move(seen));
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
  return Change(call, seen, rejects ? "change-set.reject" : "change-set.abort",
                [&](store::Txn& txn, ChangeSet& set) -> Status {
                  if (rejects) WEIR_TRY(CheckMayWrite(txn.view(), call.principal, set));
                  WEIR_TRY(Move(verb, rejects ? ChangeSet::REJECTED : ChangeSet::ABORTED, set));
                  *set.mutable_ended_by() = Person(call.principal, txn.now());
                  set.set_reason(reason);
                  return {};
                });
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
  if (!IsAmong(seen.editors(), call.principal.uid) && seen.author().uid() != call.principal.uid) {
    return PermissionDenied("NOT_YOURS", "{} is aborted by those who made or changed it; reject it instead",
                            seen.fqn());
  }
  return End(call, std::move(seen), ChangeSetVerb::kAbort, request.reason());
}

// Of those who approved it who could do so now.
Status ChangeSets::CheckApprovals(const CallContext& call, const ChangeSet& set, ChangeOrder& order) const {
  int count = 0;
  std::string gone;
  for (const v2::ChangeSetPerson& person : set.approvals()) {
    CallContext in_his_name;
    in_his_name.gone = call.gone;
    in_his_name.principal = {person.user(), person.uid()};
    const bool there = backends_.store->Read()->GetByUid(person.uid()) != nullptr;
    if (there && CheckMayDoAll(in_his_name, order).ok())
      ++count;
    else
      gone += (gone.empty() ? "" : ", ") + person.user();
  }
  if (count >= set.approvals_required()) return {};
  return FailedPrecondition("APPROVALS_MISSING",
                            "{} of {} approvals count; those of {} do not: they could not do all of "
                            "it now. Renew its plan and have it approved again",
                            count, set.approvals_required(), gone);
}

Result<ChangeSet> ChangeSets::Commit(CallContext& call, const v2::CommitChangeSetRequest& request) const {
  WEIR_ASSIGN(const ChangeSet seen, Find(*backends_.store->Read(), call, request.fqn()));
  ChangeSet next = seen;
  WEIR_TRY(Move(ChangeSetVerb::kCommit, ChangeSet::COMMITTED, next));
  if (!request.plan().empty() && request.plan() != seen.plan()) return OtherPlan(seen).error();
  WEIR_ASSIGN(const std::shared_ptr<const void> place, planning_->TakePlace(call));
  WEIR_ASSIGN(ChangeOrder order, OrderOf(seen));
  const PlanToken token{.revision = seen.planned_revision(), .request = "", .effect = seen.plan()};
  const auto also = [&](store::Txn& txn, const WouldBe& done) -> Status {
    WEIR_TRY(FindSame(txn, seen));
    next.set_revision(done.revision);
    *next.mutable_ended_by() = Person(call.principal, txn.now());
    txn.Annotate({.message = next.message(), .change_set = next.fqn()});
    WEIR_TRY(StoreChangeSet(txn, call, bounds_, "change-set.commit", next));
    return KeepAnswer(txn, call, Shown(next));
  };
  const auto make = [&]() -> Result<MadePlan> {
    WEIR_ASSIGN(MadePlan made, MakeAgain(call, seen, order));
    if (made.token.effect == token.effect) WEIR_TRY(CheckApprovals(call, seen, order));
    return made;
  };
  WEIR_TRY(planning_->StoreIf(call, order, token, make, false, also));
  return Shown(std::move(next));
}

}  // namespace weir::services
