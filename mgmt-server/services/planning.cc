#include "mgmt-server/services/planning.h"

#include <map>

#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/plan_items.h"
#include "mgmt-server/services/plan_tokens.h"
#include "mgmt-server/services/services.h"

namespace weir::services {
namespace {

constexpr int kMostTries = 3;

// Whether the caller may read something: as it is, or, where it is not there yet, as it would be. Each is asked once.
class Readable {
 public:
  Readable(const WouldBe& state, const authn::Principal& principal) : state_(state), principal_(principal) {}
  bool operator()(const std::string& fqn) {
    const auto [entry, unknown] = known_.emplace(fqn, false);
    if (unknown) {
      const store::ResourcePtr is = state_.before->Get(fqn), would_be = state_.after->Get(fqn);
      if (is != nullptr)
        entry->second = authz::Allowed(*state_.before, principal_, authz::Right::kRead, *is);
      else if (would_be != nullptr)
        entry->second = authz::Allowed(*state_.after, principal_, authz::Right::kRead, *would_be);
    }
    return entry->second;
  }

 private:
  const WouldBe& state_;
  const authn::Principal& principal_;
  std::map<std::string, bool> known_;
};

// Of a part of the documents nothing is said.
std::vector<BrokenInvariant> BrokenBy(const WouldBe& state, InvariantGuard& guard) {
  if (!state.conflicts.empty()) return {};
  return guard.Judge({.before = *state.before, .after = *state.after, .changes = state.changes});
}

}  // namespace

Result<std::shared_ptr<const void>> Planning::TakePlace(CallContext& call) const {
  std::shared_ptr<const void> place = in_work_.Take(call.principal.uid, 1);
  if (place != nullptr) return place;
  call.retry_after = std::chrono::seconds(1);
  return ResourceExhausted("PLANS_IN_WORK", "more plans of yours ({}), or of all ({}), are in work than may be at once",
                           kMostOfOne, kMostOfAll);
}

Result<PlanEffect> Planning::EffectOf(const CallContext& call, const WouldBe& state,
                                      std::vector<std::string> documents) const {
  Readable readable(state, call.principal);
  PlanQuestion question = QuestionOf(state, [&](const std::string& fqn) { return readable(fqn); });
  question.documents = std::move(documents);
  question.go_on = [&] { return CheckWanted(call); };
  question.deadline = backends_.clock->Now() + kMostTime;
  return backends_.fleet->Plan(question);
}

Result<MadePlan> Planning::Make(const CallContext& call, ChangeOrder& order, bool documents_only) const {
  MadePlan made;
  WouldBe& state = made.state;
  std::vector<BrokenInvariant> broken;
  WEIR_TRY(backends_.store->DryRun([&](store::Txn& txn) -> Status {
    WEIR_TRY(MakeChange(txn, call, writes_, order, true, state));
    broken = BrokenBy(state, *backends_.invariants);
    return {};
  }));
  v2::PlanResponse& response = made.response;
  PlanEffect effect;
  const bool conflicts = !state.conflicts.empty();
  if (!documents_only && !conflicts) {
    std::vector<std::string> documents;
    for (const Applied& document : order.documents) documents.push_back(document.draft.fqn.text);
    WEIR_ASSIGN(effect, EffectOf(call, state, std::move(documents)));
    response = std::move(effect.seen);
  }
  AddFindings(*state.before, *state.after, call, broken, response);
  LocateFindings(order.documents, response);
  WEIR_TRY(AddItems(order.documents, state, response));
  for (const std::string& scope : order.prune_scopes) response.add_prune_scopes(scope);
  response.set_planned_revision(state.before->revision());
  made.change = ChangeDigest(order, state);
  made.token = {.revision = state.before->revision(),
                .request = RequestDigest(call, order),
                .effect = EffectDigest(made.change, effect.digest)};
  if (!documents_only && !conflicts) response.set_plan(made.token.Text());
  return made;
}

Result<v2::PlanResponse> Planning::Plan(CallContext& call, const v2::PlanRequest& request) const {
  Error error = InvalidArgument("INVALID_REQUEST", "the call is not complete");
  CheckChange(ChangeTextOf(request), error.violations);
  if (!error.violations.empty()) return error;
  WEIR_ASSIGN(const std::shared_ptr<const void> place, TakePlace(call));
  WEIR_ASSIGN(ChangeOrder order, ReadChange(ChangeTextOf(request), call.principal));
  WEIR_ASSIGN(MadePlan made, Make(call, order, request.documents_only()));
  return std::move(made.response);
}

Status Planning::StoreIf(const CallContext& call, ChangeOrder& order, const PlanToken& token, const Again& make,
                         bool dry_run, const Also& also) const {
  const Change change = {
      .make = [&](store::Txn& txn, WouldBe& done) { return MakeChange(txn, call, writes_, order, false, done); },
      .digest = [&](const WouldBe& done) { return ChangeDigest(order, done); },
      .terms = TermsOf(order)};
  return StoreIf(call, change, token, make, dry_run, also);
}

Status Planning::StoreIf(const CallContext& call, const Change& change, const PlanToken& token, const Again& make,
                         bool dry_run, const Also& also) const {
  for (int tries = 1; tries <= kMostTries; ++tries) {
    WEIR_ASSIGN(const MadePlan made, make());
    const store::View& before = *made.state.before;
    if (!made.state.conflicts.empty() || made.token.effect != token.effect) {
      return StalePlan(before, call.principal, token);
    }
    bool raced = false;
    const auto hold = [&](store::Txn& txn) -> Status {
      // In the end it is enough that it does the same to resources: others may write all the time.
      raced = tries < kMostTries && txn.view().revision() != before.revision();
      if (!raced) {
        WouldBe done;
        WEIR_TRY(change.make(txn, done));
        raced = change.digest(done) != made.change;
        if (!raced) return also(txn, done);
      }
      return Aborted("PLAN_RACED", "somebody wrote while the plan was made again");
    };
    const Status stored = backends_.WriteOrTry(call, dry_run, hold, change.terms);
    if (!raced) return stored;
  }
  return StalePlan("others change these resources all the time");
}

Status Planning::StoreAsPlanned(CallContext& call, ChangeOrder& order, const std::string& plan, bool dry_run,
                                const Also& also) const {
  WEIR_ASSIGN(const PlanToken token, ReadPlanToken(plan));
  WEIR_ASSIGN(const std::shared_ptr<const void> place, TakePlace(call));
  if (RequestDigest(call, order) != token.request) {
    return StalePlan("documents, deletions, manager, force or caller are others than those of the plan");
  }
  return StoreIf(call, order, token, [&] { return Make(call, order, false); }, dry_run, also);
}

void AddPlans(MethodTable& table, std::shared_ptr<const Planning> planning) {
  table.Add<v2::PlanRequest, v2::PlanResponse>(
      "weir.v2.Plans.Plan",
      [planning](CallContext& call, const v2::PlanRequest& request) { return planning->Plan(call, request); });
}

}  // namespace weir::services
