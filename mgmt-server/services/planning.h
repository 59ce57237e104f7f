#pragma once

#include <functional>
#include <memory>
#include <string>

#include "api/weir/v2/plan.pb.h"
#include "mgmt-server/services/backends.h"
#include "mgmt-server/services/call.h"
#include "mgmt-server/services/changing.h"
#include "mgmt-server/services/in_work.h"
#include "mgmt-server/services/plan_tokens.h"
#include "mgmt-server/services/planned.h"
#include "mgmt-server/services/writes.h"

namespace weir::services {

struct MadePlan {
  v2::PlanResponse response;
  PlanToken token;
  std::string change;  // ChangeDigest.
  WouldBe state;       // Of which documents and resources are as they were when it was made.
};

// Plans: what documents and deletions would do, by the code that does it, in a transaction that is taken back.
// Thread-safe.
class Planning {
 public:
  static constexpr size_t kMostOfOne = 2;  // Plans in work, of one principal,
  static constexpr size_t kMostOfAll = 8;  // of all.
  static constexpr Duration kMostTime = std::chrono::seconds(20);

  Planning(const Backends& backends, Writes& writes)
      : backends_(backends), writes_(writes), in_work_(kMostOfOne, kMostOfAll) {}

  Result<v2::PlanResponse> Plan(CallContext& call, const v2::PlanRequest& request) const;
  // What else a transaction writes that makes a change.
  using Also = std::function<Status(store::Txn&, const WouldBe&)>;
  // Stores if that does what the plan of this name said: FAILED_PRECONDITION PLAN_STALE. With dry_run it only says.
  Status StoreAsPlanned(CallContext& call, ChangeOrder& order, const std::string& plan, bool dry_run,
                        const Also& also) const;

  // The rooms of it, for whoever keeps plans. A place, held while they are in work: RESOURCE_EXHAUSTED PLANS_IN_WORK.
  Result<std::shared_ptr<const void>> TakePlace(CallContext& call) const;
  Result<MadePlan> Make(const CallContext& call, ChangeOrder& order, bool documents_only) const;
  // What gateways would make of it, as far as the caller may see that. `documents`: what is looked over for findings.
  Result<PlanEffect> EffectOf(const CallContext& call, const WouldBe& state, std::vector<std::string> documents) const;
  // What can be made again: by documents, or of what was.
  struct Change {
    std::function<Status(store::Txn&, WouldBe&)> make;
    std::function<std::string(const WouldBe&)> digest;  // As ChangeDigest.
    WriteTerms terms = {};
  };
  // Stores what `make` plans as long as it plans what the token says, together with what `also` writes.
  using Again = std::function<Result<MadePlan>()>;
  Status StoreIf(const CallContext& call, const Change& change, const PlanToken& token, const Again& make, bool dry_run,
                 const Also& also) const;
  Status StoreIf(const CallContext& call, ChangeOrder& order, const PlanToken& token, const Again& make, bool dry_run,
                 const Also& also) const;

 private:
  const Backends& backends_;
  Writes& writes_;
  mutable InWork in_work_;  // Counts plans here.
};

}  // namespace weir::services
