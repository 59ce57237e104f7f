#include "mgmt-server/services/change_set_orders.h"

#include "mgmt-server/services/change_set_rules.h"

namespace weir::services {

ChangeText ContentsOf(const v2::ChangeSet& set) {
  return {set.documents(), set.manager(), set.force(), set.deletions(), set.cascade(), nullptr};
}

Result<ChangeOrder> OrderOf(const v2::ChangeSet& set) {
  return ReadChange(ContentsOf(set), {set.author().user(), set.author().uid()});
}

Status TryAll(const Backends& backends, Writes& writes, const CallContext& call, ChangeOrder& order, WouldBe& done) {
  return backends.store->DryRun(
      [&](store::Txn& txn) -> Status { return MakeChange(txn, call, writes, order, false, done); });
}

Status TryWrite(const Backends& backends, Writes& writes, const CallContext& call, ChangeOrder& order, WouldBe& done) {
  const auto make = [&](store::Txn& txn) -> Status { return MakeChange(txn, call, writes, order, false, done); };
  return backends.WriteOrTry(call, true, make, TermsOf(order));
}

Status CheckApprovals(const Backends& backends, Writes& writes, const CallContext& call, const v2::ChangeSet& set,
                      ChangeOrder& order) {
  int count = 0;
  std::string gone;
  for (const v2::ChangeSetPerson& person : set.approvals()) {
    CallContext in_his_name;
    in_his_name.gone = call.gone;
    in_his_name.principal = {person.user(), person.uid()};
    const bool there = backends.store->Read()->GetByUid(person.uid()) != nullptr;
    WouldBe unused;
    if (there && TryAll(backends, writes, in_his_name, order, unused).ok())
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

Result<v2::ChangeSet> FindSame(store::Txn& txn, const v2::ChangeSet& seen) {
  if (const store::ChangeSetPtr row = txn.view().FindChangeSet(seen.fqn())) {
    WEIR_ASSIGN(v2::ChangeSet set, ReadRow(*row));
    if (set.resource_version() == seen.resource_version()) return set;
  }
  return Aborted("ETAG_MISMATCH", "{} was changed in the meantime: read it again and repeat the call", seen.fqn());
}

}  // namespace weir::services
