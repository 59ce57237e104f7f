#include "mgmt-server/store/sqlite/database.h"
#include "mgmt-server/store/sqlite/existing.h"
#include "mgmt-server/store/sqlite/schema.h"
#include "mgmt-server/store/sqlite/sqlite_store.h"

namespace weir::store {
namespace {

template <typename Row>
Status ForRows(Database& database, std::string_view sql, Row&& row) {
  WEIR_ASSIGN(Statement query, database.Prepare(sql));
  while (true) {
    WEIR_ASSIGN(const bool more, query.Step());
    if (!more) return {};
    row(query);
  }
}

Result<ViewPtr> Read(Database& database, const Policy& policy, const RowVisitor& visit) {
  WEIR_TRY(MigrateWithin(database));
  auto view = std::make_shared<View>(policy.Rights());
  WEIR_TRY(Load(database, policy, *view));
  visit.present(*view);
  WEIR_TRY(ForRows(database, "SELECT " WEIR_VERSION_COLUMNS " FROM versions ORDER BY id",
                   [&](const Statement& row) { visit.version(*ReadVersion(row)); }));
  WEIR_TRY(ForRows(database,
                   "SELECT " WEIR_AUDIT_COLUMNS
                   " FROM audit WHERE sequence > (SELECT sequence FROM audit_anchor) ORDER BY sequence",
                   [&](const Statement& row) { visit.audit(ReadAudit(row)); }));
  WEIR_TRY(ForRows(database, "SELECT revision FROM revisions ORDER BY revision",
                   [&](const Statement& row) { visit.revision(row.Number(0)); }));
  return ViewPtr(view);
}

}  // namespace

Result<ViewPtr> ReadWhole(const std::string& path, const Policy& policy, const RowVisitor& visit) {
  WEIR_ASSIGN(Database database, OpenExisting(path));
  WEIR_TRY(database.Execute("PRAGMA cache_spill = OFF; BEGIN"));  // What is rolled back was never in the file.
  Result<ViewPtr> view = Read(database, policy, visit);
  WEIR_TRY(database.Execute("ROLLBACK"));  // An older schema is read as a newer one would be, and stays.
  return view;
}

}  // namespace weir::store
