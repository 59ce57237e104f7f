#include "mgmt-server/store/sqlite/past.h"

#include <algorithm>
#include <optional>
#include <set>

#include "mgmt-server/store/sqlite/schema.h"

namespace weir::store {
namespace {

Error Forgotten(int64_t revision, int64_t floor) {
  return OutOfRange("REVISION_UNKNOWN", "revision {} is older than what is kept; the oldest state is that of {}",
                    revision, floor);
}

// Of a bound query; 0 when it has no row.
Result<int64_t> OneNumber(Statement& query) {
  WEIR_ASSIGN(const bool row, query.Step());
  const int64_t number = row ? query.Number(0) : 0;
  query.Reset();
  return number;
}

Result<int64_t> Floor(Database& database) {
  WEIR_ASSIGN(Statement query, database.Prepare("SELECT value FROM counters WHERE name = 'history_floor'"));
  return OneNumber(query);
}

Result<std::set<std::string>> ChangedSince(Database& database, int64_t revision) {
  std::set<std::string> changed;
  WEIR_ASSIGN(Statement query, database.Prepare("SELECT fqn FROM versions WHERE id >= ?"));
  query.Int((revision + 1) << kPlaceBits);
  while (true) {
    WEIR_ASSIGN(const bool row, query.Step());
    if (!row) return changed;
    changed.insert(query.String(0));
  }
}

}  // namespace

Status PastReader::Open(const std::string& path, const std::string& vfs) {
  MutexLock lock(mutex_);
  WEIR_ASSIGN(database_, Database::Open(path, vfs, true));
  return {};
}

// `read(database, floor)` inside one transaction.
template <typename Fn>
auto PastReader::AtOneMoment(Fn read) const {
  using Answer = decltype(read(database_, int64_t{0}));
  MutexLock lock(mutex_);
  const Status begun = database_.Execute("BEGIN");
  if (!begun.ok()) return Answer(begun.error());
  const Result<int64_t> floor = Floor(database_);
  Answer answer = floor.ok() ? read(database_, *floor) : Answer(floor.error());
  (void)database_.Execute("COMMIT");
  return answer;
}

// From the present backwards: what did not change since is shared with it.
Result<ViewPtr> PastReader::ReadAt(const View& now, const Policy& policy, int64_t revision, bool with_graph) const {
  auto view = std::make_shared<View>(policy.Rights());
  ViewLoader loader(*view);
  WEIR_TRY(AtOneMoment([&](Database& database, int64_t floor) -> Status {
    if (revision < floor) return Forgotten(revision, floor);
    loader.SetRevision(revision);
    loader.SetHistoryFloor(floor);
    loader.CopyResources(now);
    WEIR_ASSIGN(const std::set<std::string> changed, ChangedSince(database, revision));
    WEIR_ASSIGN(Statement query, database.Prepare("SELECT " WEIR_VERSION_COLUMNS
                                                  " FROM versions WHERE fqn = ? AND id < ? ORDER BY id DESC LIMIT 1"));
    for (const std::string& fqn : changed) {
      query.Text(fqn).Int((revision + 1) << kPlaceBits);
      WEIR_ASSIGN(const bool row, query.Step());
      const ResourcePtr then = row ? ReadVersion(query) : nullptr;
      if (row) query.Reset();
      if (then != nullptr && !then->deleted)
        loader.Put(then);
      else
        loader.Remove(fqn);
    }
    return {};
  }));
  if (with_graph) {
    now.ForEachInstallationRole([&](const std::string& role, const std::string& user_uid) {
      loader.AddInstallationRole(role, user_uid);
      return true;
    });
    WEIR_TRY(policy.Derive(*view, loader.graph()));
  }
  return ViewPtr(std::move(view));
}

Result<std::vector<ResourcePtr>> PastReader::History(std::string_view fqn, int64_t below, size_t limit) const {
  return AtOneMoment([&](Database& database, int64_t floor) -> Result<std::vector<ResourcePtr>> {
    std::vector<ResourcePtr> versions;
    WEIR_ASSIGN(Statement query, database.Prepare("SELECT " WEIR_VERSION_COLUMNS
                                                  " FROM versions WHERE fqn = ? AND id < ? ORDER BY id DESC LIMIT ?"));
    query.Text(fqn).Int(below << kPlaceBits).Int(static_cast<int64_t>(limit));
    while (true) {
      WEIR_ASSIGN(const bool row, query.Step());
      if (!row) return versions;
      ResourcePtr version = ReadVersion(query);
      const bool oldest = version->revision <= floor;  // What came before it is not kept, or going.
      if (!oldest || !version->deleted) versions.push_back(std::move(version));
      if (!oldest) continue;
      query.Reset();
      return versions;
    }
  });
}

Result<std::vector<Change>> PastReader::Changes(const ChangesQuery& query) const {
  return AtOneMoment([&](Database& database, int64_t floor) -> Result<std::vector<Change>> {
    std::vector<Change> changes;
    WEIR_ASSIGN(Statement select,
                database.Prepare("SELECT id, kind, fqn, uid, deleted, etag, EXISTS(SELECT 1 FROM versions b WHERE "
                                 "b.fqn = v.fqn AND b.id < v.id AND b.uid = v.uid) FROM versions v "
                                 "WHERE id < ? AND id >= ? ORDER BY id DESC LIMIT ?"));
    const auto limit = static_cast<int64_t>(query.limit);
    select.Int(std::min(query.below, query.revisions_below << kPlaceBits)).Int((floor + 1) << kPlaceBits).Int(limit);
    while (true) {
      WEIR_ASSIGN(const bool row, select.Step());
      if (!row) return changes;
      Change& change = changes.emplace_back();
      change.place = select.Number(0);
      change.revision = change.place >> kPlaceBits;
      change.kind = select.String(1);
      change.fqn = select.String(2);
      change.uid = select.String(3);
      change.deleted = select.Number(4) != 0;
      change.etag = select.String(5);
      change.created = !change.deleted && select.Number(6) == 0;
    }
  });
}

Result<Revision> PastReader::GetRevision(int64_t number) const {
  return AtOneMoment([&](Database& database, int64_t floor) -> Result<Revision> {
    WEIR_ASSIGN(
        Statement query,
        database.Prepare("SELECT time, principal, principal_uid, request_id, message, change_set FROM revisions "
                         "WHERE revision = ?"));
    query.Int(number);
    WEIR_ASSIGN(const bool row, query.Step());
    if (!row) return Forgotten(number, floor);
    Revision revision{
        number,         FromMicros(query.Number(0)), query.String(1), query.String(2), query.String(3), query.String(4),
        query.String(5)};
    query.Reset();
    return revision;
  });
}

// Not the first that is later, but the last that is not: a clock that was ahead for a while hides nothing.
Result<int64_t> PastReader::RevisionAt(WallTime time) const {
  return AtOneMoment([&](Database& database, int64_t floor) -> Result<int64_t> {
    WEIR_ASSIGN(Statement query,
                database.Prepare("SELECT revision FROM revisions WHERE time <= ? ORDER BY revision DESC LIMIT 1"));
    query.Int(ToMicros(time));
    WEIR_ASSIGN(const bool row, query.Step());
    const int64_t revision = row ? query.Number(0) : 0;
    if (row) query.Reset();
    if (revision >= floor) return revision;
    return OutOfRange("REVISION_UNKNOWN",
                      "that time is older than what is kept; the oldest state is that of revision {}", floor);
  });
}

Result<int64_t> PastReader::FloorOf(int64_t changes) const {
  return AtOneMoment([&](Database& database, int64_t floor) -> Result<int64_t> {
    WEIR_ASSIGN(Statement query,
                database.Prepare("SELECT id >> 20 FROM versions WHERE id >= ? ORDER BY id DESC LIMIT 1 "
                                 "OFFSET ?"));
    return OneNumber(query.Int((floor + 1) << kPlaceBits).Int(changes));
  });
}

// From the oldest on: as much is read as goes.
Result<int64_t> PastReader::AuditUntil(WallTime time) const {
  return AtOneMoment([&](Database& database, int64_t) -> Result<int64_t> {
    WEIR_ASSIGN(Statement query,
                database.Prepare("SELECT coalesce((SELECT sequence - 1 FROM audit WHERE time > ? ORDER BY sequence "
                                 "LIMIT 1), (SELECT max(sequence) FROM audit), 0)"));
    return OneNumber(query.Int(ToMicros(time)));
  });
}

Result<int64_t> PastReader::LastOtherHolder(std::string_view fqn, std::string_view uid) const {
  return AtOneMoment([&](Database& database, int64_t) -> Result<int64_t> {
    WEIR_ASSIGN(Statement query, database.Prepare("SELECT coalesce(max(id) >> 20, 0) FROM versions WHERE fqn = ? AND "
                                                  "(deleted = 1 OR uid <> ?)"));
    return OneNumber(query.Text(fqn).Text(uid));
  });
}

Result<std::vector<AuditRow>> PastReader::AuditBefore(int64_t before, size_t limit) const {
  return AtOneMoment([&](Database& database, int64_t) -> Result<std::vector<AuditRow>> {
    std::vector<AuditRow> records;
    WEIR_ASSIGN(Statement select,
                database.Prepare("SELECT " WEIR_AUDIT_COLUMNS
                                 " FROM audit WHERE sequence < ? AND sequence > (SELECT sequence FROM audit_anchor) "
                                 "ORDER BY sequence DESC LIMIT ?"));
    select.Int(before).Int(static_cast<int64_t>(std::clamp<size_t>(limit, 1, 10000)));
    while (true) {
      WEIR_ASSIGN(const bool row, select.Step());
      if (!row) return records;
      records.push_back(ReadAudit(select));
    }
  });
}

}  // namespace weir::store
