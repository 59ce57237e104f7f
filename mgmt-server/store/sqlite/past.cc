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

// `read(database, floor)` inside one transaction.
template <typename Fn>
auto AtOneMoment(Database& database, Fn& read) {
  using Answer = std::invoke_result_t<Fn&, Database&, int64_t>;
  const Status begun = database.Execute("BEGIN");
  if (!begun.ok()) return Answer(begun.error());
  const Result<int64_t> floor = Floor(database);
  Answer answer = floor.ok() ? read(database, *floor) : Answer(floor.error());
  (void)database.Execute("COMMIT");
  return answer;
}

constexpr size_t kIdle = 4;  // Connections that stay open.

}  // namespace

Status PastReader::Open(const std::string& path, const std::string& vfs, std::function<void()> reading) {
  path_ = path;
  vfs_ = vfs;
  reading_ = std::move(reading);
  MutexLock lock(brief_mutex_);
  WEIR_ASSIGN(brief_, Database::Open(path, vfs, true));
  return {};
}

Result<Database> PastReader::Take() const {
  {
    MutexLock lock(mutex_);
    given_back_.Wait(mutex_, [this]() WEIR_REQUIRES(mutex_) { return taken_ < kConnections; });
    ++taken_;
    if (!idle_.empty()) {
      Database database = std::move(idle_.back());
      idle_.pop_back();
      return database;
    }
  }
  Result<Database> opened = Database::Open(path_, vfs_, true);
  if (opened.ok()) return opened;
  MutexLock lock(mutex_);
  --taken_;
  given_back_.NotifyOne();
  return opened;
}

void PastReader::GiveBack(Database database) const {
  MutexLock lock(mutex_);
  --taken_;
  if (idle_.size() < kIdle && database.autocommit()) idle_.push_back(std::move(database));
  given_back_.NotifyOne();
}

class PastReader::Lease {
 public:
  Lease(const PastReader& reader, Database database) : reader_(reader), database_(std::move(database)) {}
  ~Lease() { reader_.GiveBack(std::move(database_)); }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  Database& database() { return database_; }

 private:
  const PastReader& reader_;
  Database database_;
};

template <typename Fn>
auto PastReader::Briefly(Fn read) const {
  MutexLock lock(brief_mutex_);
  return AtOneMoment(brief_, read);
}

template <typename Fn>
auto PastReader::AtLength(Fn read) const {
  using Answer = std::invoke_result_t<Fn&, Database&, int64_t>;
  Result<Database> taken = Take();
  if (!taken.ok()) return Answer(taken.error());
  Lease lease(*this, std::move(*taken));
  if (reading_) reading_();
  return AtOneMoment(lease.database(), read);
}

// From the present backwards: what did not change since is shared with it.
Result<ViewPtr> PastReader::ReadAt(const View& now, const Policy& policy, int64_t revision, bool with_graph) const {
  auto view = std::make_shared<View>(policy.Rights());
  ViewLoader loader(*view);
  WEIR_TRY(AtLength([&](Database& database, int64_t floor) -> Status {
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
  return AtLength([&](Database& database, int64_t floor) -> Result<std::vector<ResourcePtr>> {
    std::vector<ResourcePtr> versions;
    WEIR_ASSIGN(Statement query, database.Prepare("SELECT " WEIR_VERSION_COLUMNS_WITHOUT_BODY
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
  return AtLength([&](Database& database, int64_t floor) -> Result<std::vector<Change>> {
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
  return Briefly([&](Database& database, int64_t floor) -> Result<Revision> {
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
  return AtLength([&](Database& database, int64_t floor) -> Result<int64_t> {
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
  return AtLength([&](Database& database, int64_t floor) -> Result<int64_t> {
    WEIR_ASSIGN(Statement query,
                database.Prepare("SELECT id >> 20 FROM versions WHERE id >= ? ORDER BY id DESC LIMIT 1 "
                                 "OFFSET ?"));
    return OneNumber(query.Int((floor + 1) << kPlaceBits).Int(changes));
  });
}

// From the oldest on: as much is read as goes.
Result<int64_t> PastReader::AuditUntil(WallTime time) const {
  return AtLength([&](Database& database, int64_t) -> Result<int64_t> {
    WEIR_ASSIGN(Statement query,
                database.Prepare("SELECT coalesce((SELECT sequence - 1 FROM audit WHERE time > ? ORDER BY sequence "
                                 "LIMIT 1), (SELECT max(sequence) FROM audit), 0)"));
    return OneNumber(query.Int(ToMicros(time)));
  });
}

Result<int64_t> PastReader::LastOtherHolder(std::string_view fqn, std::string_view uid) const {
  return Briefly([&](Database& database, int64_t) -> Result<int64_t> {
    WEIR_ASSIGN(Statement query, database.Prepare("SELECT coalesce(max(id) >> 20, 0) FROM versions WHERE fqn = ? AND "
                                                  "(deleted = 1 OR uid <> ?)"));
    return OneNumber(query.Text(fqn).Text(uid));
  });
}

namespace {

// Of a bound query.
Result<std::vector<AuditRow>> AuditRows(Statement& select) {
  std::vector<AuditRow> records;
  while (true) {
    WEIR_ASSIGN(const bool row, select.Step());
    if (!row) return records;
    records.push_back(ReadAudit(select));
  }
}
int64_t MostRecords(size_t limit) { return static_cast<int64_t>(std::clamp<size_t>(limit, 1, 10000)); }

}  // namespace

Result<std::vector<AuditRow>> PastReader::AuditBefore(int64_t before, size_t limit) const {
  return AtLength([&](Database& database, int64_t) -> Result<std::vector<AuditRow>> {
    WEIR_ASSIGN(Statement select,
                database.Prepare("SELECT " WEIR_AUDIT_COLUMNS
                                 " FROM audit WHERE sequence < ? AND sequence > (SELECT sequence FROM audit_anchor) "
                                 "ORDER BY sequence DESC LIMIT ?"));
    return AuditRows(select.Int(before).Int(MostRecords(limit)));
  });
}

Result<std::vector<AuditRow>> PastReader::AuditAfter(int64_t after, size_t limit) const {
  return AtLength([&](Database& database, int64_t) -> Result<std::vector<AuditRow>> {
    WEIR_ASSIGN(Statement select,
                database.Prepare("SELECT " WEIR_AUDIT_COLUMNS
                                 " FROM audit WHERE sequence > ? AND sequence > (SELECT sequence FROM audit_anchor) "
                                 "ORDER BY sequence LIMIT ?"));
    return AuditRows(select.Int(after).Int(MostRecords(limit)));
  });
}

}  // namespace weir::store
