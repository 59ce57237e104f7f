#pragma once

#include <cstdint>
#include <string>

#include "libs/base/clock.h"
#include "libs/base/result.h"

namespace weir::recovery {

// The state folder of a server: what says that it once held an organization, so that a store that is missing, empty,
// foreign or older is noticed instead of a new organization being begun in its place.

// <state_dir>/history: lineage of the store and a revision that it had for certain. Written at each start and stop, and
// once a minute while the revision moves.
struct History {
  std::string lineage;
  int64_t revision = 0;
  bool operator==(const History&) const = default;
};
std::string StorePath(const std::string& state_dir);
Status WriteHistory(const std::string& state_dir, const History& history);

// Before the store is opened. True: nothing was ever stored here, a first start may begin an organization.
// FAILED_PRECONDITION STATE_LOST (there was a store, it is missing or empty), STATE_FOREIGN (the store is another one),
// STATE_OLDER (it is an older copy); each names file and remedy. DATA_LOSS STORE_DAMAGED.
Result<bool> CheckStateFolder(const std::string& state_dir);

// weir-server restore: puts `backup` in the place of the store. What was there is kept beside it as
// weir.db.before-<time> (only with `replace`; FAILED_PRECONDITION STATE_PRESENT otherwise). The backup is read whole
// first: DATA_LOSS STORE_DAMAGED, NOT_FOUND STORE_MISSING. FAILED_PRECONDITION STORE_LOCKED: a server runs on it.
Result<History> Restore(const std::string& state_dir, const std::string& backup, bool replace, const Clock& clock);

}  // namespace weir::recovery
