#include "api/weir/v2/documents.pb.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/changing.h"
#include "mgmt-server/services/in_work.h"
#include "mgmt-server/services/kept_answers.h"
#include "mgmt-server/services/plan_items.h"
#include "mgmt-server/services/planning.h"
#include "mgmt-server/services/services.h"
#include "mgmt-server/services/waits.h"

namespace weir::services {
namespace {

// Of documents in work.
constexpr size_t kMostOfOne = 2u << 20;
constexpr size_t kMostOfAll = 16u << 20;

Status CheckRequest(const v2::ApplyDocumentsRequest& request) {
  Error error = InvalidArgument("INVALID_REQUEST", "the call is not complete");
  if (request.dry_run() && !request.wait().empty()) {
    error.violations.push_back({.field = "wait", .description = "there is nothing to wait for in a dry run"});
  }
  Waits::Check(request.wait(), request.wait_seconds(), error.violations);
  CheckNote("message", request.message(), false, error.violations);
  CheckChange(ChangeTextOf(request), error.violations);
  if (error.violations.empty()) return {};
  return error;
}

v2::ApplyDocumentsResponse Answer(const ChangeOrder& order, const WouldBe& done, bool dry_run) {
  v2::ApplyDocumentsResponse response;
  response.set_revision(dry_run ? 0 : done.revision);
  for (const Applied& document : order.documents) {
    v2::AppliedDocument& item = *response.add_items();
    item = document.outcome;
    // Nothing is stored: there is no version of what would be.
    if (dry_run && item.outcome() != v2::AppliedDocument::UNCHANGED) item.clear_resource_version();
  }
  v2::PlanResponse others;
  AddDeletedAndKept(done, others);
  for (const v2::PlannedDocument& other : others.items()) {
    v2::AppliedDocument& item = *response.add_items();
    item.set_fqn(other.fqn());
    item.set_kind(other.kind());
    item.set_outcome(static_cast<v2::AppliedDocument::Outcome>(other.outcome()));  // The numbers are the same.
    item.set_message(other.message());
  }
  response.set_more_deleted(others.more_deleted());
  response.set_more_kept(others.more_kept());
  for (const std::string& scope : order.prune_scopes) response.add_prune_scopes(scope);
  return response;
}

// As planned, as if, or as it is.
Result<v2::ApplyDocumentsResponse> Store(const Backends& backends, Writes& writes, const Planning& planning,
                                         CallContext& call, const v2::ApplyDocumentsRequest& request,
                                         ChangeOrder& order) {
  v2::ApplyDocumentsResponse response;
  const auto also = [&](store::Txn& txn, const WouldBe& done) -> Status {
    txn.Annotate({.message = request.message(), .change_set = ""});
    response = Answer(order, done, request.dry_run());
    return request.dry_run() ? Status() : KeepAnswer(txn, call, response);
  };
  if (!request.plan().empty()) {
    WEIR_TRY(planning.StoreAsPlanned(call, order, request.plan(), request.dry_run(), also));
    return response;
  }
  const auto write = [&](store::Txn& txn) -> Status {
    WouldBe done;
    WEIR_TRY(MakeChange(txn, call, writes, order, false, done));
    return also(txn, done);
  };
  WEIR_TRY(backends.WriteOrTry(call, request.dry_run(), write, TermsOf(order)));
  return response;
}

// Of the documents' resources. Of an answer that was kept rights may have gone since it was given first.
std::vector<std::string> WaitedFor(const store::View& view, const CallContext& call,
                                   const v2::ApplyDocumentsResponse& response) {
  std::vector<std::string> fqns;
  for (const v2::AppliedDocument& item : response.items()) {
    if (item.outcome() == v2::AppliedDocument::DELETED || item.outcome() == v2::AppliedDocument::KEPT) continue;
    if (resource::IsAccessBindings(item.fqn())) continue;
    const store::ResourcePtr now = view.Get(item.fqn());
    if (now != nullptr && authz::Allowed(view, call.principal, authz::Right::kRead, *now)) fqns.push_back(item.fqn());
  }
  return fqns;
}

Result<MessagePtr> Apply(const Backends& backends, Writes& writes, InWork& in_work, const Planning& planning,
                         CallContext& call, const v2::ApplyDocumentsRequest& request) {
  WEIR_TRY(CheckRequest(request));
  const auto place = in_work.Take(call.principal.uid, request.documents().size());
  if (place == nullptr) {
    call.retry_after = std::chrono::seconds(1);
    return ResourceExhausted("DOCUMENTS_IN_WORK",
                             "more documents of yours ({} MiB), or of all ({} MiB), are in work than may be at once; "
                             "apply these when the others are stored",
                             kMostOfOne >> 20, kMostOfAll >> 20);
  }
  WEIR_ASSIGN(ChangeOrder order, ReadChange(ChangeTextOf(request), call.principal));
  WEIR_ASSIGN(v2::ApplyDocumentsResponse response, Store(backends, writes, planning, call, request, order));
  return MessagePtr(new v2::ApplyDocumentsResponse(std::move(response)));
}

// After it is stored, or was stored before.
Result<MessagePtr> WaitFor(const Backends& backends, Waits& waits, CallContext& call,
                           const v2::ApplyDocumentsRequest& request, MessagePtr stored) {
  if (request.wait().empty()) return stored;
  const auto response = std::make_shared<v2::ApplyDocumentsResponse>();
  response->Swap(static_cast<v2::ApplyDocumentsResponse*>(stored.get()));
  const auto answer = [response] { return MessagePtr(new v2::ApplyDocumentsResponse(std::move(*response))); };
  std::vector<std::string> fqns = WaitedFor(*backends.store->Read(), call, *response);
  if (fqns.empty()) return answer();
  const Status waiting = waits.Start(call, {std::move(fqns), response->revision(), request.wait_seconds()},
                                     [response, answer](std::vector<v2::ResourceStatus> statuses) {
                                       for (auto& status : statuses) *response->add_statuses() = std::move(status);
                                       return answer();
                                     });
  if (waiting.ok()) return MessagePtr();
  // What is stored is stored: an error would hide it.
  response->set_not_waited(waiting.error().message);
  return answer();
}

}  // namespace

void AddDocuments(MethodTable& table, const Backends& backends, Writes& writes, std::shared_ptr<Waits> waits,
                  std::shared_ptr<const Planning> planning) {
  const auto in_work = std::make_shared<InWork>(kMostOfOne, kMostOfAll);
  const std::string name = "weir.v2.Documents.Apply";
  table.Add(name, [&backends, &writes, in_work, planning](CallContext& call, const google::protobuf::Message& request) {
    return Apply(backends, writes, *in_work, *planning, call, static_cast<const v2::ApplyDocumentsRequest&>(request));
  });
  table.Then(name, [&backends, waits](CallContext& call, const google::protobuf::Message& request, MessagePtr stored) {
    return WaitFor(backends, *waits, call, static_cast<const v2::ApplyDocumentsRequest&>(request), std::move(stored));
  });
}

}  // namespace weir::services
