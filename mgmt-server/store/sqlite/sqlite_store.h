#pragma once

#include <memory>
#include <string>
#include <vector>

#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "mgmt-server/store/store.h"

namespace weir::store {

struct SqliteOptions {
  std::string path;  // Created when it does not exist (mode 0600); its folder must exist.
  std::vector<std::string> rights = {"read", "write", "create", "delete", "set-policy"};  // Of the policy graph.
  const Clock* clock = &Clock::Real();
  size_t max_group = 256;       // Callers per COMMIT.
  int checkpoint_pages = 4000;  // Log pages (4 KiB) before they are copied into the database file.
  std::string vfs;              // Name of a SQLite VFS; "" = the system's. Tests only.
};

// Opens, migrates and loads everything into memory. WAL, synchronous=FULL: an answered write survives power loss.
// One process per file: FAILED_PRECONDITION STORE_LOCKED. FAILED_PRECONDITION STORE_TOO_NEW when a newer program
// migrated it; DATA_LOSS STORE_DAMAGED when rows contradict each other; UNAVAILABLE STORE_IO otherwise.
Result<std::unique_ptr<Store>> OpenSqlite(SqliteOptions options);

}  // namespace weir::store
