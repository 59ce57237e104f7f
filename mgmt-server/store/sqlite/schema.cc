#include "mgmt-server/store/sqlite/schema.h"

#include <fmt/format.h>

#include <iterator>

namespace weir::store {
namespace {

constexpr const char* kMigrations[] = {
    // 1: everything of the first release.
    R"sql(
CREATE TABLE counters(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO counters VALUES('facts_sequence', 0), ('fence', 0);
-- Rows are only ever added. The present of a name is its row with the highest id, unless that one is deleted.
CREATE TABLE versions(
  id INTEGER PRIMARY KEY, uid TEXT NOT NULL, fqn TEXT NOT NULL, kind TEXT NOT NULL, etag TEXT NOT NULL,
  body BLOB NOT NULL, owners BLOB NOT NULL, deleted INTEGER NOT NULL CHECK(deleted IN (0, 1)),
  create_time INTEGER NOT NULL, update_time INTEGER NOT NULL) STRICT;
CREATE INDEX versions_by_fqn ON versions(fqn);
CREATE TABLE nodes(name TEXT PRIMARY KEY, type INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE assignments(
  member TEXT NOT NULL REFERENCES nodes ON DELETE CASCADE, container TEXT NOT NULL REFERENCES nodes,
  PRIMARY KEY(member, container)) STRICT, WITHOUT ROWID;
CREATE INDEX assignments_by_container ON assignments(container);
CREATE TABLE associations(
  source TEXT NOT NULL REFERENCES nodes ON DELETE CASCADE, target TEXT NOT NULL REFERENCES nodes ON DELETE CASCADE,
  rights TEXT NOT NULL, PRIMARY KEY(source, target)) STRICT, WITHOUT ROWID;
CREATE INDEX associations_by_target ON associations(target);
CREATE TABLE credentials(user_uid TEXT PRIMARY KEY, hash TEXT NOT NULL, changed INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE sessions(
  token_hash BLOB PRIMARY KEY, user_uid TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE join_tokens(
  token_hash BLOB PRIMARY KEY, cluster_uid TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL,
  used INTEGER NOT NULL CHECK(used IN (0, 1))) STRICT, WITHOUT ROWID;
CREATE TABLE ca_material(name TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE cluster_facts(
  cluster_uid TEXT PRIMARY KEY, sequence INTEGER NOT NULL, agent_sequence INTEGER NOT NULL, hash TEXT NOT NULL,
  last_seen INTEGER NOT NULL, agent_version TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE facts(
  cluster_uid TEXT NOT NULL REFERENCES cluster_facts ON DELETE CASCADE, service INTEGER NOT NULL, key TEXT NOT NULL,
  body BLOB NOT NULL, PRIMARY KEY(cluster_uid, service, key)) STRICT, WITHOUT ROWID;
CREATE TABLE audit(
  sequence INTEGER PRIMARY KEY, time INTEGER NOT NULL, revision INTEGER NOT NULL, principal TEXT NOT NULL,
  principal_uid TEXT NOT NULL, action TEXT NOT NULL, fqn TEXT NOT NULL, uid TEXT NOT NULL, before_etag TEXT NOT NULL,
  after_etag TEXT NOT NULL, path TEXT NOT NULL, peer TEXT NOT NULL, request_id TEXT NOT NULL, hash BLOB NOT NULL) STRICT;
)sql",
    // 2: the names of this history, in order; the last is the present one (libs/xds/protocol/position.h).
    R"sql(
CREATE TABLE lineages(place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE) STRICT;
INSERT INTO lineages(id) VALUES(lower(hex(randomblob(16))));
)sql",
    // 3: the permission graph is derived. All of it follows from the resources but the installation's roles.
    R"sql(
CREATE TABLE installation_roles(
  role TEXT NOT NULL, user_uid TEXT NOT NULL, PRIMARY KEY(role, user_uid)) STRICT, WITHOUT ROWID;
INSERT INTO installation_roles
  SELECT substr(container, length('b:root:') + 1), substr(member, length('u:') + 1) FROM assignments
  WHERE container >= 'b:root:' AND container < 'b:root;' AND member >= 'u:' AND member < 'u;';
DROP TABLE associations;
DROP TABLE assignments;
DROP TABLE nodes;
)sql",
    // 4: who made a revision, apart from the audit, whose records are kept for another time; what is not kept any more.
    // history_cursor: the last version that retention looked at. audit_anchor: see store::AuditAnchor.
    R"sql(
CREATE TABLE revisions(
  revision INTEGER PRIMARY KEY, time INTEGER NOT NULL, mark TEXT NOT NULL, principal TEXT NOT NULL,
  principal_uid TEXT NOT NULL, request_id TEXT NOT NULL, message TEXT NOT NULL, change_set TEXT NOT NULL) STRICT;
INSERT INTO revisions
  SELECT v.revision, v.update_time, v.etag, coalesce(a.principal, ''), coalesce(a.principal_uid, ''),
         coalesce(a.request_id, ''), '', ''
  FROM (SELECT id >> 20 AS revision, min(id), update_time, etag FROM versions GROUP BY id >> 20) v
  LEFT JOIN (SELECT revision, min(sequence), principal, principal_uid, request_id FROM audit WHERE revision > 0
             GROUP BY revision) a ON a.revision = v.revision;
INSERT INTO counters VALUES('history_floor', 0), ('history_cursor', 0);
CREATE TABLE audit_anchor(
  place INTEGER PRIMARY KEY CHECK(place = 1), sequence INTEGER NOT NULL, hash BLOB NOT NULL) STRICT;
INSERT INTO audit_anchor VALUES(1, 0, x'');
)sql",
    // 5: sign-in of service accounts.
    R"sql(
ALTER TABLE sessions ADD COLUMN key_thumbprint TEXT NOT NULL DEFAULT '';
CREATE TABLE used_assertions(
  id BLOB PRIMARY KEY, account_uid TEXT NOT NULL, expires INTEGER NOT NULL) STRICT, WITHOUT ROWID;
)sql",
    // 6: what was answered to writes with an idempotency key (store::KeptKey).
    R"sql(
CREATE TABLE kept_answers(
  principal_uid TEXT NOT NULL, key TEXT NOT NULL, request_hash BLOB NOT NULL, created INTEGER NOT NULL,
  answer BLOB NOT NULL, PRIMARY KEY(principal_uid, key)) STRICT, WITHOUT ROWID;
)sql",
    // 7: change sets, beside the tree.
    R"sql(
CREATE TABLE change_sets(
  fqn TEXT PRIMARY KEY, uid TEXT NOT NULL, author_uid TEXT NOT NULL, open INTEGER NOT NULL CHECK(open IN (0, 1)),
  created INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
)sql",
    // 8: what is ahead of the resources while a change set is rolled out.
    R"sql(
CREATE TABLE overlays(fqn TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT;
)sql",
};
constexpr int64_t kNewest = std::size(kMigrations);
static_assert(kLineageSchema <= kNewest);

// Runs a query and calls `row` on each.
template <typename Row>
Status ForRows(Database& database, std::string_view sql, Row&& row) {
  WEIR_ASSIGN(Statement query, database.Prepare(sql));
  while (true) {
    WEIR_ASSIGN(const bool more, query.Step());
    if (!more) return {};
    row(query);
  }
}

std::map<std::string, std::string> UnpackOwners(std::string_view packed) {
  std::map<std::string, std::string> owners;
  while (!packed.empty()) {
    const size_t end = packed.find('\n');
    const std::string_view line = packed.substr(0, end);
    const size_t tab = line.find('\t');
    if (tab != std::string_view::npos) owners.emplace(line.substr(0, tab), line.substr(tab + 1));
    packed = end == std::string_view::npos ? std::string_view() : packed.substr(end + 1);
  }
  return owners;
}

// Join tokens and idempotency keys.
Status LoadTokens(Database& database, ViewLoader& loader) {
  WEIR_TRY(ForRows(database, "SELECT principal_uid, key, request_hash, created, length(answer) FROM kept_answers",
                   [&](const Statement& row) {
                     loader.Add(KeptKey{row.String(0), row.String(1), row.String(2), FromMicros(row.Number(3)),
                                        static_cast<size_t>(row.Number(4))});
                   }));
  WEIR_TRY(ForRows(database, "SELECT token_hash, cluster_uid, created, expires, used FROM join_tokens",
                   [&](const Statement& row) {
                     loader.Add(JoinToken{row.String(0), row.String(1), FromMicros(row.Number(2)),
                                          FromMicros(row.Number(3)), row.Number(4) != 0});
                   }));
  return {};
}

Status LoadFacts(Database& database, ViewLoader& loader) {
  std::map<std::string, std::shared_ptr<ClusterFacts>> clusters;
  WEIR_TRY(ForRows(database,
                   "SELECT cluster_uid, sequence, agent_sequence, hash, last_seen, agent_version FROM cluster_facts",
                   [&](const Statement& row) {
                     auto facts = std::make_shared<ClusterFacts>();
                     facts->cluster_uid = row.String(0);
                     facts->sequence = static_cast<uint64_t>(row.Number(1));
                     facts->agent_sequence = static_cast<uint64_t>(row.Number(2));
                     facts->hash = row.String(3);
                     facts->last_seen = FromMicros(row.Number(4));
                     facts->agent_version = row.String(5);
                     clusters[facts->cluster_uid] = std::move(facts);
                   }));
  WEIR_TRY(ForRows(database, "SELECT cluster_uid, service, key, body FROM facts", [&](const Statement& row) {
    ClusterFacts& facts = *clusters[row.String(0)];
    (row.Number(1) != 0 ? facts.services : facts.workloads).Set(row.String(2), row.String(3));
  }));
  for (auto& [uid, facts] : clusters) loader.Add(ClusterFactsPtr(std::move(facts)));
  return {};
}

Status LoadChangeSets(Database& database, ViewLoader& loader) {
  WEIR_TRY(ForRows(database, "SELECT fqn, body FROM overlays", [&](const Statement& row) {
    loader.Add(std::make_shared<const OverlayRow>(OverlayRow{row.String(0), row.String(1)}));
  }));
  return ForRows(database, "SELECT fqn, uid, author_uid, open, created, body FROM change_sets",
                 [&](const Statement& row) {
                   auto set = std::make_shared<ChangeSetRow>();
                   set->fqn = row.String(0);
                   set->uid = row.String(1);
                   set->author_uid = row.String(2);
                   set->open = row.Number(3) != 0;
                   set->created = FromMicros(row.Number(4));
                   set->body = row.String(5);
                   loader.Add(ChangeSetPtr(std::move(set)));
                 });
}

}  // namespace

Result<std::vector<ChangeEvent>> ReadChanges(Database& database, int64_t after) {
  constexpr int64_t kAtOnce = 1000;  // Revisions.
  std::vector<ChangeEvent> events;
  WEIR_ASSIGN(Statement query, database.Prepare("SELECT id >> 20, kind, fqn, uid, deleted FROM versions "
                                                "WHERE id >= ? AND id < ? ORDER BY id >> 20, fqn, id"));
  query.Int((after + 1) << kPlaceBits).Int((after + 1 + kAtOnce) << kPlaceBits);
  while (true) {
    WEIR_ASSIGN(const bool row, query.Step());
    if (!row) return events;
    const int64_t revision = query.Number(0);
    if (events.empty() || events.back().revision != revision) events.push_back({revision, {}});
    ResourceChange change{query.String(1), query.String(2), query.String(3), query.Number(4) != 0};
    auto& changes = events.back().changes;
    if (!changes.empty() && changes.back().fqn == change.fqn && changes.back().uid == change.uid) changes.pop_back();
    changes.push_back(std::move(change));
  }
}

std::string PackOwners(const std::map<std::string, std::string>& owners) {
  std::string packed;
  for (const auto& [field, manager] : owners) packed += fmt::format("{}\t{}\n", field, manager);
  return packed;
}

int64_t ToMicros(WallTime time) {
  return std::chrono::floor<std::chrono::microseconds>(time.time_since_epoch()).count();
}
WallTime FromMicros(int64_t micros) { return WallTime(std::chrono::microseconds(micros)); }

ResourcePtr ReadVersion(const Statement& row) {
  auto version = std::make_shared<StoredResource>();
  version->uid = row.String(0);
  version->revision = row.Number(1);
  version->fqn = row.String(2);
  version->kind = row.String(3);
  version->etag = row.String(4);
  version->body = row.String(5);
  version->field_owners = UnpackOwners(row.Bytes(6));
  version->deleted = row.Number(7) != 0;
  version->create_time = FromMicros(row.Number(8));
  version->update_time = FromMicros(row.Number(9));
  return version;
}

AuditRow ReadAudit(const Statement& row) {
  AuditRow record;
  record.sequence = row.Number(0);
  record.time = FromMicros(row.Number(1));
  record.revision = row.Number(2);
  int column = 3;
  for (std::string* field :
       {&record.principal, &record.principal_uid, &record.action, &record.fqn, &record.uid, &record.before_etag,
        &record.after_etag, &record.path, &record.peer, &record.request_id, &record.hash}) {
    *field = row.String(column++);
  }
  return record;
}

Status Migratable(int64_t schema) {
  if (schema <= kNewest) return {};
  return FailedPrecondition("STORE_TOO_NEW",
                            "the store has schema {}, this weir-server knows {}: a newer one wrote it; start that one, "
                            "or restore a backup from before the upgrade",
                            schema, kNewest);
}

namespace {

Result<int64_t> SchemaOf(Database& database) {
  int64_t at = 0;
  WEIR_TRY(ForRows(database, "PRAGMA user_version", [&](const Statement& row) { at = row.Number(0); }));
  WEIR_TRY(Migratable(at));
  return at;
}

Status Step(Database& database, int64_t from) {
  WEIR_TRY(database.Execute(kMigrations[from]));
  return database.Execute(fmt::format("PRAGMA user_version = {}", from + 1).c_str());
}

}  // namespace

Status Migrate(Database& database) {
  WEIR_ASSIGN(int64_t at, SchemaOf(database));
  for (; at < kNewest; ++at) {
    WEIR_TRY(database.Execute("BEGIN IMMEDIATE"));
    Status step = Step(database, at);
    if (step.ok()) step = database.Execute("COMMIT");
    if (!step.ok()) {
      (void)database.Execute("ROLLBACK");
      return step;
    }
  }
  return {};
}

Status MigrateWithin(Database& database) {
  WEIR_ASSIGN(const int64_t at, SchemaOf(database));
  for (int64_t from = at; from < kNewest; ++from) WEIR_TRY(Step(database, from));
  return {};
}

namespace {

// Passwords, sessions, and what was signed in with.
Status LoadSignIns(Database& database, ViewLoader& loader) {
  WEIR_TRY(ForRows(database, "SELECT user_uid, hash, changed FROM credentials", [&](const Statement& row) {
    loader.Add(Credential{row.String(0), row.String(1), FromMicros(row.Number(2))});
  }));
  WEIR_TRY(ForRows(database, "SELECT token_hash, user_uid, created, expires, key_thumbprint FROM sessions",
                   [&](const Statement& row) {
                     loader.Add(Session{row.String(0), row.String(1), FromMicros(row.Number(2)),
                                        FromMicros(row.Number(3)), row.String(4)});
                   }));
  WEIR_TRY(ForRows(database, "SELECT id, account_uid, expires FROM used_assertions", [&](const Statement& row) {
    loader.Add(UsedAssertion{row.String(0), row.String(1), FromMicros(row.Number(2))});
  }));
  return {};
}

}  // namespace

Status Load(Database& database, const Policy& policy, View& view) {
  ViewLoader loader(view);
  WEIR_TRY(ForRows(database,
                   "SELECT id >> 20, etag FROM versions WHERE id >= (SELECT max(id) >> 20 << 20 FROM versions) "
                   "ORDER BY id LIMIT 1",
                   [&](const Statement& row) { loader.SetRevision(row.Number(0), row.String(1)); }));
  WEIR_TRY(ForRows(database, "SELECT id FROM lineages ORDER BY place",
                   [&](const Statement& row) { loader.AddLineage(row.String(0)); }));
  if (view.lineages().empty()) return DataLoss("STORE_DAMAGED", "the store has no lineage");
  WEIR_TRY(ForRows(database,
                   "SELECT " WEIR_VERSION_COLUMNS " FROM versions "
                   "WHERE id IN (SELECT max(id) FROM versions GROUP BY fqn) AND deleted = 0",
                   [&](const Statement& row) { loader.Add(ReadVersion(row)); }));
  WEIR_TRY(ForRows(database, "SELECT role, user_uid FROM installation_roles",
                   [&](const Statement& row) { loader.AddInstallationRole(row.String(0), row.String(1)); }));
  WEIR_TRY(policy.Derive(view, loader.graph()));
  WEIR_TRY(LoadSignIns(database, loader));
  WEIR_TRY(LoadTokens(database, loader));
  WEIR_TRY(ForRows(database, "SELECT name, content FROM ca_material",
                   [&](const Statement& row) { loader.AddCaMaterial(row.String(0), row.String(1)); }));
  WEIR_TRY(LoadChangeSets(database, loader));
  WEIR_TRY(LoadFacts(database, loader));
  WEIR_TRY(ForRows(database, "SELECT value FROM counters WHERE name = 'history_floor'",
                   [&](const Statement& row) { loader.SetHistoryFloor(row.Number(0)); }));
  WEIR_TRY(ForRows(database, "SELECT sequence, hash FROM audit_anchor",
                   [&](const Statement& row) { loader.SetAuditAnchor({row.Number(0), row.String(1)}); }));
  WEIR_TRY(ForRows(database, "SELECT value FROM counters WHERE name = 'facts_sequence'",
                   [&](const Statement& row) { loader.SetFactsSequence(static_cast<uint64_t>(row.Number(0))); }));
  return ForRows(database, "SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1",
                 [&](const Statement& row) { loader.SetAuditHead(row.Number(0), row.String(1)); });
}

}  // namespace weir::store
