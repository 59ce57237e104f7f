#include "mgmt-server/services/planning.h"

#include <set>

#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/plan_items.h"
#include "mgmt-server/services/plan_tokens.h"
#include "mgmt-server/services/services.h"

namespace weir::services {
namespace {

constexpr int kMostTries = 3;

bool IsCluster(const std::string& fqn) {
  const auto parsed = resource::ParseFqn(fqn);
  return parsed.ok() && parsed->kind == resource::Kind::kCluster;
}

// All of it at once, as a chain of writes would one after the other.
Status DeleteWhole(store::Txn& txn, const CallContext& call, Writes& writes, const std::string& fqn, bool cascade) {
  for (size_t left = 1; left > 0;) {
    WEIR_ASSIGN(left, writes.Delete(txn, call, fqn, std::nullopt, cascade));
  }
  return {};
}

// Clusters go last: what is written may be what no longer names them. All else goes first: what is written may take
// over a host.
Status DeleteThose(store::Txn& txn, const CallContext& call, Writes& writes, const PlanOrder& order, bool clusters) {
  for (const std::string& fqn : order.deletions) {
    if (IsCluster(fqn) == clusters) WEIR_TRY(DeleteWhole(txn, call, writes, fqn, order.cascade));
  }
  return {};
}

Status CheckSize(const store::View& view, const PlanOrder& order) {
  size_t count = order.deletions.size();
  for (const std::string& fqn : order.deletions) count += order.cascade ? view.CountBelow(fqn) : 0;
  if (count <= Planning::kMostDeleted) return {};
  return ResourceExhausted("PLAN_TOO_LARGE", "more than {} resources would be deleted; plan them in parts",
                           Planning::kMostDeleted);
}

Status Try(store::Txn& txn, const CallContext& call, Writes& writes, PlanOrder& order, WouldBe& out) {
  WEIR_TRY(CheckWanted(call));
  WEIR_TRY(CheckSize(txn.view(), order));
  out = {};
  out.before = std::make_shared<const store::View>(txn.view());
  ApplyOrder apply = order.apply;
  apply.conflicts = &out.conflicts;
  int64_t revision = 0;
  WEIR_TRY(DeleteThose(txn, call, writes, order, false));
  WEIR_TRY(StoreDocuments(txn, call, writes, *order.documents, apply, &revision));
  WEIR_TRY(DeleteThose(txn, call, writes, order, true));
  out.after = std::make_shared<const store::View>(txn.view());
  if (txn.event()) out.changes = txn.event()->changes;
  return {};
}

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

Status CheckPlanRequest(const v2::PlanRequest& request) {
  Error error = InvalidArgument("INVALID_REQUEST", "the call is not complete");
  const auto violate = [&](std::string field, std::string text) {
    error.violations.push_back({.field = std::move(field), .description = std::move(text)});
  };
  CheckManager(request.manager(), error.violations);
  if (request.documents().empty() && request.deletions().empty()) {
    violate("documents", "holds no document, and nothing is to be deleted");
  }
  if (static_cast<size_t>(request.deletions_size()) > Planning::kMostDeletions) {
    violate("deletions", fmt::format("at most {}", Planning::kMostDeletions));
  }
  std::set<std::string_view> seen;
  for (int i = 0; i < request.deletions_size(); ++i) {
    const std::string field = fmt::format("deletions[{}]", i);
    const auto fqn = resource::ParseFqn(request.deletions(i));
    if (!fqn.ok() || fqn->kind == resource::Kind::kAccessBindings) {
      violate(field, fqn.ok() ? "bindings go with their resource" : fqn.error().message);
    } else if (!seen.insert(request.deletions(i)).second) {
      violate(field, "stands twice in this call");
    }
  }
  if (error.violations.empty()) return {};
  return error;
}

Status CheckDisjoint(const std::vector<Applied>& documents, const std::vector<std::string>& deletions) {
  Error error = InvalidArgument("INVALID_REQUEST", "documents and deletions contradict each other");
  for (size_t i = 0; i < deletions.size(); ++i) {
    for (const Applied& document : documents) {
      if (!resource::IsAtOrBelow(document.draft.fqn.text, deletions[i])) continue;
      error.violations.push_back(
          {.field = fmt::format("deletions[{}]", i),
           .description = fmt::format("{} has a document in this call", document.draft.fqn.text)});
    }
  }
  if (error.violations.empty()) return {};
  return error;
}

}  // namespace

Result<std::shared_ptr<const void>> Planning::TakePlace(CallContext& call) const {
  std::shared_ptr<const void> place = in_work_.Take(call.principal.uid, 1);
  if (place != nullptr) return place;
  call.retry_after = std::chrono::seconds(1);
  return ResourceExhausted("PLANS_IN_WORK", "more plans of yours ({}), or of all ({}), are in work than may be at once",
                           kMostOfOne, kMostOfAll);
}

Result<MadePlan> Planning::Make(const CallContext& call, PlanOrder& order) const {
  WouldBe state;
  WEIR_TRY(backends_.store->DryRun([&](store::Txn& txn) { return Try(txn, call, writes_, order, state); }));
  MadePlan made{{}, state.before};
  v2::PlanResponse& response = made.response;
  PlanEffect effect;
  if (!order.documents_only && state.conflicts.empty()) {
    Readable readable(state, call.principal);
    PlanQuestion question{.revision = state.before->revision(),
                          .changes = {},
                          .documents = {},
                          .may_read = [&](const std::string& fqn) { return readable(fqn); },
                          .go_on = [&] { return CheckWanted(call); },
                          .deadline = backends_.clock->Now() + kMostTime};
    for (const store::ResourceChange& change : state.changes) {
      if (change.kind == authz::kBindingsKind) continue;
      question.changes.push_back({change.fqn, state.before->Get(change.fqn), state.after->Get(change.fqn)});
    }
    for (const Applied& document : *order.documents) question.documents.push_back(document.draft.fqn.text);
    WEIR_ASSIGN(effect, backends_.fleet->Plan(question));
    response = std::move(effect.seen);
    LocateFindings(*order.documents, response);
  }
  WEIR_TRY(AddItems(*order.documents, state, response));
  response.set_planned_revision(state.before->revision());
  if (order.documents_only || !order.deletions.empty() || !state.conflicts.empty()) return made;
  const PlanToken token{.revision = state.before->revision(),
                        .request = RequestDigest(call, order.apply, order.text),
                        .effect = EffectDigest(*order.documents, state, effect.digest)};
  response.set_plan(token.Text());
  return made;
}

Result<v2::PlanResponse> Planning::Plan(CallContext& call, const v2::PlanRequest& request) const {
  WEIR_TRY(CheckPlanRequest(request));
  WEIR_ASSIGN(const std::shared_ptr<const void> place, TakePlace(call));
  std::vector<document::Node> nodes;
  if (!request.documents().empty()) {
    WEIR_ASSIGN(nodes, document::Parse(request.documents()));
    if (nodes.empty()) return InvalidArgument("INVALID_REQUEST", "the text holds no document");
  }
  WEIR_ASSIGN(std::vector<Applied> documents, ReadDocuments(nodes, call.principal));
  PlanOrder order{.text = request.documents(),
                  .documents = &documents,
                  .apply = OrderOf(request.manager(), request.force(), call.principal),
                  .deletions = {request.deletions().begin(), request.deletions().end()},
                  .cascade = request.cascade(),
                  .documents_only = request.documents_only()};
  WEIR_TRY(CheckDisjoint(documents, order.deletions));
  WEIR_ASSIGN(MadePlan made, Make(call, order));
  return std::move(made.response);
}

Status Planning::StoreAsPlanned(CallContext& call, const v2::ApplyDocumentsRequest& request,
                                std::vector<Applied>& documents, const ApplyOrder& order,
                                const std::function<Status(store::Txn&)>& store) const {
  WEIR_ASSIGN(const PlanToken token, ReadPlanToken(request.plan()));
  WEIR_ASSIGN(const std::shared_ptr<const void> place, TakePlace(call));
  PlanOrder asked{
      .text = request.documents(), .documents = &documents, .apply = order, .deletions = {}, .cascade = false};
  if (RequestDigest(call, asked.apply, asked.text) != token.request) {
    return StalePlan("documents, manager, force or caller are others than those of the plan");
  }
  for (int tries = 1; tries <= kMostTries; ++tries) {
    WEIR_ASSIGN(const MadePlan made, Make(call, asked));
    const auto fresh = ReadPlanToken(made.response.plan());
    if (!fresh.ok() || fresh->effect != token.effect) return StalePlan(*made.before, call.principal, token);
    bool raced = false;
    const auto hold = [&](store::Txn& txn) -> Status {
      // In the end it is enough that nobody touched what is written: others may write all the time.
      raced = tries < kMostTries && txn.view().revision() != made.before->revision();
      for (const Applied& document : documents) {
        raced |= txn.Get(document.draft.fqn.text) != made.before->Get(document.draft.fqn.text);
      }
      return raced ? Aborted("PLAN_RACED", "somebody wrote while the plan was made again") : store(txn);
    };
    const Status stored = backends_.WriteOrTry(call, request.dry_run(), hold);
    if (!raced) return stored;
  }
  return StalePlan("others change these resources all the time");
}

void AddPlans(MethodTable& table, std::shared_ptr<const Planning> planning) {
  table.Add<v2::PlanRequest, v2::PlanResponse>(
      "weir.v2.Plans.Plan",
      [planning](CallContext& call, const v2::PlanRequest& request) { return planning->Plan(call, request); });
}

}  // namespace weir::services
