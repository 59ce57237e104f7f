#include "mgmt-server/audit/audit.h"

#include "libs/base/ids.h"
#include "libs/base/sha256.h"

namespace weir::audit {
namespace {

// Every field with its length before it, so that no two records have one text; the hash before comes first.
std::string ChainHash(const std::string& previous, const store::AuditRow& row) {
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(row.time.time_since_epoch()).count();
  std::string text = fmt::format("weir-audit-1\n{}\n{}\n{}\n{}\n", ToHex(previous), row.sequence, micros, row.revision);
  for (const std::string* field : {&row.principal, &row.principal_uid, &row.action, &row.fqn, &row.uid,
                                   &row.before_etag, &row.after_etag, &row.path, &row.peer, &row.request_id}) {
    text += fmt::format("{}:{}\n", field->size(), *field);
  }
  return Sha256(text);
}

Error Broken(int64_t sequence, std::string_view how) {
  return DataLoss("AUDIT_CHAIN_BROKEN", "audit record {} {}", sequence, how);
}

}  // namespace

Status Append(store::Txn& txn, Record record) {
  store::AuditRow row;
  row.sequence = txn.view().audit_count() + 1;
  row.time = txn.now();
  row.revision = txn.view().revision() == txn.revision() ? txn.revision() : 0;
  row.principal = std::move(record.principal);
  row.principal_uid = std::move(record.principal_uid);
  row.action = std::move(record.action);
  row.fqn = std::move(record.fqn);
  row.uid = std::move(record.uid);
  row.before_etag = std::move(record.before_etag);
  row.after_etag = std::move(record.after_etag);
  row.path = std::move(record.path);
  row.peer = std::move(record.peer);
  row.request_id = std::move(record.request_id);
  row.hash = ChainHash(txn.view().audit_head(), row);
  return txn.AppendAudit(std::move(row));
}

namespace {

constexpr std::string_view kForget = "forget-audit";
std::string Forgotten(int64_t sequence, const std::string& hash) {
  return fmt::format("records up to {}, whose hash is {}", sequence, ToHex(hash));
}

}  // namespace

Status Forget(store::Txn& txn, const store::AuditRow& last, int64_t kept) {
  WEIR_TRY(txn.ForgetAudit({last.sequence, last.hash}, kept));
  Record record;
  record.action = kForget;
  record.path = Forgotten(last.sequence, last.hash);
  return Append(txn, std::move(record));
}

Status ChainCheck::Take(const store::AuditRow& row) {
  if (row.sequence != last_ + 1) return Broken(last_ + 1, "is missing");
  if (ChainHash(head_, row) != row.hash) return Broken(row.sequence, "was changed");
  named_ |= row.action == kForget && row.path == Forgotten(anchor_.sequence, anchor_.hash);
  head_ = row.hash;
  last_ = row.sequence;
  return {};
}

Status ChainCheck::Finish() const {
  return named_ ? Status() : Broken(anchor_.sequence, "and all before it are missing, and no record says why");
}

Result<Verified> Verify(const store::Store& store, int64_t anchor_sequence, const std::string& anchor_head) {
  const store::AuditAnchor begin = store.Read()->audit_anchor();
  ChainCheck chain(begin);
  while (true) {
    WEIR_ASSIGN(const auto rows, store.Audit({chain.last(), 1000}));
    if (rows.empty()) break;
    for (const store::AuditRow& row : rows) {
      const Status fits = chain.Take(row);
      if (!fits.ok()) {  // Or it went while it was read: then from where the chain begins now.
        if (store.Read()->audit_anchor().sequence > chain.last()) return Verify(store, anchor_sequence, anchor_head);
        return fits.error();
      }
      if (row.sequence == anchor_sequence && ToHex(row.hash) != anchor_head) {
        return Broken(row.sequence, "is not the one that was noted");
      }
    }
  }
  WEIR_TRY(chain.Finish());
  if (chain.last() < anchor_sequence) return Broken(anchor_sequence, "is missing");
  return Verified{chain.last() - begin.sequence, ToHex(chain.head())};
}

}  // namespace weir::audit
