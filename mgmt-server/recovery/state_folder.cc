#include "mgmt-server/recovery/state_folder.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>

#include "libs/base/clock.h"
#include "libs/base/file.h"
#include "libs/base/text.h"
#include "mgmt-server/store/sqlite/sqlite_store.h"
#include "mgmt-server/store/sqlite/store_lock.h"

namespace weir::recovery {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kHistoryHead = "weir-history 1\n";
// Files of a first start: where one of them is, an organization was.
constexpr const char* kRelics[] = {"ports.json", "root.pem", "server-anchor.pem", "mesh-root.pem", "admin-password"};

std::string HistoryPath(const std::string& state_dir) { return state_dir + "/history"; }

Result<std::optional<History>> ReadHistory(const std::string& state_dir) {
  const std::string path = HistoryPath(state_dir);
  auto text = ReadFile(path, 4096);
  if (!text.ok() && text.error().code == Code::kNotFound) return std::optional<History>();
  if (!text.ok()) return std::move(text).error();
  const std::string_view whole = *text;
  History history;
  constexpr size_t kLineage = 32;
  const size_t at = kHistoryHead.size();
  const bool sound = whole.starts_with(kHistoryHead) && whole.size() > at + kLineage + 2 && whole.ends_with("\n") &&
                     whole[at + kLineage] == ' ';
  const char* const last = whole.data() + whole.size() - 1;
  if (sound) history.lineage = whole.substr(at, kLineage);
  if (!sound || std::from_chars(whole.data() + at + kLineage + 1, last, history.revision).ptr != last) {
    return DataLoss("STATE_HISTORY_CORRUPT",
                    "{} is damaged; compare the store with a backup, then delete this file and start again", path);
  }
  return std::optional(history);
}

constexpr const char* kRemedy =
    "put weir.db and weir.db-wal back, or restore a backup (weir-server restore --state-dir {0} --from FILE); to begin "
    "a "
    "new organization choose an empty folder";

std::string Remedy(const std::string& state_dir) { return fmt::format(fmt::runtime(kRemedy), state_dir); }

bool HasRelics(const std::string& state_dir) {
  return std::any_of(std::begin(kRelics), std::end(kRelics),
                     [&](const char* name) { return fs::exists(state_dir + "/" + name); });
}

}  // namespace

std::string StorePath(const std::string& state_dir) { return state_dir + "/weir.db"; }

Status WriteHistory(const std::string& state_dir, const History& history) {
  return WriteFileAtomic(HistoryPath(state_dir),
                         fmt::format("{}{} {}\n", kHistoryHead, history.lineage, history.revision), 0600);
}

Result<bool> CheckStateFolder(const std::string& state_dir) {
  WEIR_ASSIGN(const auto known, ReadHistory(state_dir));
  const auto store = store::InspectSqlite(StorePath(state_dir), false);
  if (!store.ok() && store.error().reason != "STORE_MISSING") return store.error();
  const bool had_something = known ? known->revision > 0 : HasRelics(state_dir);
  if (!store.ok() && had_something) {
    return FailedPrecondition("STATE_LOST", "{} held an organization, but {}; {}", state_dir, store.error().message,
                              Remedy(state_dir));
  }
  if (!store.ok()) return true;
  if (store->revision == 0 && !had_something) return true;  // A first start that did not come to its end.
  if (!known && store->revision == 0) {
    return FailedPrecondition("STATE_LOST", "{} held an organization, but {} is empty; {}", state_dir,
                              StorePath(state_dir), Remedy(state_dir));
  }
  if (!known) return false;
  if (std::find(store->lineages.begin(), store->lineages.end(), known->lineage) == store->lineages.end()) {
    return FailedPrecondition("STATE_FOREIGN", "{} is not the store that {} held before; {}", StorePath(state_dir),
                              state_dir, Remedy(state_dir));
  }
  if (store->lineages.back() == known->lineage && store->revision < known->revision) {
    return FailedPrecondition("STATE_OLDER",
                              "{} is at revision {}, but {} was at revision {} already: an older copy, or its log "
                              "(weir.db-wal) is missing; {}",
                              StorePath(state_dir), store->revision, state_dir, known->revision, Remedy(state_dir));
  }
  return false;
}

Result<History> Restore(const std::string& state_dir, const std::string& backup, bool replace, const Clock& clock) {
  WEIR_ASSIGN(const store::StoreFacts found, store::InspectSqlite(backup, true));
  WEIR_TRY(MakeFolders(state_dir, 0700));
  const std::string path = StorePath(state_dir);
  store::StoreLock lock;
  WEIR_TRY(lock.Take(path));
  const bool present = fs::exists(path);
  if (present && !replace) {
    return FailedPrecondition("STATE_PRESENT", "{} exists; with --replace it is kept as {}.before-<time>", path, path);
  }
  // The copy is whole beside the store before anything is moved.
  const std::string next = path + ".restoring";
  fs::remove(next);
  WEIR_TRY(store::BackupSqlite(backup, next));
  if (present) {
    const std::string kept = fmt::format("{}.before-{}", path, Rfc3339(clock.Wall()));
    for (const char* suffix : {"", "-wal", "-shm"}) {
      std::error_code failed;
      if (fs::exists(path + suffix)) fs::rename(path + suffix, kept + suffix, failed);
      if (failed) return Unavailable("STORE_IO", "cannot move {}{}: {}", path, suffix, failed.message());
    }
  }
  std::error_code failed;
  fs::rename(next, path, failed);
  if (failed) return Unavailable("STORE_IO", "cannot move {}: {}", next, failed.message());
  const History history{found.lineages.empty() ? "" : found.lineages.back(), found.revision};
  fs::remove(HistoryPath(state_dir));
  if (!history.lineage.empty()) WEIR_TRY(WriteHistory(state_dir, history));
  return history;
}

}  // namespace weir::recovery
