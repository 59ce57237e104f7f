#include "mgmt-server/services/change_sets.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <functional>

#include "libs/base/ids.h"
#include "libs/resource/kinds.h"
#include "libs/rpc/time.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/change_set_orders.h"
#include "mgmt-server/services/crud.h"
#include "mgmt-server/services/kept_answers.h"
#include "mgmt-server/services/services.h"

namespace weir::services {

using v2::ChangeSet;

namespace {

constexpr int kMostApprovals = 10;
constexpr int kMostOfPage = 100, kUsualOfPage = 50;
constexpr int kMostAsked = 20'000;  // Resources whose rights one list asks.

// By the time, so that a list has an order, and by chance.
std::string NewName(WallTime now) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  return fmt::format("cs-{:010}-{}", seconds, RandomHex(4));
}

Status CheckContents(const ChangeSet& set) {
  Error error = InvalidArgument("INVALID_REQUEST", "the change set is not complete");
  CheckNote("message", set.message(), true, error.violations);
  CheckChange(ContentsOf(set), error.violations);
  CheckWaves(set.waves(), error.violations);
  if (set.approvals_required() < 0 || set.approvals_required() > kMostApprovals) {
    error.violations.push_back(
        {.field = "approvalsRequired", .description = fmt::format("must be 0 to {}", kMostApprovals)});
  }
  if (error.violations.empty()) return {};
  return error;
}

Status CheckOrganization(const std::string& organization, const ChangeOrder& order) {
  Error error = InvalidArgument("INVALID_REQUEST", "a change set is of one organization");
  const auto check = [&](std::string field, const std::string& fqn) {
    if (resource::IsAtOrBelow(fqn, organization)) return;
    error.violations.push_back(
        {.field = std::move(field), .description = fmt::format("{} is not of {}", fqn, organization)});
  };
  for (const Applied& document : order.documents) check("documents", document.draft.fqn.text);
  for (const std::string& fqn : order.deletions) {
    check("deletions", fqn);
    if (fqn != organization) continue;
    error.violations.push_back(
        {.field = "deletions", .description = "the organization cannot go by its own change set"});
  }
  if (error.violations.empty()) return {};
  return error;
}

// For lists.
void LeaveOutDetails(ChangeSet& set) {
  set.clear_documents();
  set.clear_items();
  if (!set.has_rollout()) return;
  for (v2::WaveProgress& wave : *set.mutable_rollout()->mutable_waves()) wave.clear_evidence();
}

// The first conflict as apply would say it.
Status CheckNoConflict(const MadePlan& made) {
  if (made.state.conflicts.empty()) return {};
  Error error = made.state.conflicts.front().error;
  document::Locate(*made.state.conflicts.front().document->node, error.violations);
  return error;
}

}  // namespace

// Evidence is about objects: who may not read one sees nothing of it.
ChangeSet ChangeSets::Shown(const CallContext& call, ChangeSet set) const {
  set.clear_touched();
  if (!set.has_rollout()) return set;
  rollouts_->AddCounted(set);
  const store::ViewPtr view = backends_.store->Read();
  const auto may_read = [&](const v2::WaveEvidence& one) { return MayReadAt(*view, call.principal, one.source()); };
  for (v2::WaveProgress& wave : *set.mutable_rollout()->mutable_waves()) {
    auto& evidence = *wave.mutable_evidence();
    const auto hidden = std::remove_if(evidence.begin(), evidence.end(), std::not_fn(may_read));
    wave.set_hidden_evidence(static_cast<int32_t>(evidence.end() - hidden));
    evidence.erase(hidden, evidence.end());
  }
  return set;
}

Result<ChangeSet> ChangeSets::Find(const store::View& view, const CallContext& call, const std::string& fqn) const {
  const store::ChangeSetPtr row = view.FindChangeSet(fqn);
  if (row == nullptr) return authz::Missing(fqn);
  WEIR_ASSIGN(ChangeSet set, ReadRow(*row));
  if (!MaySee(view, call.principal, set)) return authz::Missing(fqn);
  return set;
}

