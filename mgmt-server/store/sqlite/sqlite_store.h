#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "mgmt-server/store/policy.h"
#include "mgmt-server/store/store.h"

namespace weir::store {

// How much the write-ahead log held. SQLite counts `salt` up by one each time it begins the log anew; `frames` are
// those since then. No frames: nothing depended on the log.
struct LogPosition {
  uint32_t salt = 0;
  int64_t frames = 0;
  bool operator==(const LogPosition&) const = default;
};
// What a store has come to; whoever keeps it elsewhere notices later when a part of the store is missing.
struct Standing {
  std::string_view lineage;  // View::lineages, the last.
  int64_t revision = 0;
  LogPosition log;
};

struct SqliteOptions {
  std::string path;  // Created when it does not exist (mode 0600); its folder must exist.
  const Clock* clock = &Clock::Real();
  size_t max_group = 256;  // Callers per COMMIT.
  // Log pages (4 KiB) before a thread of its own copies them into the database file. A writer does it itself, before
  // it is answered, only at eight times as many.
  int checkpoint_pages = 4000;
  std::string vfs{};  // Name of a SQLite VFS; "" = the system's. Tests only.
  // Of each caller that has to wait for its turn, once it has its place. Tests only.
  std::function<void()> waits{};
  // Of each COMMIT, before anybody is answered: must be quick, and fail nobody.
  std::function<void(const Standing&)> committed{};
  // Once, while the store closes, before it empties its log: what is kept elsewhere must not count on the log any more.
  // On an error the log stays.
  std::function<Status(const Standing&)> closing{};
};

// Opens, migrates and loads everything into memory. WAL, synchronous=FULL: an answered write survives power loss.
// One process per file: FAILED_PRECONDITION STORE_LOCKED. FAILED_PRECONDITION STORE_TOO_NEW when a newer program
// migrated it; DATA_LOSS STORE_DAMAGED when rows contradict each other; UNAVAILABLE STORE_IO otherwise.
// `policy` outlives the store.
Result<std::unique_ptr<Store>> OpenSqlite(SqliteOptions options, const Policy& policy);

struct StoreFacts {
  int64_t revision = 0;
  std::vector<std::string> lineages;  // See View::lineages; empty in a store written before there were any.
};
// A consistent copy of a store, also of one that a running server writes to: `to` appears whole (0600) or not at all.
// ALREADY_EXISTS BACKUP_EXISTS: `to` is there. NOT_FOUND STORE_MISSING: `from` is no store.
Result<StoreFacts> BackupSqlite(const std::string& from, const std::string& to);
// Whether the log beside the store still has what it had at `then`. False: it is missing, or SQLite would leave out a
// part of it because it is damaged. Copies what there is into the store's file. UNAVAILABLE STORE_IO.
Result<bool> LogHolds(const std::string& path, const LogPosition& then);
// Looks at a store and changes nothing; `thorough` reads the whole file (seconds per GiB). NOT_FOUND STORE_MISSING,
// DATA_LOSS STORE_DAMAGED, FAILED_PRECONDITION STORE_TOO_NEW.
Result<StoreFacts> InspectSqlite(const std::string& path, bool thorough);

// What ReadWhole meets, each kind in its order.
struct RowVisitor {
  std::function<void(const View&)> present;  // First, and once.
  std::function<void(const StoredResource&)> version;
  std::function<void(const AuditRow&)> audit;    // After View::audit_anchor.
  std::function<void(int64_t number)> revision;  // Whose author is known.
};
// All of a store, as a server would open it, and every row of its past; changes nothing, also where the schema is an
// older one. One of a running server is read as of one moment. The errors of InspectSqlite and OpenSqlite.
Result<ViewPtr> ReadWhole(const std::string& path, const Policy& policy, const RowVisitor& visit);

}  // namespace weir::store
