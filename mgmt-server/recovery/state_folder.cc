#include "mgmt-server/recovery/state_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>

#include "libs/base/clock.h"
#include "libs/base/file.h"
#include "libs/base/text.h"
#include "libs/obs/log.h"
#include "mgmt-server/store/sqlite/store_lock.h"

namespace weir::recovery {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kHistoryHead = "weir-history 2\n";
constexpr std::string_view kOlderHead = "weir-history 1\n";  // Without the log.
constexpr size_t kLineage = 32;
// Files of a first start: where one of them is, an organization was.
constexpr const char* kRelics[] = {"ports.json", "root.pem", "server-anchor.pem", "mesh-root.pem", "admin-password"};

std::string HistoryPath(const std::string& state_dir) { return state_dir + "/history"; }

// As long as any other, and far below the sector that a disk writes whole: it can be overwritten in place.
std::string ToText(const History& history) {
  return fmt::format("{}{} {:020} {:010} {:010}\n", kHistoryHead, history.lineage, history.revision, history.log.salt,
                     history.log.frames);
}

std::optional<History> Parse(std::string_view text) {
  const bool older = text.starts_with(kOlderHead);
  if ((!older && !text.starts_with(kHistoryHead)) || !text.ends_with('\n')) return std::nullopt;
  text.remove_prefix(kHistoryHead.size());
  if (text.size() < kLineage) return std::nullopt;
  History history;
  history.lineage = text.substr(0, kLineage);
  text.remove_prefix(kLineage);
  const auto number = [&text](auto& value) {
    if (!text.starts_with(' ')) return false;
    const auto read = std::from_chars(text.data() + 1, text.data() + text.size(), value);
    text.remove_prefix(static_cast<size_t>(read.ptr - text.data()));
    return read.ec == std::errc();
  };
  const bool sound = number(history.revision) && (older || (number(history.log.salt) && number(history.log.frames)));
  return sound && text == "\n" ? std::optional(history) : std::nullopt;
}

Result<std::optional<History>> ReadHistory(const std::string& state_dir) {
  const std::string path = HistoryPath(state_dir);
  auto text = ReadFile(path, 4096);
  if (!text.ok() && text.error().code == Code::kNotFound) return std::optional<History>();
  if (!text.ok()) return std::move(text).error();
  const auto history = Parse(*text);
  if (history) return history;
  return DataLoss("STATE_HISTORY_CORRUPT",
                  "{} is damaged; compare the store with a backup, then delete this file and start again", path);
}

constexpr const char* kRemedy =
    "put weir.db and weir.db-wal back, or restore a backup (weir-server restore --state-dir {0} --from FILE); to begin "
    "a new organization choose an empty folder";

std::string Remedy(const std::string& state_dir) { return fmt::format(fmt::runtime(kRemedy), state_dir); }

Error Unwritten(const std::string& state_dir) {
  return Unavailable("STORE_IO", "cannot write {}: {}", HistoryPath(state_dir), std::system_category().message(errno));
}

bool HasRelics(const std::string& state_dir) {
  return std::any_of(std::begin(kRelics), std::end(kRelics),
                     [&](const char* name) { return fs::exists(state_dir + "/" + name); });
}

}  // namespace

std::string StorePath(const std::string& state_dir) { return state_dir + "/weir.db"; }

Status WriteHistory(const std::string& state_dir, const History& history) {
  return WriteFileIfDifferent(HistoryPath(state_dir), ToText(history), 0600);
}

Status HistoryKeeper::Begin(const std::string& state_dir, const store::Standing& store) {
  WEIR_ASSIGN(const auto before, ReadHistory(state_dir));
  WEIR_TRY(WriteHistory(state_dir,
                        {std::string(store.lineage), store.revision, before ? before->log : store::LogPosition()}));
  file_ = Fd(::open(HistoryPath(state_dir).c_str(), O_WRONLY | O_CLOEXEC));
  if (!file_) return Unwritten(state_dir);
  state_dir_ = state_dir;
  return {};
}

void HistoryKeeper::Follow(const store::Standing& store) {
  if (!file_) return;
  const std::string text = ToText({std::string(store.lineage), store.revision, store.log});
  if (::pwrite(file_.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size())) return;
  obs::Log(obs::Level::kError, "the history of the state falls behind", {{"error", Unwritten(state_dir_).ToString()}});
}

Status HistoryKeeper::Sync() {
  if (::fdatasync(file_.get()) == 0) return {};
  return Unwritten(state_dir_);
}

Status HistoryKeeper::End(const store::Standing& store) {
  if (!file_) return FailedPrecondition("HISTORY_NOT_KEPT", "the history of the state was not begun");
  return WriteHistory(state_dir_, {std::string(store.lineage), store.revision, store.log});
}

Result<bool> CheckStateFolder(const std::string& state_dir) {
  WEIR_ASSIGN(const auto known, ReadHistory(state_dir));
  const auto store = store::InspectSqlite(StorePath(state_dir), false);
  if (!store.ok() && store.error().reason != "STORE_MISSING") return store.error();
  const bool had_something = (known && known->revision > 0) || HasRelics(state_dir);
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
  const auto& lineages = store->lineages;  // None: the log that held even its name is missing.
  if (!lineages.empty() && std::find(lineages.begin(), lineages.end(), known->lineage) == lineages.end()) {
    return FailedPrecondition("STATE_FOREIGN", "{} is not the store that {} held before; {}", StorePath(state_dir),
                              state_dir, Remedy(state_dir));
  }
  if (lineages.empty() || (lineages.back() == known->lineage && store->revision < known->revision)) {
    return FailedPrecondition("STATE_OLDER",
                              "{} is at revision {}, but {} was at revision {} already: an older copy, or its log "
                              "(weir.db-wal) is missing; {}",
                              StorePath(state_dir), store->revision, state_dir, known->revision, Remedy(state_dir));
  }
  if (known->log.frames == 0) return false;
  WEIR_ASSIGN(const bool holds, store::LogHolds(StorePath(state_dir), known->log));
  if (holds) return false;
  return FailedPrecondition("STATE_OLDER",
                            "the server in {} did not stop in good order, and its log ({}-wal) is missing or damaged: "
                            "acknowledged writes may stand only there; {}",
                            state_dir, StorePath(state_dir), Remedy(state_dir));
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
  // Also what a lost store left behind: SQLite would replay its log into the copy.
  const std::string kept = fmt::format("{}.before-{}", path, Rfc3339(clock.Wall()));
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::error_code failed;
    if (fs::exists(path + suffix)) fs::rename(path + suffix, kept + suffix, failed);
    if (failed) return Unavailable("STORE_IO", "cannot move {}{}: {}", path, suffix, failed.message());
  }
  std::error_code failed;
  fs::rename(next, path, failed);
  if (failed) return Unavailable("STORE_IO", "cannot move {}: {}", next, failed.message());
  const History history{found.lineages.empty() ? "" : found.lineages.back(), found.revision, {}};
  fs::remove(HistoryPath(state_dir));
  if (!history.lineage.empty()) WEIR_TRY(WriteHistory(state_dir, history));
  return history;
}

}  // namespace weir::recovery
