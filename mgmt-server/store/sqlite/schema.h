#pragma once

#include <vector>

#include "libs/base/result.h"
#include "mgmt-server/store/policy.h"
#include "mgmt-server/store/records.h"
#include "mgmt-server/store/sqlite/database.h"
#include "mgmt-server/store/view.h"

namespace weir::store {

// Brings the file to the newest schema: numbered steps, each in its own transaction, never changed once released.
// FAILED_PRECONDITION STORE_TOO_NEW when the file knows more steps than this program.
Status Migrate(Database& database);
// The same inside the caller's transaction, all or nothing of it.
Status MigrateWithin(Database& database);
// FAILED_PRECONDITION STORE_TOO_NEW.
Status Migratable(int64_t schema);
inline constexpr int64_t kLineageSchema = 2;  // The first that has lineages.

// versions.id carries the revision, so the feed and `asOf` need no index of their own: revision << 20 | place in it.
inline constexpr int kPlaceBits = 20;

// Everything present, into an empty view, and the permission graph that follows from it. DATA_LOSS STORE_DAMAGED when
// rows contradict each other.
Status Load(Database& database, const Policy& policy, View& view);

// The changes of the first thousand revisions above `after`, a revision each.
Result<std::vector<ChangeEvent>> ReadChanges(Database& database, int64_t after);

// Columns of a version, in the order ReadVersion takes them.
#define WEIR_VERSION_COLUMNS "uid, id >> 20, fqn, kind, etag, body, owners, deleted, create_time, update_time"
#define WEIR_VERSION_COLUMNS_WITHOUT_BODY "uid, id >> 20, fqn, kind, etag, '', '', deleted, create_time, update_time"
ResourcePtr ReadVersion(const Statement& row);
AuditRow ReadAudit(const Statement& row);
#define WEIR_AUDIT_COLUMNS                                                                                      \
  "sequence, time, revision, principal, principal_uid, action, fqn, uid, before_etag, after_etag, path, peer, " \
  "request_id, hash"

std::string PackOwners(const std::map<std::string, std::string>& owners);
int64_t ToMicros(WallTime time);
WallTime FromMicros(int64_t micros);

}  // namespace weir::store
