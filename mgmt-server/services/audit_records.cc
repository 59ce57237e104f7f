#include <charconv>

#include "api/weir/v2/history.pb.h"
#include "libs/resource/kinds.h"
#include "libs/rpc/time.h"
#include "mgmt-server/services/page_tokens.h"
#include "mgmt-server/services/past.h"
#include "mgmt-server/services/services.h"

namespace weir::services {
namespace {

constexpr size_t kScanned = 20'000;  // Records that one call looks at.
constexpr size_t kBatch = 1'000;

v2::AuditRecord Render(const store::AuditRow& row) {
  v2::AuditRecord record;
  record.set_sequence(row.sequence);
  *record.mutable_time() = rpc::ToTimestamp(row.time);
  record.set_revision(row.revision);
  record.set_principal(row.principal);
  record.set_principal_uid(row.principal_uid);
  record.set_action(row.action);
  record.set_fqn(row.fqn);
  record.set_uid(row.uid);
  record.set_before_etag(row.before_etag);
  record.set_after_etag(row.after_etag);
  record.set_path(row.path);
  record.set_peer(row.peer);
  record.set_request_id(row.request_id);
  return record;
}

bool Asked(const v2::ListAuditRecordsRequest& request, const store::AuditRow& row) {
  if (!request.fqn().empty() && !resource::IsAtOrBelow(row.fqn, request.fqn())) return false;
  if (!request.principal().empty() && row.principal != request.principal()) return false;
  return request.action().empty() || row.action == request.action();
}

// What is gone has its place among names only while the states of then are kept; a record of before, and one that names
// no revision, is for the installation's administrators then.
Result<bool> MaySee(PastRights& rights, const store::AuditRow& row) {
  const bool there = !row.uid.empty() && rights.now().GetByUid(row.uid) != nullptr;
  const bool placed = !row.fqn.empty() && row.revision > rights.now().history_floor();
  if (there || placed) return rights.May(authz::Right::kSetPolicy, row.fqn, row.uid, row.revision);
  return rights.MayOnInstallation(authz::Right::kSetPolicy);
}

Status CheckRequest(const v2::ListAuditRecordsRequest& request) {
  Error error = InvalidArgument("INVALID_REQUEST", "the question cannot be answered");
  if (request.page_size() < 0 || request.page_size() > 1000) {
    error.violations.push_back({.field = "pageSize", .description = "must be 1 to 1000"});
  }
  const std::pair<const char*, const std::string*> names[] = {{"fqn", &request.fqn()},
                                                              {"principal", &request.principal()}};
  for (const auto& [field, text] : names) {
    const auto fqn = text->empty() ? Result<resource::Fqn>(resource::Fqn()) : resource::ParseFqn(*text);
    if (!fqn.ok()) error.violations.push_back({.field = field, .description = fqn.error().message});
  }
  if (error.violations.empty()) return {};
  return error;
}

// Records below `before`, as many as the page takes; where the next page begins, 0 = that was all.
Result<int64_t> Fill(const store::Store& store, PastRights& rights, const v2::ListAuditRecordsRequest& request,
                     int64_t before, v2::ListAuditRecordsResponse& response) {
  const int page_size = request.page_size() == 0 ? 100 : request.page_size();
  for (size_t scanned = 0; scanned < kScanned; scanned += kBatch) {
    WEIR_ASSIGN(const auto rows, store.AuditBefore(before, kBatch));
    for (const store::AuditRow& row : rows) {
      if (response.items_size() == page_size) return before;
      before = row.sequence;
      if (!Asked(request, row)) continue;
      WEIR_ASSIGN(const bool may, MaySee(rights, row));
      if (may) *response.add_items() = Render(row);
    }
    if (rows.size() < kBatch) return 0;
  }
  return before;
}

Result<v2::ListAuditRecordsResponse> List(const Backends& backends, const PageTokens& tokens, CallContext& call,
                                          const v2::ListAuditRecordsRequest& request) {
  WEIR_TRY(CheckRequest(request));
  const std::string question =
      fmt::format("audit {} {} {} {}", request.fqn(), request.principal(), request.action(), call.principal.uid);
  int64_t before = INT64_MAX;
  if (!request.page_token().empty()) {
    WEIR_ASSIGN(const std::string last, tokens.Open(question, request.page_token()));
    std::from_chars(last.data(), last.data() + last.size(), before);
  }
  WEIR_ASSIGN(const Past::Turn turn, backends.past->TakeTurn(call));
  PastRights rights(*backends.store, call.principal, backends.store->Read());
  v2::ListAuditRecordsResponse response;
  WEIR_ASSIGN(const int64_t next, Fill(*backends.store, rights, request, before, response));
  if (next > 0) {
    WEIR_ASSIGN(*response.mutable_next_page_token(), tokens.Make(question, std::to_string(next)));
  }
  return response;
}

}  // namespace

void AddAuditRecords(MethodTable& table, const Backends& backends) {
  const auto tokens = std::make_shared<PageTokens>(*backends.store);
  table.Add<v2::ListAuditRecordsRequest, v2::ListAuditRecordsResponse>(
      "weir.v2.AuditRecords.ListAuditRecords",
      [&backends, tokens](CallContext& call, const v2::ListAuditRecordsRequest& request) {
        return List(backends, *tokens, call, request);
      });
}

}  // namespace weir::services
