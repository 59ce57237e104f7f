#pragma once

#include <functional>
#include <string>
#include <vector>

#include "api/weir/v2/plan.pb.h"
#include "libs/base/result.h"
#include "mgmt-server/services/call.h"
#include "mgmt-server/services/cross_checks.h"
#include "mgmt-server/store/store.h"

// Invariants, as writes and plans meet them. How they are judged is not known here.
namespace weir::services {

// The Invariant of a tenant speaks of nobody else: INVARIANT_OUTSIDE_TENANT. One parent has a bounded number of them:
// TOO_MANY_INVARIANTS.
void CheckInvariant(const store::View& view, const store::StoredResource& resource, std::vector<Issue>& issues);

// One whose condition a change breaks, or breaks worse than it was.
struct BrokenInvariant {
  std::string fqn;
  std::string uid;
  std::string condition;           // "pay.example: at least 2 clusters"
  std::string what;                // Who fails, and why.
  std::string document;            // FQN of the changed resource that does it.
  std::string field;               // Of it; "" = the document went, or came, as a whole.
  std::vector<std::string> about;  // FQNs of what `what` speaks of.
};

// Judges on the state of a transaction. Only inside Store::Write and DryRun, which are one at a time.
class InvariantGuard {
 public:
  virtual ~InvariantGuard() = default;
  struct Question {
    const store::View& before;
    const store::View& after;
    const std::vector<store::ResourceChange>& changes;  // All between the two.
    // Whether those of tenants count too where nothing of the tenant is changed.
    bool asks_tenants = false;
  };
  // Of those that refuse, and stand at or above something that is changed. What was broken before counts only where it
  // is worse after.
  virtual std::vector<BrokenInvariant> Judge(const Question& question) = 0;
};

// How one write stands to Invariants.
struct WriteTerms {
  bool asks_tenants = false;
  bool force = false;  // It is stored all the same; the audit says what it broke.
  // Sets line and column of a field of a resource, where it stands in the caller's text.
  std::function<void(const std::string& fqn, FieldViolation& violation)> locate = nullptr;
};
// Inside the write, when all is done: FAILED_PRECONDITION INVARIANT_BROKEN.
Status HoldInvariants(InvariantGuard& guard, store::Txn& txn, const store::View& before, const CallContext& call,
                      const WriteTerms& terms);

// The same for a plan, which finds it and refuses nothing.
void AddFindings(const store::View& before, const store::View& after, const CallContext& call,
                 const std::vector<BrokenInvariant>& broken, v2::PlanResponse& response);

}  // namespace weir::services
