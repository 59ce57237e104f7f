#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "api/weir/v2/documents.pb.h"
#include "api/weir/v2/plan.pb.h"
#include "mgmt-server/services/applying.h"
#include "mgmt-server/services/backends.h"
#include "mgmt-server/services/call.h"
#include "mgmt-server/services/in_work.h"
#include "mgmt-server/services/writes.h"

namespace weir::services {

// What a call asks to be planned.
struct PlanOrder {
  std::string text;  // Of the documents.
  std::vector<Applied>* documents = nullptr;
  ApplyOrder apply;
  std::vector<std::string> deletions;
  bool cascade = false;
  bool documents_only = false;
};

struct MadePlan {
  v2::PlanResponse response;
  store::ViewPtr before;  // What it was made on.
};

// Plans: what documents and deletions would do, by the code that does it, in a transaction that is taken back.
// Thread-safe.
class Planning {
 public:
  static constexpr size_t kMostOfOne = 2;  // Plans in work, of one principal,
  static constexpr size_t kMostOfAll = 8;  // of all.
  static constexpr size_t kMostDeletions = 1000;
  static constexpr size_t kMostDeleted = 5000;
  static constexpr Duration kMostTime = std::chrono::seconds(20);

  Planning(const Backends& backends, Writes& writes)
      : backends_(backends), writes_(writes), in_work_(kMostOfOne, kMostOfAll) {}

  Result<v2::PlanResponse> Plan(CallContext& call, const v2::PlanRequest& request) const;
  // Stores if that does what the plan of the request said: FAILED_PRECONDITION PLAN_STALE. With dry_run it only says.
  Status StoreAsPlanned(CallContext& call, const v2::ApplyDocumentsRequest& request, std::vector<Applied>& documents,
                        const ApplyOrder& order, const std::function<Status(store::Txn&)>& store) const;

 private:
  Result<std::shared_ptr<const void>> TakePlace(CallContext& call) const;
  Result<MadePlan> Make(const CallContext& call, PlanOrder& order) const;

  const Backends& backends_;
  Writes& writes_;
  mutable InWork in_work_;  // Counts plans here.
};

}  // namespace weir::services
