#include "mgmt-server/store/sqlite/rows.h"
#include "mgmt-server/store/sqlite/schema.h"

namespace weir::store {
namespace {

Result<int64_t> Changes(Database& database) {
  WEIR_ASSIGN(Statement changes, database.Prepare("SELECT changes()"));
  WEIR_ASSIGN(const bool row, changes.Step());
  const int64_t count = row ? changes.Number(0) : 0;
  changes.Reset();
  return count;
}

}  // namespace

Status SqliteRows::PutRevision(const Revision& revision, std::string_view mark) {
  return Run(sql_[kPutRevision]
                 .Int(revision.number)
                 .Int(ToMicros(revision.time))
                 .Text(mark)
                 .Text(revision.principal)
                 .Text(revision.principal_uid)
                 .Text(revision.request_id)
                 .Text(revision.message)
                 .Text(revision.change_set));
}
Status SqliteRows::PutHistoryFloor(int64_t floor) { return Run(sql_[kPutHistoryFloor].Int(floor)); }
Status SqliteRows::PutAuditAnchor(const AuditAnchor& anchor) {
  return Run(sql_[kPutAuditAnchor].Int(anchor.sequence).Blob(anchor.hash));
}

// One version after the other, from the oldest: what a version of the floor or before replaced is not in any state that
// is kept, and a deletion says nothing once what it deleted is gone. What is left is the state at the floor.
Result<int64_t> SqliteRows::DropVersions(int64_t floor, int64_t most) {
  struct Seen {
    int64_t id;
    std::string fqn;
    bool deleted;
  };
  std::vector<Seen> slice;
  {
    WEIR_ASSIGN(Statement next,
                database_->Prepare("SELECT id, fqn, deleted FROM versions WHERE id > (SELECT value FROM "
                                   "counters WHERE name = 'history_cursor') AND id < ? ORDER BY id "
                                   "LIMIT ?"));
    next.Int((floor + 1) << kPlaceBits).Int(most);
    while (true) {
      WEIR_ASSIGN(const bool row, next.Step());
      if (!row) break;
      slice.push_back({next.Number(0), next.String(1), next.Number(2) != 0});
    }
  }
  if (slice.empty()) return 0;
  WEIR_ASSIGN(Statement replaced, database_->Prepare("DELETE FROM versions WHERE fqn = ? AND id < ?"));
  WEIR_ASSIGN(Statement deletion, database_->Prepare("DELETE FROM versions WHERE id = ?"));
  for (const Seen& version : slice) {
    WEIR_TRY(replaced.Text(version.fqn).Int(version.id).Run());
    if (version.deleted) WEIR_TRY(deletion.Int(version.id).Run());
  }
  WEIR_ASSIGN(Statement cursor, database_->Prepare("UPDATE counters SET value = ? WHERE name = 'history_cursor'"));
  WEIR_TRY(cursor.Int(slice.back().id).Run());
  return static_cast<int64_t>(slice.size());
}

Result<int64_t> SqliteRows::DropForgotten(int64_t history_floor, int64_t audit_anchor, int64_t most,
                                          WallTime revisions_before) {
  const auto drop = [&]() -> Result<int64_t> {
    WEIR_ASSIGN(int64_t dropped, DropVersions(history_floor, most));
    WEIR_ASSIGN(Statement audit, database_->Prepare("DELETE FROM audit WHERE sequence <= min(?, (SELECT min(sequence) "
                                                    "FROM audit) + ? - 1)"));
    WEIR_TRY(audit.Int(audit_anchor).Int(most).Run());
    WEIR_ASSIGN(const int64_t records, Changes(*database_));
    WEIR_ASSIGN(Statement revisions,
                database_->Prepare("DELETE FROM revisions WHERE revision <= min(?, (SELECT min(revision) FROM "
                                   "revisions) + ? - 1) AND time < ?"));
    WEIR_TRY(revisions.Int(history_floor).Int(most).Int(ToMicros(revisions_before)).Run());
    WEIR_ASSIGN(const int64_t authors, Changes(*database_));
    return dropped + records + authors;
  };
  Result<int64_t> dropped = drop();
  if (!dropped.ok()) (void)Note(dropped.error());
  return dropped;
}

}  // namespace weir::store
