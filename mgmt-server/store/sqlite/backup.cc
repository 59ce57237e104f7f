#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "libs/base/fd.h"
#include "libs/base/ids.h"
#include "mgmt-server/store/sqlite/database.h"
#include "mgmt-server/store/sqlite/existing.h"
#include "mgmt-server/store/sqlite/file_watch.h"
#include "mgmt-server/store/sqlite/schema.h"
#include "mgmt-server/store/sqlite/sqlite_store.h"

namespace weir::store {
namespace {

Error SystemError(std::string_view what, const std::string& path) {
  return Unavailable("STORE_IO", "cannot {} {}: {}", what, path, std::system_category().message(errno));
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
  const auto version = OneNumber(database, "PRAGMA user_version");
  if (!version.ok()) return version.error();
  if (*version == 0) return NotFound("STORE_MISSING", "{} is not a store, or its log (-wal) is missing", path);
  WEIR_TRY(Migratable(*version));
  const auto revision = OneNumber(database, "SELECT coalesce(max(id), 0) >> 20 FROM versions");
  if (!revision.ok()) return revision.error();
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
  WEIR_ASSIGN(const bool row, check.Step());
  if (row && check.Bytes(0) == "ok") return {};
  return DataLoss("STORE_DAMAGED", "{} is damaged", path).WithCause(row ? check.String(0) : "");
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

Result<Database> OpenExisting(const std::string& path) {
  std::error_code failed;
  const bool there = std::filesystem::exists(path, failed);
  if (failed) return Unavailable("STORE_IO", "cannot read {}: {}", path, failed.message());
  std::error_code unsized;
  // A store's file is never empty, whatever stands in its log; and SQLite would delete the log beside an empty one.
  if (!there || std::filesystem::file_size(path, unsized) == 0) {
    return NotFound("STORE_MISSING", "{} does not exist or is empty", path);
  }
  return Database::Open(path, "", false);
}

Result<bool> LogHolds(const std::string& path, const LogPosition& then) {
  const Fd log(::open((path + "-wal").c_str(), O_RDONLY | O_CLOEXEC));
  if (!log) return false;
  const uint32_t begun_anew = ReadLogSalt(log.get()) - then.salt;  // So often since; all of before is in the file then.
  constexpr uint32_t kPlausible = 1u << 16;                        // More is no counting on: the log's head is damaged.
  if (begun_anew > 0) return begun_anew < kPlausible;
  WEIR_ASSIGN(Database database, OpenExisting(path));
  WEIR_TRY(OneNumber(database, "PRAGMA user_version"));  // Reads the log.
  WEIR_ASSIGN(const int frames, database.Checkpoint());
  return frames >= then.frames;
}

Result<StoreFacts> InspectSqlite(const std::string& path, bool thorough) {
  const auto found = [&]() -> Result<StoreFacts> {
    WEIR_ASSIGN(Database database, OpenExisting(path));
    if (thorough) WEIR_TRY(CheckWhole(database, path));
    return Describe(database, path);
  }();
  if (found.ok() || found.error().message.find(path) != std::string::npos) return found;
  Error failed = found.error();
  failed.message = fmt::format("{}: {}", path, failed.message);
  return failed;
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
  if (copy.ok() || copy.error().message.find(from) != std::string::npos) return copy;
  Error failed = copy.error();
  failed.message = fmt::format("{} was not copied to {}: {}", from, to, failed.message);
  return failed;
}

}  // namespace weir::store