Result<MadePlan> ChangeSets::MakeAgain(const CallContext& call, const ChangeSet& set, ChangeOrder& order) const {
  const v2::ChangeSetPerson& planner = set.editors(set.editors_size() - 1);
  CallContext in_his_name;
  in_his_name.request_id = call.request_id;
  in_his_name.gone = call.gone;
  in_his_name.principal = {planner.user(), planner.uid()};
  auto made = planning_->Make(in_his_name, order, false);
  const bool for_himself = planner.uid() == call.principal.uid;
  if (made.ok() || for_himself || made.error().code == Code::kUnavailable ||
      made.error().code == Code::kDeadlineExceeded || made.error().code == Code::kCancelled) {
    return made;
  }
  // Why is his to know.
  return StalePlan(fmt::format("{} who made the plan could not do that any more", planner.user()));
}

Status ChangeSets::CheckCurrent(const CallContext& call, const ChangeSet& set, ChangeOrder& order) const {
  WEIR_ASSIGN(const MadePlan made, MakeAgain(call, set, order));
  if (made.state.conflicts.empty() && made.token.effect == set.plan()) return {};
  return StalePlan(*made.state.before, call.principal,
                   {.revision = set.planned_revision(), .request = "", .effect = ""});
}

Status ChangeSets::CheckMayDoAll(const CallContext& call, ChangeOrder& order) const {
  WouldBe unused;
  return TryAll(backends_, writes_, call, order, unused);
}

Status ChangeSets::Pin(const CallContext& call, const std::string& organization, ChangeOrder& order,
                       const MadePlan& made, ChangeSet& set) const {
  WEIR_TRY(CheckNoConflict(made));
  if (set.waves_size() > 0) WEIR_TRY(PlaceWaves(call, set, organization, made.state));
  WEIR_TRY(AddEditor(call.principal, backends_.clock->Wall(), set));
  if (set.plan() != made.token.effect) set.clear_approvals();
  set.set_plan(made.token.effect);
  set.set_planned_revision(made.token.revision);
  *set.mutable_items() = made.response.items();
  set.clear_touched();
  for (std::string& touched : TouchedBy(made.state, order)) set.add_touched(std::move(touched));
  return {};
}

Result<ChangeSet> ChangeSets::Change(const CallContext& call, const ChangeSet& seen, const char* action,
                                     const Changing& change, const Keeping& keep) const {
  return backends_.Write(call, [&](store::Txn& txn) -> Result<ChangeSet> {
    WEIR_ASSIGN(ChangeSet set, FindSame(txn, seen));
    WEIR_TRY(change(txn, set));
    WEIR_TRY(StoreChangeSet(txn, call, bounds_, action, set));
    set = Shown(call, std::move(set));
    WEIR_TRY(keep(txn, call, set));
    return set;
  });
}

Status ChangeSets::KeepShown(store::Txn& txn, const CallContext& call, const ChangeSet& shown) {
  return KeepAnswer(txn, call, shown);
}

Result<ChangeSet> ChangeSets::Create(CallContext& call, const v2::CreateChangeSetRequest& request) const {
  WEIR_TRY(ParseFqnOf(resource::Kind::kOrganization, request.parent()));
  const ChangeSet& given = request.change_set();
  WEIR_TRY(CheckContents(given));
  WEIR_ASSIGN(const std::shared_ptr<const void> place, planning_->TakePlace(call));
  ChangeSet set;
  *set.mutable_author() = Person(call.principal, backends_.clock->Wall());
  set.set_documents(given.documents());
  *set.mutable_deletions() = given.deletions();
  set.set_cascade(given.cascade());
  set.set_manager(given.manager());
  set.set_force(given.force());
  *set.mutable_waves() = given.waves();
  set.set_message(given.message());
  set.set_approvals_required(given.approvals_required());
  WEIR_ASSIGN(ChangeOrder order, OrderOf(set));
  WEIR_TRY(CheckOrganization(request.parent(), order));
  WEIR_ASSIGN(const MadePlan made, planning_->Make(call, order, false));
  WEIR_TRY(Pin(call, request.parent(), order, made, set));
  set.set_state(OpenState(set));
  set.set_uid(NewUid());
  return WriteOnce(backends_, call, false, [&](store::Txn& txn) -> Result<ChangeSet> {
    if (txn.Get(request.parent()) == nullptr) return authz::Missing(request.parent());
    set.set_fqn(fmt::format("{}/changesets/{}", request.parent(), NewName(txn.now())));
    *set.mutable_create_time() = rpc::ToTimestamp(txn.now());
    WEIR_TRY(StoreChangeSet(txn, call, bounds_, "change-set.create", set));
    return Shown(call, set);
  });
}

