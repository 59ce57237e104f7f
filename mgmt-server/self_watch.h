#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "api/weir/v2/server_state.pb.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/base/result.h"

namespace weir::server {

struct DiskSpace {
  uint64_t free = 0;  // Bytes that an ordinary process may use.
  uint64_t all = 0;
};
// Of the file system that `path` is on.
Result<DiskSpace> DiskSpaceOf(const std::string& path);

// What the server knows of itself.
struct Senses {
  std::function<Result<DiskSpace>()> disk;  // Of the state folder.
  std::function<int64_t()> stored;          // Revision of the last write.
  std::function<int64_t()> compiled;        // The last one that agents are told of.
  std::function<Status()> last_write;       // Why nothing was stored when last something was to be.
  std::function<size_t()> broken_invariants;
};

// Watches over the server itself: what is wrong, since when, and what to do about it. Thread-safe.
class SelfWatch {
 public:
  static constexpr Duration kInterval = std::chrono::seconds(5);  // Of Look.
  static constexpr Duration kFeedBehind = std::chrono::seconds(15);
  // Less than this share of the disk, or less than that many bytes.
  static constexpr double kNearlyFull = 0.05;
  static constexpr uint64_t kLittle = 512ull << 20;
  // The past is looked through every hour; two passes may fail before somebody has to know.
  static constexpr Duration kRetentionBehind = std::chrono::hours(3);

  SelfWatch(Senses senses, const Clock& clock);

  // Looks at everything; alarms that begin or end are logged.
  void Look();
  // A pass over the past has ended.
  void RetentionPassed(const Status& status);

  // `disk`, `feed_lag`, revisions, `retention_time` and `alarms`, looked at now.
  void Fill(v2::ServerStatus& status);
  // "weir_server_alarm" with a label `reason` for each that there may be, and what they follow from. As of the last
  // look.
  void Render(std::string& out) const;

 private:
  struct Alarm {
    std::string message, remedy;
    WallTime since{};
  };
  using Alarms = std::map<std::string, Alarm>;  // By reason.
  void LookAtFeed() WEIR_REQUIRES(mutex_);
  Alarms Judge() const WEIR_REQUIRES(mutex_);

  const Senses senses_;
  const Clock& clock_;
  const MonoTime began_;
  mutable Mutex mutex_;
  Alarms alarms_ WEIR_GUARDED_BY(mutex_);
  Result<DiskSpace> disk_ WEIR_GUARDED_BY(mutex_);
  int64_t stored_ WEIR_GUARDED_BY(mutex_) = 0, compiled_ WEIR_GUARDED_BY(mutex_) = 0;
  // The write that was first seen waiting, and when.
  std::optional<std::pair<int64_t, MonoTime>> waiting_ WEIR_GUARDED_BY(mutex_);
  MonoTime retention_passed_ WEIR_GUARDED_BY(mutex_);
  std::optional<WallTime> retention_time_ WEIR_GUARDED_BY(mutex_);
  Status retention_ WEIR_GUARDED_BY(mutex_);
};

}  // namespace weir::server
