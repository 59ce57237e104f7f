#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "libs/base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace weir::store {

// A prepared statement. Bind from left to right, then Run or Step; the statement resets itself. Bound text is not
// copied: it must live until Run or the last Step.
class Statement {
 public:
  Statement() = default;
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  ~Statement();

  Statement& Text(std::string_view value);
  Statement& Blob(std::string_view value);
  Statement& Int(int64_t value);
  Status Run();         // A statement without rows.
  Result<bool> Step();  // True: there is a row to read. False: done, and reset.
  void Reset();

  // Columns of the row, from 0. Valid until the next Step.
  std::string_view Bytes(int column) const;
  std::string String(int column) const { return std::string(Bytes(column)); }
  int64_t Number(int column) const;

 private:
  friend class Database;
  sqlite3_stmt* statement_ = nullptr;
  int next_ = 1;
  int bind_error_ = 0;
};

// One connection. Not thread-safe.
class Database {
 public:
  Database() = default;
  Database(Database&& other) noexcept;
  Database& operator=(Database&& other) noexcept;
  ~Database();

  // `vfs` "" = the default one. Closing it leaves the write-ahead log as it is: who only looked at a store whose server
  // was killed must not take away the evidence of what had been written.
  static Result<Database> Open(const std::string& path, const std::string& vfs, bool read_only);
  Status Execute(const char* sql);
  Result<Statement> Prepare(std::string_view sql);
  // True outside a transaction; also after SQLite rolled one back by itself (disk full, I/O error).
  bool autocommit() const;
  // Calls back after each commit of this connection with the pages that stand in the write-ahead log; in place of
  // SQLite's own checkpoints.
  void OnCommit(std::function<void(int log_pages)> callback);
  // The pages that stood in the log after the last commit since OnCommit; 0 = none yet.
  int log_pages() const { return hook_ == nullptr ? 0 : hook_->log_pages; }
  // Copies what it can of the log into the database file, waiting for nobody; answers the pages that count in the log.
  Result<int> Checkpoint();
  void EmptyLogOnClose();  // When it is the last connection.

 private:
  struct Hook {
    std::function<void(int)> callback;
    int log_pages = 0;
  };
  sqlite3* db_ = nullptr;
  std::unique_ptr<Hook> hook_;  // SQLite keeps a pointer to it.
};

}  // namespace weir::store
