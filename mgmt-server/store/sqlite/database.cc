#include "mgmt-server/store/sqlite/database.h"

#include <sqlite3.h>

#include <utility>

namespace weir::store {
namespace {

// SQL never reaches a caller of the API: it goes into the cause.
Error SqlError(sqlite3* db, int code) {
  const int kind = code & 0xff;
  Error error = kind == SQLITE_NOTADB || kind == SQLITE_CORRUPT
                    ? DataLoss("STORE_DAMAGED", "the store is damaged or cut, or no store at all")
                : kind == SQLITE_FULL || code == SQLITE_IOERR_SHMSIZE || code == SQLITE_IOERR_SHMOPEN
                    ? Unavailable("STORE_IO", "the store's disk takes nothing more; make room on it")
                    : Unavailable("STORE_IO", "the store cannot be read or written now");
  error.cause = fmt::format("sqlite {} ({}): {}", code, sqlite3_errstr(code), db == nullptr ? "" : sqlite3_errmsg(db));
  return error;
}

}  // namespace

Statement::Statement(Statement&& other) noexcept
    : statement_(std::exchange(other.statement_, nullptr)), next_(other.next_), bind_error_(other.bind_error_) {}
Statement& Statement::operator=(Statement&& other) noexcept {
  std::swap(statement_, other.statement_);
  std::swap(next_, other.next_);
  std::swap(bind_error_, other.bind_error_);
  return *this;
}
Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::Text(std::string_view value) {
  const char* data = value.data() == nullptr ? "" : value.data();
  bind_error_ |= sqlite3_bind_text64(statement_, next_++, data, value.size(), SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}
Statement& Statement::Blob(std::string_view value) {
  const char* data = value.data() == nullptr ? "" : value.data();
  bind_error_ |= sqlite3_bind_blob64(statement_, next_++, data, value.size(), SQLITE_STATIC);
  return *this;
}
Statement& Statement::Int(int64_t value) {
  bind_error_ |= sqlite3_bind_int64(statement_, next_++, value);
  return *this;
}

Status Statement::Run() {
  WEIR_ASSIGN(const bool row, Step());
  if (row) Reset();
  return {};
}

Result<bool> Statement::Step() {
  const int bound = std::exchange(bind_error_, 0);
  const int code = bound != 0 ? SQLITE_MISUSE : sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) {
    Reset();
    return false;
  }
  Error error = SqlError(sqlite3_db_handle(statement_),
                         bound != 0 ? bound : sqlite3_extended_errcode(sqlite3_db_handle(statement_)));
  Reset();
  return error;
}

void Statement::Reset() {
  sqlite3_reset(statement_);
  next_ = 1;
  bind_error_ = 0;
}

std::string_view Statement::Bytes(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return data == nullptr ? std::string_view()
                         : std::string_view(static_cast<const char*>(data), static_cast<size_t>(size));
}
int64_t Statement::Number(int column) const { return sqlite3_column_int64(statement_, column); }

Database::Database(Database&& other) noexcept : db_(std::exchange(other.db_, nullptr)), hook_(std::move(other.hook_)) {}
Database& Database::operator=(Database&& other) noexcept {
  std::swap(db_, other.db_);
  std::swap(hook_, other.hook_);
  return *this;
}
Database::~Database() { sqlite3_close(db_); }

Result<Database> Database::Open(const std::string& path, const std::string& vfs, bool read_only) {
  Database database;
  const int flags =
      SQLITE_OPEN_NOMUTEX | (read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  const int code = sqlite3_open_v2(path.c_str(), &database.db_, flags, vfs.empty() ? nullptr : vfs.c_str());
  if (code != SQLITE_OK) return SqlError(database.db_, code);
  sqlite3_extended_result_codes(database.db_, 1);
  sqlite3_busy_timeout(database.db_, 5000);
  sqlite3_db_config(database.db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  return database;
}

Status Database::Execute(const char* sql) {
  const int code = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
  if (code == SQLITE_OK) return {};
  return SqlError(db_, code);
}

Result<Statement> Database::Prepare(std::string_view sql) {
  Statement statement;
  const int code = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                                      &statement.statement_, nullptr);
  if (code != SQLITE_OK) return SqlError(db_, code);
  return statement;
}

void Database::OnCommit(std::function<void(int)> callback) {
  hook_ = std::make_unique<Hook>(Hook{.callback = std::move(callback)});
  sqlite3_wal_hook(
      db_,
      [](void* to, sqlite3*, const char*, int pages) {
        Hook& hook = *static_cast<Hook*>(to);
        hook.log_pages = pages;
        hook.callback(pages);
        return SQLITE_OK;
      },
      hook_.get());
}

Result<int> Database::Checkpoint() {
  int log_pages = 0;
  const int code = sqlite3_wal_checkpoint_v2(db_, nullptr, SQLITE_CHECKPOINT_PASSIVE, &log_pages, nullptr);
  if (code == SQLITE_OK || code == SQLITE_BUSY) return log_pages;
  return SqlError(db_, code);
}

void Database::EmptyLogOnClose() { sqlite3_db_config(db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, nullptr); }

bool Database::autocommit() const { return sqlite3_get_autocommit(db_) != 0; }

}  // namespace weir::store
