#pragma once

#include <functional>
#include <memory>
#include <string>

#include "api/weir/v2/change_set.pb.h"
#include "mgmt-server/services/backends.h"
#include "mgmt-server/services/call.h"
#include "mgmt-server/services/change_set_rules.h"
#include "mgmt-server/services/changing.h"
#include "mgmt-server/services/page_tokens.h"
#include "mgmt-server/services/planning.h"
#include "mgmt-server/services/rollouts.h"
#include "mgmt-server/services/wave_rules.h"

namespace weir::services {

// The methods of weir.v2.ChangeSets; api/weir/v2/change_set.proto says what holds of them. Thread-safe.
class ChangeSets {
 public:
  ChangeSets(const Backends& backends, Writes& writes, std::shared_ptr<const Planning> planning,
             std::shared_ptr<const Rollouts> rollouts)
      : backends_(backends),
        writes_(writes),
        planning_(std::move(planning)),
        rollouts_(std::move(rollouts)),
        tokens_(*backends.store) {}

  Result<v2::ChangeSet> Create(CallContext& call, const v2::CreateChangeSetRequest& request) const;
  Result<v2::ChangeSet> Get(CallContext& call, const v2::GetChangeSetRequest& request) const;
  Result<v2::ListChangeSetsResponse> List(CallContext& call, const v2::ListChangeSetsRequest& request) const;
  Result<v2::ChangeSet> Update(CallContext& call, const v2::UpdateChangeSetRequest& request) const;
  Result<v2::PlanChangeSetResponse> Plan(CallContext& call, const v2::PlanChangeSetRequest& request) const;
  Result<v2::ChangeSet> Approve(CallContext& call, const v2::ApproveChangeSetRequest& request) const;
  Result<v2::ChangeSet> Reject(CallContext& call, const v2::RejectChangeSetRequest& request) const;
  Result<v2::ChangeSet> Commit(CallContext& call, const v2::CommitChangeSetRequest& request) const;
  Result<v2::ChangeSet> Abort(CallContext& call, const v2::AbortChangeSetRequest& request) const;

 private:
  Result<v2::ChangeSet> Find(const store::View& view, const CallContext& call, const std::string& fqn) const;
  // As it is answered to the caller.
  v2::ChangeSet Shown(const CallContext& call, v2::ChangeSet set) const;
  // What it would do in the name of whoever made its plan. PLAN_STALE where that is not what the plan says.
  Result<MadePlan> MakeAgain(const CallContext& call, const v2::ChangeSet& set, ChangeOrder& order) const;
  Status CheckCurrent(const CallContext& call, const v2::ChangeSet& set, ChangeOrder& order) const;
  // Every right on all of it, at this moment.
  Status CheckMayDoAll(const CallContext& call, ChangeOrder& order) const;
  // Plans it in the caller's name, who becomes an editor; approvals stay where it does the same.
  Status Pin(const CallContext& call, const std::string& organization, ChangeOrder& order, const MadePlan& made,
             v2::ChangeSet& set) const;
  // Who is in which wave, of what the change would do to clusters.
  struct Placed {
    Concerned concerned;
    std::vector<v2::WaveProgress> waves;
  };
  Result<Placed> PlaceWaves(const CallContext& call, const v2::ChangeSet& set, const std::string& organization,
                            const WouldBe& done) const;
  // Commits one with waves: from here on Rollouts moves it.
  Result<v2::ChangeSet> Start(CallContext& call, const v2::ChangeSet& seen) const;
  // Stores what `change(txn, set) -> Status` makes of the version that was looked at.
  using Changing = std::function<Status(store::Txn&, v2::ChangeSet&)>;
  // Keeps the answer, in which this version stands.
  using Keeping = std::function<Status(store::Txn&, const CallContext&, const v2::ChangeSet& shown)>;
  static Status KeepShown(store::Txn& txn, const CallContext& call, const v2::ChangeSet& shown);
  Result<v2::ChangeSet> Change(const CallContext& call, const v2::ChangeSet& seen, const char* action,
                               const Changing& change, const Keeping& keep = KeepShown) const;
  Result<v2::ChangeSet> End(CallContext& call, v2::ChangeSet seen, ChangeSetVerb verb, const std::string& reason) const;

  const Backends& backends_;
  Writes& writes_;
  const std::shared_ptr<const Planning> planning_;
  const std::shared_ptr<const Rollouts> rollouts_;
  const PageTokens tokens_;
  const ChangeSetBounds bounds_;
};

}  // namespace weir::services
