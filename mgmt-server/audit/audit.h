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

struct Verified {
  int64_t records = 0;
  std::string head;  // Hex of the last hash; note it elsewhere to notice a cut tail later.
};
// Reads the whole chain. DATA_LOSS AUDIT_CHAIN_BROKEN names the first record that does not fit. With `anchor_sequence`
// > 0 the record of that number must have the hash `anchor_head` (hex).
Result<Verified> Verify(const store::Store& store, int64_t anchor_sequence = 0, const std::string& anchor_head = "");

}  // namespace weir::audit