Result<ChangeSet> ChangeSets::Get(CallContext& call, const v2::GetChangeSetRequest& request) const {
  WEIR_ASSIGN(ChangeSet set, Find(*backends_.store->Read(), call, request.fqn()));
  return Shown(call, std::move(set));
}

Result<v2::ListChangeSetsResponse> ChangeSets::List(CallContext& call, const v2::ListChangeSetsRequest& request) const {
  WEIR_TRY(ParseFqnOf(resource::Kind::kOrganization, request.parent()));
  if (request.page_size() < 0 || request.page_size() > kMostOfPage) {
    Error error = InvalidArgument("INVALID_REQUEST", "the question cannot be answered");
    error.violations.push_back({.field = "pageSize", .description = fmt::format("must be 1 to {}", kMostOfPage)});
    return error;
  }
  const std::string question =
      fmt::format("changesets {} {} {}", request.parent(), request.open_only(), call.principal.uid);
  std::string below;
  if (!request.page_token().empty()) {
    WEIR_ASSIGN(below, tokens_.Open(question, request.page_token()));
  }
  const store::ViewPtr view = backends_.store->Read();
  if (!authz::SeesBelow(*view, call.principal, request.parent())) {
    WEIR_TRY(authz::Authorize(*view, call.principal, authz::Right::kRead, request.parent()));
  }
  std::vector<store::ChangeSetPtr> rows;
  view->ForEachChangeSet(request.parent(), [&](const store::ChangeSetPtr& row) {
    if ((below.empty() || row->fqn < below) && (row->open || !request.open_only())) rows.push_back(row);
    return true;
  });
  v2::ListChangeSetsResponse response;
  const int page_size = request.page_size() == 0 ? kUsualOfPage : request.page_size();
  int asked = 0;
  for (auto row = rows.rbegin(); row != rows.rend(); ++row) {
    if (response.items_size() == page_size || asked > kMostAsked) {
      WEIR_ASSIGN(*response.mutable_next_page_token(), tokens_.Make(question, (*std::prev(row))->fqn));
      return response;
    }
    WEIR_ASSIGN(ChangeSet set, ReadRow(**row));
    asked += 1 + set.touched_size();
    if (!MaySee(*view, call.principal, set)) continue;
    LeaveOutDetails(set);
    *response.add_items() = Shown(call, std::move(set));
  }
  return response;
}

Result<ChangeSet> ChangeSets::Update(CallContext& call, const v2::UpdateChangeSetRequest& request) const {
  WEIR_ASSIGN(ChangeSet seen, Find(*backends_.store->Read(), call, request.fqn()));
  const ChangeSet& given = request.change_set();
  const std::string etag = EtagText(given.resource_version());
  if (etag.empty()) {
    return InvalidArgument("ETAG_REQUIRED", "name the version that is replaced: resourceVersion");
  }
  if (etag != seen.resource_version()) {
    return Aborted("ETAG_MISMATCH", "{} was changed in the meantime: read it again and repeat the change", seen.fqn());
  }
  WEIR_TRY(CheckContents(given));
  if (given.approvals_required() != 0 && given.approvals_required() != seen.approvals_required()) {
    return InvalidArgument("IMMUTABLE", "approvalsRequired never changes; create another change set");
  }
  WEIR_ASSIGN(const std::shared_ptr<const void> place, planning_->TakePlace(call));
  ChangeSet next = seen;
  next.set_documents(given.documents());
  *next.mutable_deletions() = given.deletions();
  next.set_cascade(given.cascade());
  next.set_manager(given.manager());
  next.set_force(given.force());
  *next.mutable_waves() = given.waves();
  next.set_message(given.message());
  next.clear_approvals();
  WEIR_TRY(Move(ChangeSetVerb::kEdit, OpenState(next), next));
  WEIR_ASSIGN(ChangeOrder order, OrderOf(next));
  WEIR_TRY(CheckOrganization(resource::ParentFqn(seen.fqn()), order));
  WEIR_ASSIGN(const MadePlan made, planning_->Make(call, order, false));
  WEIR_TRY(Pin(call, resource::ParentFqn(next.fqn()), order, made, next));
  return Change(call, seen, "change-set.update", [&](store::Txn&, ChangeSet& set) -> Status {
    set = next;
    return {};
  });
}

