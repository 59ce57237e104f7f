#include "mgmt-server/services/kept_answers.h"
#include "mgmt-server/services/planning.h"
#include "mgmt-server/services/restoring.h"
#include "mgmt-server/services/services.h"

namespace weir::services {
namespace {

using v2::RestoreResourcesResponse;

Status CheckRequest(const v2::RestoreResourcesRequest& request) {
  Error error = InvalidArgument("INVALID_REQUEST", "the call is not complete");
  const auto fqn = resource::ParseFqn(request.fqn());
  if (!fqn.ok()) error.violations.push_back({.field = "fqn", .description = fqn.error().message});
  if (request.to_revision() == 0 && !request.has_to_time()) {
    error.violations.push_back({.field = "toRevision", .description = "which state? a revision, or toTime"});
  }
  if (request.access() && !request.subtree()) {
    error.violations.push_back({.field = "access", .description = "goes with subtree"});
  }
  CheckNote("message", request.message(), false, error.violations);
  if (error.violations.empty()) return {};
  return error;
}

// Whatever the disk must say of the rights is asked before the writer waits for it.
Status AskBefore(PastRights& rights, const store::View& then, const std::string& root) {
  Status failed;
  const auto ask = [&](const store::ResourcePtr& version) {
    const Result<bool> may = rights.MayRead(*version);
    if (!may.ok()) failed = may.error();
    return failed.ok();
  };
  if (const store::ResourcePtr version = then.Get(root)) ask(version);
  if (failed.ok()) then.ForEach(root, "", ask);
  return failed;
}

// Of all that it would change.
std::string DigestOf(const WouldBe& state) {
  std::vector<std::string> fqns;
  for (const store::ResourceChange& change : state.changes) fqns.push_back(change.fqn);
  return ChangeDigest(state, fqns);
}

// One call: to one state of the past, by whoever asks.
class Restore {
 public:
  Restore(const Backends& backends, Writes& writes, const Planning& planning, CallContext& call,
          const v2::RestoreResourcesRequest& request, int64_t revision, const store::View& then, PastRights& rights)
      : backends_(backends),
        writes_(writes),
        planning_(planning),
        call_(call),
        request_(request),
        revision_(revision),
        then_(then),
        rights_(rights) {}

  Result<RestoreResourcesResponse> Do() const {
    if (!request_.dry_run() && request_.plan().empty()) {
      return WriteOnce(backends_, call_, false, [&](store::Txn& txn) -> Result<RestoreResourcesResponse> {
        WouldBe unused;
        return Make(txn, unused);
      });
    }
    WEIR_ASSIGN(const std::shared_ptr<const void> place, planning_.TakePlace(call_));
    PlanToken token;
    if (!request_.plan().empty()) {
      WEIR_ASSIGN(token, ReadPlanToken(request_.plan()));
      if (token.request != Asked())
        return StalePlan("state, what is restored or caller are others than those of the plan");
    }
    if (request_.dry_run() && request_.plan().empty()) return Planned();
    RestoreResourcesResponse done;
    const Planning::Change change = {.make = [&](store::Txn& txn, WouldBe& state) -> Status {
                                       WEIR_ASSIGN(done, Make(txn, state));
                                       return {};
                                     },
                                     .digest = DigestOf};
    const auto make = [&]() -> Result<MadePlan> {
      RestoreResourcesResponse unused;
      return Plan(unused);
    };
    const auto also = [&](store::Txn& txn, const WouldBe&) { return KeepAnswer(txn, call_, done); };
    WEIR_TRY(planning_.StoreIf(call_, change, token, make, request_.dry_run(), also));
    return done;
  }

 private:
  Result<RestoreResourcesResponse> Make(store::Txn& txn, WouldBe& state) const {
    PastRights rights = rights_;  // What it remembers is of the state that it was asked on.
    WEIR_ASSIGN(RestoreResourcesResponse done,
                Restoring(txn, call_, backends_, writes_, rights, then_, request_).Run(state));
    done.set_restored_revision(revision_);
    if (request_.dry_run()) done.set_revision(0);
    return done;
  }

  Result<MadePlan> Plan(RestoreResourcesResponse& done) const {
    MadePlan made;
    WEIR_TRY(backends_.store->DryRun([&](store::Txn& txn) -> Status {
      WEIR_ASSIGN(done, Make(txn, made.state));
      return {};
    }));
    std::vector<std::string> written;
    for (const v2::RestoredResource& item : done.items()) {
      if (item.what() != v2::RevisionChange::DELETED && !resource::IsAccessBindings(item.fqn()))
        written.push_back(item.fqn());
    }
    WEIR_ASSIGN(PlanEffect effect, planning_.EffectOf(call_, made.state, std::move(written)));
    made.change = DigestOf(made.state);
    made.token = {.revision = made.state.before->revision(),
                  .request = Asked(),
                  .effect = EffectDigest(made.change, effect.digest)};
    made.response = std::move(effect.seen);
    return made;
  }

  Result<RestoreResourcesResponse> Planned() const {
    RestoreResourcesResponse done;
    WEIR_ASSIGN(MadePlan made, Plan(done));
    v2::PlanResponse& plan = *done.mutable_plan();
    plan = std::move(made.response);
    plan.set_changes(done.items_size() > 0);
    plan.set_planned_revision(made.token.revision);
    plan.set_plan(made.token.Text());
    return done;
  }

  std::string Asked() const {
    return RequestDigest(fmt::format("restore\n{}\n{}\n{}\n{}\n{}", call_.principal.uid, request_.fqn(),
                                     request_.subtree(), request_.access(), revision_));
  }

  const Backends& backends_;
  Writes& writes_;
  const Planning& planning_;
  CallContext& call_;
  const v2::RestoreResourcesRequest& request_;
  const int64_t revision_;
  const store::View& then_;
  const PastRights& rights_;
};

Result<RestoreResourcesResponse> RestoreResources(const Backends& backends, Writes& writes, const Planning& planning,
                                                  CallContext& call, const v2::RestoreResourcesRequest& request) {
  WEIR_TRY(CheckRequest(request));
  WEIR_ASSIGN(const Past::Turn turn, backends.past->TakeTurn(call));
  WEIR_ASSIGN(const int64_t revision,
              backends.past->Resolve("to", request.to_revision(), request.has_to_time(), request.to_time()));
  WEIR_ASSIGN(const store::ViewPtr then, backends.past->ViewAt(call, turn, revision));
  PastRights rights(*backends.store, call.principal, backends.store->Read());
  WEIR_TRY(AskBefore(rights, *then, request.fqn()));
  return Restore(backends, writes, planning, call, request, revision, *then, rights).Do();
}

}  // namespace

void AddRestore(MethodTable& table, const Backends& backends, Writes& writes,
                std::shared_ptr<const Planning> planning) {
  table.Add<v2::RestoreResourcesRequest, RestoreResourcesResponse>(
      "weir.v2.Revisions.RestoreResources",
      [&backends, &writes, planning](CallContext& call, const v2::RestoreResourcesRequest& request) {
        return RestoreResources(backends, writes, *planning, call, request);
      });
}

}  // namespace weir::services
