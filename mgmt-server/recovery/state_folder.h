#pragma once

#include <cstdint>
#include <string>

#include "libs/base/clock.h"
#include "libs/base/fd.h"
#include "libs/base/result.h"
#include "mgmt-server/store/sqlite/sqlite_store.h"

namespace weir::recovery {

// The state folder of a server: what says that it once held an organization, so that a store that is missing, empty,
// foreign or older is noticed instead of a new organization being begun in its place.

// <state_dir>/history: lineage of the store, a revision that it had for certain, and what its log held for certain. The
// log counts until the server has stopped in good order: where it was killed, the newest writes stand only there.
struct History {
  std::string lineage;
  int64_t revision = 0;
  store::LogPosition log;
  bool operator==(const History&) const = default;
};
std::string StorePath(const std::string& state_dir);
Status WriteHistory(const std::string& state_dir, const History& history);

// Keeps <state_dir>/history while a store is open: it follows each commit before the commit is acknowledged.
class HistoryKeeper {
 public:
  // From now on it says `store`, and of the log what it said before. On disk when this returns.
  Status Begin(const std::string& state_dir, const store::Standing& store);
  // Overwrites the file in place and waits for no disk: exact after the process was killed; after a loss of power as
  // old as what the system had not written out yet, never newer than the store. Before Begin nothing is kept.
  void Follow(const store::Standing& store);
  Status Sync();  // What was followed is on disk.
  Status End(
      const store::Standing& store);  // The last word, on disk. FAILED_PRECONDITION HISTORY_NOT_KEPT before Begin.

 private:
  std::string state_dir_;
  Fd file_;
};

// Before the store is opened. True: nothing was ever stored here, a first start may begin an organization.
// FAILED_PRECONDITION STATE_LOST (there was a store, it is missing or empty), STATE_FOREIGN (the store is another one),
// STATE_OLDER (it is an older copy, or its log is missing or damaged); each names file and remedy. DATA_LOSS
// STORE_DAMAGED.
Result<bool> CheckStateFolder(const std::string& state_dir);

// weir-server restore: puts `backup` in the place of the store. What was there is kept beside it as
// weir.db.before-<time> (only with `replace`; FAILED_PRECONDITION STATE_PRESENT otherwise). The backup is read whole
// first: DATA_LOSS STORE_DAMAGED, NOT_FOUND STORE_MISSING. FAILED_PRECONDITION STORE_LOCKED: a server runs on it.
Result<History> Restore(const std::string& state_dir, const std::string& backup, bool replace, const Clock& clock);

}  // namespace weir::recovery
