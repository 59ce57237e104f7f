#include "mgmt-server/self_watch.h"

#include <google/protobuf/util/time_util.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "libs/obs/log.h"
#include "libs/obs/metrics.h"
#include "libs/rpc/time.h"

namespace weir::server {
namespace {

constexpr const char* kReasons[] = {"COMMITS_FAIL", "DISK_NEARLY_FULL", "DISK_UNKNOWN",
                                    "FEED_BEHIND",  "INVARIANT_BROKEN", "RETENTION_BEHIND"};

double Seconds(Duration time) { return std::chrono::duration<double>(time).count(); }
double Mebibytes(uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

}  // namespace

Result<DiskSpace> DiskSpaceOf(const std::string& path) {
  struct statvfs space{};
  if (statvfs(path.c_str(), &space) != 0) return Unavailable("DISK_UNKNOWN", "{}: {}", path, std::strerror(errno));
  return DiskSpace{static_cast<uint64_t>(space.f_bavail) * space.f_frsize,
                   static_cast<uint64_t>(space.f_blocks) * space.f_frsize};
}

SelfWatch::SelfWatch(Senses senses, const Clock& clock)
    : senses_(std::move(senses)),
      clock_(clock),
      began_(clock.Now()),
      disk_(Unavailable("DISK_UNKNOWN", "not looked at yet")),
      retention_passed_(began_) {}

// A feed that moves and is behind all the same is timed from the oldest write that waits: once that one is through, the
// newest of then is the next to be timed, so the lag is at most one such turn too small.
void SelfWatch::LookAtFeed() {
  compiled_ = senses_.compiled();
  stored_ = std::max(senses_.stored(), compiled_);
  if (waiting_ && compiled_ < waiting_->first) return;
  waiting_.reset();
  if (compiled_ < stored_) waiting_.emplace(stored_, clock_.Now());
}

SelfWatch::Alarms SelfWatch::Judge() const {
  Alarms alarms;
  const auto raise = [&](const char* reason, std::string message, std::string remedy) {
    alarms[reason] = {std::move(message), std::move(remedy), clock_.Wall()};
  };
  if (!disk_.ok()) {
    raise("DISK_UNKNOWN",
          fmt::format("how much room the state folder has cannot be found out: {}", disk_.error().message),
          "look whether the state folder is still there and mounted");
  } else if (disk_->free < kLittle ||
             static_cast<double>(disk_->free) < kNearlyFull * static_cast<double>(disk_->all)) {
    raise("DISK_NEARLY_FULL",
          fmt::format("the disk of the state folder has {:.0f} MiB left of {:.0f}", Mebibytes(disk_->free),
                      Mebibytes(disk_->all)),
          "make room or enlarge the disk; when it is full nothing more is stored. Shorter retention frees room within "
          "the file, not on the disk");
  }
  if (waiting_ && clock_.Now() - waiting_->second >= kFeedBehind) {
    raise("FEED_BEHIND",
          fmt::format("revision {} waits since {:.0f} s to be compiled; gateways are told of {}", waiting_->first,
                      Seconds(clock_.Now() - waiting_->second), compiled_),
          "look at the server's processor time and log; a restart compiles everything anew");
  }
  if (const Status written = senses_.last_write(); !written.ok()) {
    raise("COMMITS_FAIL", fmt::format("the last write was not stored: {}", written.error().message),
          "look at the server's disk (space, errors, mount) and its log; what is stored is served on");
  }
  if (const size_t broken = senses_.broken_invariants(); broken > 0) {
    raise("INVARIANT_BROKEN", fmt::format("{} Invariant{} not hold", broken, broken == 1 ? " does" : "s do"),
          "`weir status` of each says who fails (INVARIANT_BROKEN); weir_invariant_broken and the log name them");
  }
  if (clock_.Now() - retention_passed_ >= kRetentionBehind) {
    raise(
        "RETENTION_BEHIND",
        fmt::format("the past was not looked through for {:.0f} h{}", Seconds(clock_.Now() - retention_passed_) / 3600,
                    retention_.ok() ? "" : ": " + retention_.error().message),
        "look at the server's log; until it is mended the state grows beyond what `retention` allows");
  }
  return alarms;
}

void SelfWatch::Look() {
  Result<DiskSpace> disk = senses_.disk();
  MutexLock lock(mutex_);
  disk_ = std::move(disk);
  LookAtFeed();
  Alarms now = Judge();
  for (auto& [reason, alarm] : now) {
    const auto before = alarms_.find(reason);
    if (before != alarms_.end())
      alarm.since = before->second.since;
    else
      obs::Log(obs::Level::kError, "alarm about the server itself",
               {{"reason", reason}, {"message", alarm.message}, {"remedy", alarm.remedy}});
  }
  for (const auto& [reason, alarm] : alarms_) {
    if (!now.contains(reason)) obs::Log(obs::Level::kInfo, "alarm is over", {{"reason", reason}});
  }
  alarms_ = std::move(now);
}

void SelfWatch::RetentionPassed(const Status& status) {
  MutexLock lock(mutex_);
  retention_ = status;
  if (!status.ok()) return;
  retention_passed_ = clock_.Now();
  retention_time_ = clock_.Wall();
}

void SelfWatch::Fill(v2::ServerStatus& status) {
  Look();
  MutexLock lock(mutex_);
  if (disk_.ok()) {
    status.set_disk_free_bytes(static_cast<int64_t>(disk_->free));
    status.set_disk_bytes(static_cast<int64_t>(disk_->all));
  }
  status.set_revision(stored_);
  status.set_compiled_revision(compiled_);
  const Duration lag = waiting_ ? clock_.Now() - waiting_->second : Duration(0);
  *status.mutable_feed_lag() = google::protobuf::util::TimeUtil::MillisecondsToDuration(
      std::chrono::duration_cast<std::chrono::milliseconds>(lag).count());
  if (retention_time_) *status.mutable_retention_time() = rpc::ToTimestamp(*retention_time_);
  for (const auto& [reason, alarm] : alarms_) {
    v2::ServerAlarm& one = *status.add_alarms();
    one.set_reason(reason);
    one.set_message(alarm.message);
    one.set_remedy(alarm.remedy);
    *one.mutable_since() = rpc::ToTimestamp(alarm.since);
  }
}

void SelfWatch::Render(std::string& out) const {
  MutexLock lock(mutex_);
  obs::AppendFamily(out, "weir_server_alarm", "gauge", "1 while something is wrong with the server itself.");
  for (const char* reason : kReasons) {
    obs::AppendSample(out, "weir_server_alarm", {{"reason", reason}}, alarms_.contains(reason) ? 1 : 0);
  }
  const auto gauge = [&](const char* name, const char* help, double value) {
    obs::AppendFamily(out, name, "gauge", help);
    obs::AppendSample(out, name, {}, value);
  };
  if (disk_.ok()) {
    gauge("weir_server_disk_free_bytes", "Left for the server on the disk of its state folder.",
          static_cast<double>(disk_->free));
    gauge("weir_server_disk_bytes", "Size of that disk.", static_cast<double>(disk_->all));
  }
  gauge("weir_server_compiled_revision", "The last revision that agents are told of.", static_cast<double>(compiled_));
  gauge("weir_server_feed_lag_seconds", "How long the oldest write has waited to be compiled.",
        waiting_ ? Seconds(clock_.Now() - waiting_->second) : 0);
}

}  // namespace weir::server
