#include "api/weir/v2/documents.pb.h"
#include "libs/document/document.h"
#include "mgmt-server/services/applying.h"
#include "mgmt-server/services/in_work.h"
#include "mgmt-server/services/kept_answers.h"
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
  const auto violate = [&](const char* field, const char* text) {
    error.violations.push_back({.field = field, .description = text});
  };
  CheckManager(request.manager(), error.violations);
  if (request.dry_run() && !request.wait().empty()) violate("wait", "there is nothing to wait for in a dry run");
  Waits::Check(request.wait(), request.wait_seconds(), error.violations);
  if (request.documents().empty()) violate("documents", "holds no document");
  if (error.violations.empty()) return {};
  return error;
}

// Nothing is stored: there is no version of what would be.
void ForgetVersions(std::vector<Applied>& documents, int64_t* revision) {
  *revision = 0;
  for (Applied& document : documents) {
    if (document.outcome.outcome() != v2::AppliedDocument::UNCHANGED) document.outcome.clear_resource_version();
  }
}

v2::ApplyDocumentsResponse ResponseOf(const std::vector<Applied>& documents, int64_t revision) {
  v2::ApplyDocumentsResponse response;
  response.set_revision(revision);
  for (const Applied& document : documents) *response.add_items() = document.outcome;
  return response;
}

// As planned, as if, or as it is.
Status Store(const Backends& backends, Writes& writes, const Planning& planning, CallContext& call,
             const v2::ApplyDocumentsRequest& request, std::vector<Applied>& documents, int64_t* revision) {
  const ApplyOrder order = OrderOf(request.manager(), request.force(), call.principal);
  const auto store = [&](store::Txn& txn) -> Status {
    WEIR_TRY(StoreDocuments(txn, call, writes, documents, order, revision));
    return request.dry_run() ? Status() : KeepAnswer(txn, call, ResponseOf(documents, *revision));
  };
  if (!request.plan().empty()) {
    WEIR_TRY(planning.StoreAsPlanned(call, request, documents, order, store));
  } else {
    WEIR_TRY(backends.WriteOrTry(call, request.dry_run(), store));
  }
  if (request.dry_run()) ForgetVersions(documents, revision);
  return {};
}

Result<MessagePtr> Apply(const Backends& backends, Writes& writes, Waits& waits, InWork& in_work,
                         const Planning& planning, CallContext& call, const v2::ApplyDocumentsRequest& request) {
  WEIR_TRY(CheckRequest(request));
  const auto place = in_work.Take(call.principal.uid, request.documents().size());
  if (place == nullptr) {
    call.retry_after = std::chrono::seconds(1);
    return ResourceExhausted("DOCUMENTS_IN_WORK",
                             "more documents of yours ({} MiB), or of all ({} MiB), are in work than may be at once; "
                             "apply these when the others are stored",
                             kMostOfOne >> 20, kMostOfAll >> 20);
  }
  WEIR_ASSIGN(std::vector<document::Node> nodes, document::Parse(request.documents()));
  if (nodes.empty()) return InvalidArgument("INVALID_REQUEST", "the text holds no document");
  WEIR_ASSIGN(std::vector<Applied> documents, ReadDocuments(nodes, call.principal));
  int64_t revision = 0;
  const auto response = std::make_shared<v2::ApplyDocumentsResponse>();
  WEIR_ASSIGN(const MessagePtr kept, KeptAnswer(backends, call, *response));
  if (kept == nullptr) WEIR_TRY(Store(backends, writes, planning, call, request, documents, &revision));
  *response = kept != nullptr ? static_cast<const v2::ApplyDocumentsResponse&>(*kept) : ResponseOf(documents, revision);
  const auto answer = [response] { return MessagePtr(new v2::ApplyDocumentsResponse(std::move(*response))); };
  if (request.wait().empty()) return answer();

  std::vector<std::string> fqns;
  for (const Applied& document : documents) {
    if (document.kind->kind != resource::Kind::kAccessBindings) fqns.push_back(document.draft.fqn.text);
  }
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
  table.Add("weir.v2.Documents.Apply", [&backends, &writes, waits, in_work, planning](
                                           CallContext& call, const google::protobuf::Message& request) {
    return Apply(backends, writes, *waits, *in_work, *planning, call,
                 static_cast<const v2::ApplyDocumentsRequest&>(request));
  });
  table.TakesKeys("weir.v2.Documents.Apply");
}

}  // namespace weir::services