Result<v2::PlanChangeSetResponse> ChangeSets::Plan(CallContext& call, const v2::PlanChangeSetRequest& request) const {
  WEIR_ASSIGN(ChangeSet set, Find(*backends_.store->Read(), call, request.fqn()));
  ChangeSet next = set;
  next.set_state(OpenState(set));
  if (!IsEditable(set.state())) WEIR_TRY(Move(ChangeSetVerb::kEdit, OpenState(set), set));
  WEIR_ASSIGN(const std::shared_ptr<const void> place, planning_->TakePlace(call));
  WEIR_ASSIGN(ChangeOrder order, OrderOf(set));
  WEIR_ASSIGN(MadePlan made, planning_->Make(call, order, false));
  v2::PlanChangeSetResponse response;
  response.set_current(request.renew() || CheckCurrent(call, set, order).ok());
  if (request.renew()) {
    WEIR_TRY(Pin(call, resource::ParentFqn(next.fqn()), order, made, next));
    WEIR_TRY(Move(ChangeSetVerb::kEdit, OpenState(next), next));
  }
  *response.mutable_plan() = std::move(made.response);
  response.mutable_plan()->clear_plan();  // It is applied by commit.
  if (!request.renew()) {
    *response.mutable_change_set() = Shown(call, std::move(set));
    return response;
  }
  const auto renew = [&](store::Txn&, ChangeSet& stored) -> Status {
    stored = next;
    return {};
  };
  const auto keep = [&](store::Txn& txn, const CallContext&, const ChangeSet& shown) -> Status {
    *response.mutable_change_set() = shown;
    return KeepAnswer(txn, call, response);
  };
  WEIR_TRY(Change(call, set, "change-set.renew", renew, keep));
  return response;
}

namespace {

template <typename Request, typename Response>
void Add(MethodTable& table, const std::shared_ptr<const ChangeSets>& sets, const std::string& name,
         Result<Response> (ChangeSets::*method)(CallContext&, const Request&) const) {
  table.Add<Request, Response>("weir.v2.ChangeSets." + name, [sets, method](CallContext& call, const Request& request) {
    return (*sets.*method)(call, request);
  });
}

}  // namespace

void AddChangeSets(MethodTable& table, const Backends& backends, Writes& writes,
                   std::shared_ptr<const Planning> planning, std::shared_ptr<const Rollouts> rollouts) {
  const auto sets = std::make_shared<const ChangeSets>(backends, writes, std::move(planning), std::move(rollouts));
  Add(table, sets, "CreateChangeSet", &ChangeSets::Create);
  Add(table, sets, "GetChangeSet", &ChangeSets::Get);
  Add(table, sets, "ListChangeSets", &ChangeSets::List);
  Add(table, sets, "UpdateChangeSet", &ChangeSets::Update);
  Add(table, sets, "PlanChangeSet", &ChangeSets::Plan);
  Add(table, sets, "ApproveChangeSet", &ChangeSets::Approve);
  Add(table, sets, "RejectChangeSet", &ChangeSets::Reject);
  Add(table, sets, "CommitChangeSet", &ChangeSets::Commit);
  Add(table, sets, "AbortChangeSet", &ChangeSets::Abort);
  writes.AlsoDelete(resource::Kind::kOrganization,
                    [](store::Txn& txn, const store::StoredResource& organization) -> Status {
                      std::vector<std::string> names;
                      txn.view().ForEachChangeSet(organization.fqn, [&](const store::ChangeSetPtr& set) {
                        names.push_back(set->fqn);
                        return true;
                      });
                      for (const std::string& name : names) {
                        WEIR_TRY(txn.DeleteOverlay(name));
                        WEIR_TRY(txn.DeleteChangeSet(name));
                      }
                      return {};
                    });
}

}  // namespace weir::services
