#pragma once

#include <string>
#include <string_view>

#include "libs/base/mutex.h"
#include "libs/base/result.h"
#include "mgmt-server/store/store.h"

namespace weir::services {

// Where in the history of the store a watch stands. Sealed (AES-256-GCM) when it is told, and bound to who was told and
// to his question: it says nothing of how much others change, and nobody can make one.
struct WatchPosition {
  int64_t revision = 0;
  std::string mark;  // Which revision of that number it was (store::View::position), 16 bytes.

  static WatchPosition Of(const store::View& view);
};

class WatchPositions {
 public:
  explicit WatchPositions(store::Store& store) : store_(store) {}

  // Makes the key, of the installation, if there is none yet. Before the first Seal. Thread-safe.
  Status Prepare();
  // `of`: who asks, and what.
  std::string Seal(const WatchPosition& position, std::string_view of) const;
  // INVALID_ARGUMENT BAD_POSITION.
  Result<WatchPosition> Open(std::string_view text, std::string_view of) const;
  // Of the revision with that number; its mark is "" where there is none. Reads the disk.
  WatchPosition Find(int64_t revision) const;
  // OUT_OF_RANGE WATCH_EXPIRED, WATCH_OF_ANOTHER_HISTORY. Reads the disk.
  Status Check(const WatchPosition& position) const;

 private:
  store::Store& store_;
  Mutex preparing_;
  std::string key_;  // Never changes once it is made, which is before anybody seals.
};

}  // namespace weir::services
