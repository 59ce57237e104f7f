#pragma once

#include <cstdint>
#include <string>

#include "libs/base/result.h"
#include "mgmt-server/store/store.h"

namespace weir::audit {

// Who did what. No secret and no body ever stands in here.
struct Record {
  std::string principal;  // FQN of the user; "" = the server itself.
  std::string principal_uid;
  std::string action;  // "create", "update", "delete", "set-policy", "set-password", "login", "create-join-token", …
  std::string fqn;     // Of the resource concerned.
  std::string uid;
  std::string before_etag;  // "" = did not exist.
  std::string after_etag;   // "" = does not exist any more.
  std::string path;         // Which permission path allowed it (authz::Decision::path).
  std::string peer;         // Address of the caller.
  std::string request_id;
};

// Writes the record in the caller's transaction, chained to the one before: an edited or removed record is found.
Status Append(store::Txn& txn, Record record);

// Gives up the records up to this one (store::Txn::ForgetAudit), and leaves a record of that, with the hash from which
// the chain goes on: a chain that begins anywhere else was cut. `last`: a stored record.
// OUT_OF_RANGE RETENTION_TOO_NEW.
Status Forget(store::Txn& txn, const store::AuditRow& last, int64_t kept = store::Txn::kKeptAudit);

// Follows a chain record by record.
class ChainCheck {
 public:
  explicit ChainCheck(store::AuditAnchor anchor)
      : anchor_(std::move(anchor)), named_(anchor_.sequence == 0), last_(anchor_.sequence), head_(anchor_.hash) {}
  // DATA_LOSS AUDIT_CHAIN_BROKEN.
  Status Take(const store::AuditRow& row);
  // After the last: whether the beginning is one that was left on purpose.
  Status Finish() const;
  int64_t last() const { return last_; }
  const std::string& head() const { return head_; }

 private:
  const store::AuditAnchor anchor_;
  bool named_;  // A record says that the chain goes on from the anchor.
  int64_t last_;
  std::string head_;
};

struct Verified {
  int64_t records = 0;
  std::string head;  // Hex of the last hash; note it elsewhere to notice a cut tail later.
};
// Reads the whole chain, or what is kept of it. DATA_LOSS AUDIT_CHAIN_BROKEN names the first record that does not fit.
// With `anchor_sequence` > 0 the record of that number must have the hash `anchor_head` (hex).
Result<Verified> Verify(const store::Store& store, int64_t anchor_sequence = 0, const std::string& anchor_head = "");

}  // namespace weir::audit
