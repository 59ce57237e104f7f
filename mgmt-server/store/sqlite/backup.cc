#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "libs/base/ids.h"
#include "mgmt-server/store/sqlite/database.h"
#include "mgmt-server/store/sqlite/schema.h"
#include "mgmt-server/store/sqlite/sqlite_store.h"

namespace weir::store {
namespace {

Error SystemError(std::string_view what, const std::string& path) {
  return Unavailable("STORE_IO", "cannot {} {}: {}", what, path, std::system_category().message(errno));
}

// Opens what exists; never makes a new file.
Result<Database> OpenExisting(const std::string& path) {
  std::error_code failed;
  const bool there = std::filesystem::exists(path, failed);
  if (failed) return Unavailable("STORE_IO", "cannot read {}: {}", path, failed.message());
  // An empty file with a log beside it may be a whole store, all of whose pages stand in the log.
  const auto bytes = [](const std::string& file) {
    std::error_code missing;
    const auto size = std::filesystem::file_size(file, missing);
    return missing ? 0 : size;
  };
  if (!there || (bytes(path) == 0 && bytes(path + "-wal") == 0)) {
    return NotFound("STORE_MISSING", "{} does not exist or is empty", path);
  }
  return Database::Open(path, "", false);
}

Result<int64_t> OneNumber(Database& database, std::string_view sql) {
  WEIR_ASSIGN(Statement query, database.Prepare(sql));
  WEIR_ASSIGN(const bool row, query.Step());
  const int64_t number = row ? query.Number(0) : 0;
  query.Reset();
  return number;
}

Result<StoreFacts> Describe(Database& database, const std::string& path) {
  StoreFacts found;
  auto version = OneNumber(database, "PRAGMA user_version");
  if (!version.ok()) {
    return DataLoss("STORE_DAMAGED", "{} cannot be read as a store", path).WithCause(version.error().cause);
  }
  if (*version == 0) return NotFound("STORE_MISSING", "{} is not a store, or its log (-wal) is missing", path);
  WEIR_TRY(Migratable(*version));
  auto revision = OneNumber(database, "SELECT coalesce(max(id), 0) >> 20 FROM versions");
  if (!revision.ok()) {
    return DataLoss("STORE_DAMAGED", "{} cannot be read as a store", path).WithCause(revision.error().cause);
  }
  found.revision = *revision;
  if (*version < kLineageSchema) return found;
  WEIR_ASSIGN(Statement lineages, database.Prepare("SELECT id FROM lineages ORDER BY place"));
  while (true) {
    WEIR_ASSIGN(const bool row, lineages.Step());
    if (!row) return found;
    found.lineages.push_back(lineages.String(0));
  }
}

Status CheckWhole(Database& database, const std::string& path) {
  WEIR_ASSIGN(Statement check, database.Prepare("PRAGMA integrity_check(1)"));
  const auto row = check.Step();
  if (!row.ok() || !*row || check.Bytes(0) != "ok") {
    return DataLoss("STORE_DAMAGED", "{} is damaged", path)
        .WithCause(row.ok() ? std::string(check.Bytes(0)) : row.error().cause);
  }
  return {};
}

Status Sync(const std::string& path, int flags) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
  if (fd < 0) return SystemError("open", path);
  const bool synced = ::fsync(fd) == 0;
  const Status status = synced ? Status() : Status(SystemError("sync", path));
  ::close(fd);
  return status;
}

}  // namespace

Result<StoreFacts> InspectSqlite(const std::string& path, bool thorough) {
  WEIR_ASSIGN(Database database, OpenExisting(path));
  if (thorough) WEIR_TRY(CheckWhole(database, path));
  return Describe(database, path);
}

Result<StoreFacts> BackupSqlite(const std::string& from, const std::string& to) {
  if (::access(to.c_str(), F_OK) == 0) {
    return AlreadyExists("BACKUP_EXISTS", "{} exists already; choose another name, a backup overwrites nothing", to);
  }
  const std::string unfinished = to + ".unfinished-" + RandomHex(4);
  const int fd = ::open(unfinished.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return SystemError("write", unfinished);
  ::close(fd);
  const auto copy = [&]() -> Result<StoreFacts> {
    WEIR_ASSIGN(Database source, OpenExisting(from));
    WEIR_TRY(Describe(source, from));
    WEIR_ASSIGN(Statement vacuum, source.Prepare("VACUUM INTO ?"));  // One read transaction; writers go on.
    WEIR_TRY(vacuum.Text(unfinished).Run());
    WEIR_TRY(Sync(unfinished, O_RDWR));
    WEIR_ASSIGN(const StoreFacts made, InspectSqlite(unfinished, true));
    if (::link(unfinished.c_str(), to.c_str()) != 0) return SystemError("write", to);  // Replaces nothing.
    const std::string folder = std::filesystem::path(to).parent_path();
    WEIR_TRY(Sync(folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY));
    return made;
  }();
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) ::unlink((unfinished + suffix).c_str());
  return copy;
}

}  // namespace weir::store
