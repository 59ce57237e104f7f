#pragma once

#include <string>
#include <vector>

#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "libs/xds/protocol/types.h"

namespace weir::xds {

// The configuration a receiver last acknowledged, kept on disk so that it can start without its server. Format:
// docs/formats/last-good.md. Two generations: `<path>.1` is the newest, `<path>.2` the one before.

// Resources with a TTL are left out: they are promises of a living server. An empty snapshot is not written
// (FAILED_PRECONDITION LAST_GOOD_EMPTY): it would overwrite the last useful one. `owner` names the receiver, so that
// nobody starts with somebody else's configuration.
Status WriteLastGood(const std::string& path, const Snapshot& snapshot, std::string_view owner, WallTime now);

struct LastGood {
  Snapshot snapshot;
  WallTime written;
  int generation = 1;                // 1 newest, 2 older.
  std::vector<std::string> refused;  // Why newer generations were passed over.
};
// NOT_FOUND LAST_GOOD_MISSING: no generation exists. Else the reason of the newest that was refused: DATA_LOSS
// LAST_GOOD_{CORRUPT,CUT}, FAILED_PRECONDITION LAST_GOOD_{VERSION,EMPTY,OWNER}; both generations in the message.
Result<LastGood> ReadLastGood(const std::string& path, std::string_view owner);

// One generation's bytes; for tests and tools.
std::string EncodeLastGood(const Snapshot& snapshot, std::string_view owner, WallTime now);
Result<LastGood> DecodeLastGood(std::string_view bytes, std::string_view owner);

}  // namespace weir::xds
