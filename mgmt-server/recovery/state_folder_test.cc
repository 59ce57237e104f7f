#include "mgmt-server/recovery/state_folder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "mgmt-server/store/sqlite/sqlite_store.h"
#include "mgmt-server/store/temp_store.h"

namespace weir::recovery {
namespace {

namespace fs = std::filesystem;

void Damage(const std::string& path, uintmax_t at, size_t size) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(at));
  file << std::string(size, '\x5a');
}

class StateFolder : public testing::Test {
 protected:
  StateFolder() : folder_(fs::temp_directory_path() / ("weir-state-" + RandomHex(6))) {
    fs::create_directories(folder_);
  }
  ~StateFolder() override { fs::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ / name; }
  std::unique_ptr<store::Store> Open(const std::string& state_dir) {
    auto opened = store::OpenSqlite({.path = StorePath(state_dir)}, store::NoPolicy::Get());
    EXPECT_TRUE(opened.ok());
    return opened.ok() ? std::move(opened).value() : nullptr;
  }
  std::unique_ptr<store::Store> Open() { return Open(folder_); }
  static void Grow(store::Store& store, int writes) {
    for (int i = 0; i < writes; ++i) {
      const std::string name = "t/" + RandomHex(6);
      EXPECT_TRUE(store.Write([&](store::Txn& txn) { return txn.Put({"Thing", name, "body", {}, ""}); }).ok());
    }
  }
  static History Of(const store::Store& store) {
    const auto position = store.Read()->position();
    return {position.lineages.back(), position.revision(), {}};
  }
  static std::string Reason(const std::string& state_dir) {
    const auto checked = CheckStateFolder(state_dir);
    return checked.ok() ? (*checked ? "begin" : "go on") : checked.error().reason;
  }
  std::string Reason() const { return Reason(folder_); }

  // A store whose history is kept as the server does it.
  std::unique_ptr<store::Store> OpenKept(int checkpoint_pages = 4000) {
    store::SqliteOptions options{.path = StorePath(folder_), .checkpoint_pages = checkpoint_pages};
    options.committed = [this](const store::Standing& now) { keeper_.Follow(now); };
    options.closing = [this](const store::Standing& now) { return keeper_.End(now); };
    auto opened = store::OpenSqlite(std::move(options), store::NoPolicy::Get());
    EXPECT_TRUE(opened.ok());
    if (!opened.ok()) return nullptr;
    const History now = Of(**opened);
    EXPECT_TRUE(keeper_.Begin(folder_, {now.lineage, now.revision, {}}).ok());
    return std::move(opened).value();
  }
  // What kill -9 leaves of the open store, in a folder of its own.
  std::string Killed() const {
    const std::string left = folder_ / ("killed-" + RandomHex(4));
    fs::create_directories(left);
    for (const char* name : {"history", "weir.db", "weir.db-wal"}) fs::copy_file(Path(name), left + "/" + name);
    return left;
  }
  static std::string ContentOf(const std::string& path) {
    const auto content = ReadFile(path);
    return content.ok() ? *content : "";  // SQLite makes an empty log where there is none.
  }

  const fs::path folder_;
  HistoryKeeper keeper_;
};

TEST_F(StateFolder, BeginsOnlyWhereNothingWasEverStored) {
  EXPECT_EQ(Reason(), "begin");
  Open().reset();
  EXPECT_EQ(Reason(), "begin");  // Opened once, nothing stored: a first start that was killed.
  ASSERT_TRUE(WriteHistory(folder_, Of(*Open())).ok());
  EXPECT_EQ(Reason(), "begin");
  Grow(*Open(), 3);
  EXPECT_EQ(Reason(), "go on");
  ASSERT_TRUE(WriteHistory(folder_, Of(*Open())).ok());
  EXPECT_EQ(Reason(), "go on");
}

TEST_F(StateFolder, NoticesWhatBecameOfTheStore) {
  Grow(*Open(), 3);
  const fs::path older = folder_ / "older";
  fs::copy_file(Path("weir.db"), older);
  Grow(*Open(), 3);
  ASSERT_TRUE(WriteHistory(folder_, Of(*Open())).ok());
  const struct {
    const char* what;
    std::function<void()> happens;
    const char* reason;
  } cases[] = {
      {"untouched", [] {}, "go on"},
      {"deleted", [&] { fs::remove(Path("weir.db")); }, "STATE_LOST"},
      {"emptied", [&] { fs::resize_file(Path("weir.db"), 0); }, "STATE_LOST"},
      {"an older copy", [&] { fs::copy_file(older, Path("weir.db"), fs::copy_options::overwrite_existing); },
       "STATE_OLDER"},
      {"another store",
       [&] {
         fs::remove(Path("weir.db"));
         Grow(*Open(), 9);
       },
       "STATE_FOREIGN"},
      {"a store without anything",
       [&] {
         fs::remove(Path("weir.db"));
         Open().reset();
       },
       "STATE_FOREIGN"},
      {"noise", [&] { std::ofstream(Path("weir.db")) << std::string(9000, 'x'); }, "STORE_DAMAGED"},
      {"a damaged history", [&] { std::ofstream(Path("history")) << "weir-history 1\nabc"; }, "STATE_HISTORY_CORRUPT"},
  };
  const std::string whole = *ReadFile(Path("weir.db"));
  const std::string history = *ReadFile(Path("history"));
  for (const auto& c : cases) {
    c.happens();
    EXPECT_EQ(Reason(), c.reason) << c.what;
    for (const char* name : {"weir.db", "weir.db-wal", "weir.db-shm"}) fs::remove(Path(name));
    ASSERT_TRUE(WriteFileAtomic(Path("weir.db"), whole).ok());
    ASSERT_TRUE(WriteFileAtomic(Path("history"), history).ok());
  }
}

TEST_F(StateFolder, RelicsOfAFirstStartAreEnoughToRefuse) {
  for (const char* relic : {"ports.json", "root.pem", "admin-password"}) {
    ASSERT_TRUE(WriteFileAtomic(Path(relic), "x").ok());
    EXPECT_EQ(Reason(), "STATE_LOST") << relic;
    fs::remove(Path(relic));
  }
  (void)Open();  // Beside a store in which nothing is, too.
  ASSERT_TRUE(WriteFileAtomic(Path("root.pem"), "x").ok());
  EXPECT_EQ(Reason(), "STATE_LOST");
}

struct LossOfALog {
  const char* what;
  std::function<void(const std::string& db)> happens;
  std::vector<std::string> reasons;  // One of them.
};
const LossOfALog kLosses[] = {
    {"untouched", [](const std::string&) {}, {"go on"}},
    {"log deleted", [](const std::string& db) { fs::remove(db + "-wal"); }, {"STATE_OLDER", "STATE_LOST"}},
    {"log emptied", [](const std::string& db) { fs::resize_file(db + "-wal", 0); }, {"STATE_OLDER", "STATE_LOST"}},
    {"its last write cut",
     [](const std::string& db) { fs::resize_file(db + "-wal", fs::file_size(db + "-wal") - 1); },
     {"STATE_OLDER"}},
    {"its head damaged", [](const std::string& db) { Damage(db + "-wal", 0, 32); }, {"STATE_OLDER", "STATE_LOST"}},
    {"damaged behind its salt",
     [](const std::string& db) { Damage(db + "-wal", 20, 12); },
     {"STATE_OLDER", "STATE_LOST"}},
    {"damaged in its middle",
     [](const std::string& db) { Damage(db + "-wal", fs::file_size(db + "-wal") / 2, 8192); },
     {"STATE_OLDER", "STATE_LOST"}},
    {"database deleted", [](const std::string& db) { fs::remove(db); }, {"STATE_LOST"}},
    {"database emptied", [](const std::string& db) { fs::resize_file(db, 0); }, {"STATE_LOST"}},
    {"both deleted",
     [](const std::string& db) {
       fs::remove(db);
       fs::remove(db + "-wal");
     },
     {"STATE_LOST"}},
};

// Beginning with the first write: all that it stored stands in the log.
TEST_F(StateFolder, NoticesWhatBecameOfTheLogOfAKilledServer) {
  auto running = OpenKept();
  for (const int writes : {1, 5, 1}) {
    SCOPED_TRACE(writes);
    Grow(*running, writes);
    for (const LossOfALog& c : kLosses) {
      const std::string left = Killed();
      c.happens(StorePath(left));
      const std::string log = ContentOf(StorePath(left) + "-wal");
      for (int start = 0; start < 2; ++start) {  // Looking does not take the evidence away.
        const std::string reason = Reason(left);
        EXPECT_TRUE(std::find(c.reasons.begin(), c.reasons.end(), reason) != c.reasons.end())
            << c.what << ": " << reason;
      }
      EXPECT_EQ(ContentOf(StorePath(left) + "-wal"), log) << c.what;
    }
  }
}

// Who means what is left restores it in its own place.
TEST_F(StateFolder, WhatIsLeftOfAStoreCanBeMeant) {
  auto running = OpenKept(4);
  for (int i = 0; i < 20; ++i) Grow(*running, 1);
  const std::string left = Killed();
  fs::remove(StorePath(left) + "-wal");
  ASSERT_EQ(Reason(left), "STATE_OLDER");
  const auto restored = Restore(left, StorePath(left), true, Clock::Real());
  ASSERT_TRUE(restored.ok()) << restored.error().ToString();
  EXPECT_EQ(Reason(left), "go on");
  EXPECT_EQ(Of(*Open(left)), *restored);
}

// Writes without a revision are acknowledged too: sessions, keys of the certificate authority.
TEST_F(StateFolder, NoticesTheLossOfAWriteWithoutARevision) {
  auto running = OpenKept();
  Grow(*running, 2);
  const std::string before = *ReadFile(Path("weir.db-wal"));
  ASSERT_TRUE(running->Write([](store::Txn& txn) { return txn.PutCaMaterial("key", "material"); }).ok());
  const std::string left = Killed();
  EXPECT_EQ(Reason(left), "go on");
  ASSERT_TRUE(WriteFileAtomic(StorePath(left) + "-wal", before).ok());
  EXPECT_EQ(Reason(left), "STATE_OLDER");
}

// The power may take the newest words of the history with it, and the log was begun anew meanwhile.
TEST_F(StateFolder, AnOlderHistoryGoesWithANewerLog) {
  auto running = OpenKept(4);
  Grow(*running, 1);
  const std::string older = *ReadFile(Path("history"));
  for (int i = 0; i < 40; ++i) Grow(*running, 1);
  const std::string left = Killed();
  ASSERT_TRUE(WriteFileAtomic(left + "/history", older).ok());
  EXPECT_EQ(Reason(left), "go on");
}

TEST_F(StateFolder, AfterAStopInGoodOrderNothingDependsOnTheLog) {
  Grow(*OpenKept(), 3);
  fs::remove(Path("weir.db-wal"));
  EXPECT_EQ(Reason(), "go on");
  Grow(*OpenKept(), 1);
  EXPECT_EQ(Reason(), "go on");
  // The history was deleted under the server: its last word makes it anew.
  auto running = OpenKept();
  Grow(*running, 1);
  const History last = Of(*running);
  fs::remove(Path("history"));
  running.reset();
  EXPECT_NE(ContentOf(Path("history")).find(fmt::format("{} {:020} ", last.lineage, last.revision)), std::string::npos);
}

// Where the last word cannot be written the log stays, for the history still counts on it.
TEST_F(StateFolder, AStoreWhoseHistoryIsNotEndedKeepsItsLog) {
  auto opened = store::OpenSqlite(
      {.path = StorePath(folder_), .closing = [](const store::Standing&) -> Status { return Unavailable("FULL", ""); }},
      store::NoPolicy::Get());
  ASSERT_TRUE(opened.ok());
  Grow(**opened, 2);
  const std::string log = *ReadFile(Path("weir.db-wal"));
  opened->reset();
  EXPECT_FALSE(log.empty());
  EXPECT_EQ(ContentOf(Path("weir.db-wal")), log);
}

TEST_F(StateFolder, ReadsTheHistoryOfAnOlderServer) {
  Grow(*Open(), 3);
  const History now = Of(*Open());
  for (const auto& [revision, reason] : {std::pair(3, "go on"), std::pair(4, "STATE_OLDER")}) {
    ASSERT_TRUE(WriteFileAtomic(Path("history"), fmt::format("weir-history 1\n{} {}\n", now.lineage, revision)).ok());
    EXPECT_EQ(Reason(), reason);
  }
}

// A crash leaves everything in the log; copied without it, the file is no store at all.
TEST_F(StateFolder, NoticesACopyWithoutItsLog) {
  const std::string other = Path("copy");
  fs::create_directories(other);
  auto running = Open();
  Grow(*running, 3);
  ASSERT_TRUE(WriteHistory(other, Of(*running)).ok());
  fs::copy_file(Path("weir.db"), StorePath(other));
  const auto checked = CheckStateFolder(other);
  ASSERT_FALSE(checked.ok());
  EXPECT_TRUE(checked.error().reason == "STATE_LOST" || checked.error().reason == "STATE_OLDER")
      << checked.error().ToString();
}

TEST_F(StateFolder, BacksUpWhileTheStoreIsWrittenAndRestoresIt) {
  auto running = Open();
  Grow(*running, 3);
  const History then = Of(*running);
  const std::string backup = Path("backup");
  ASSERT_TRUE(store::BackupSqlite(StorePath(folder_), backup).ok());
  EXPECT_EQ(fs::status(backup).permissions(), fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_EQ(store::BackupSqlite(StorePath(folder_), backup).error().reason, "BACKUP_EXISTS");
  Grow(*running, 2);
  EXPECT_EQ(Restore(folder_, backup, true, Clock::Real()).error().reason, "STORE_LOCKED");
  const History now = Of(*running);
  running.reset();
  ASSERT_TRUE(WriteHistory(folder_, now).ok());

  EXPECT_EQ(Restore(folder_, backup, false, Clock::Real()).error().reason, "STATE_PRESENT");
  EXPECT_EQ(Of(*Open()), now);
  const auto restored = Restore(folder_, backup, true, Clock::Real());
  ASSERT_TRUE(restored.ok()) << restored.error().ToString();
  EXPECT_EQ(*restored, then);
  EXPECT_EQ(Reason(), "go on");
  EXPECT_EQ(Of(*Open()), then);
  int kept = 0;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    kept += entry.path().filename().string().starts_with("weir.db.before-") ? 1 : 0;
  }
  EXPECT_EQ(kept, 1);
}

TEST_F(StateFolder, RestoresNothingThatIsDamaged) {
  Grow(*Open(), 200);
  const std::string backup = Path("backup");
  ASSERT_TRUE(store::BackupSqlite(StorePath(folder_), backup).ok());
  const History now = Of(*Open());
  {
    std::fstream file(backup, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(3 * 4096);
    file << std::string(8 * 4096, '\x5a');
  }
  EXPECT_EQ(Restore(folder_, backup, true, Clock::Real()).error().reason, "STORE_DAMAGED");
  EXPECT_EQ(Restore(folder_, Path("nowhere"), true, Clock::Real()).error().reason, "STORE_MISSING");
  for (const auto& [name, content] : {std::pair("cut", ReadFile(Path("weir.db"))->substr(0, 3 * 4096)),
                                      std::pair("cut-within-a-page", ReadFile(Path("weir.db"))->substr(0, 9999)),
                                      std::pair("text", std::string("not a store, whatever its name says\n"))}) {
    ASSERT_TRUE(WriteFileAtomic(Path(name), content).ok());
    const auto refused = Restore(folder_, Path(name), true, Clock::Real());
    ASSERT_FALSE(refused.ok()) << name;
    EXPECT_EQ(refused.error().reason, "STORE_DAMAGED") << refused.error().ToString();
    EXPECT_NE(refused.error().message.find(Path(name)), std::string::npos) << refused.error().ToString();
  }
  EXPECT_EQ(Of(*Open()), now);
}

// The disk lost the database but not its log, which belongs to no copy of it.
TEST_F(StateFolder, RestoresOverWhatALostStoreLeft) {
  auto running = OpenKept();
  Grow(*running, 3);
  const std::string backup = Path("backup");
  ASSERT_TRUE(store::BackupSqlite(StorePath(folder_), backup).ok());
  const History then = Of(*running);
  Grow(*running, 5);
  const std::string left = Killed();
  running.reset();
  fs::remove(StorePath(left));
  ASSERT_TRUE(Restore(left, backup, false, Clock::Real()).ok());
  EXPECT_FALSE(fs::exists(StorePath(left) + "-wal"));
  EXPECT_EQ(Reason(left), "go on");
  EXPECT_EQ(Of(*Open(left)), then);
}

// What a kill leaves between two steps of a restore: nothing is lost, nothing begins anew, and the next one does it.
TEST_F(StateFolder, ARestoreThatWasCutIsNoticedAndRepeated) {
  auto running = OpenKept();
  Grow(*running, 3);
  const std::string backup = Path("backup");
  ASSERT_TRUE(store::BackupSqlite(StorePath(folder_), backup).ok());
  const History then = Of(*running);
  Grow(*running, 5);
  const History now = Of(*running);
  running.reset();
  fs::copy_file(backup, StorePath(folder_) + ".restoring");
  EXPECT_EQ(Reason(), "go on");
  EXPECT_EQ(Of(*Open()), now);
  fs::rename(StorePath(folder_), StorePath(folder_) + ".before-kill");
  EXPECT_EQ(Reason(), "STATE_LOST");
  fs::rename(StorePath(folder_) + ".restoring", StorePath(folder_));
  EXPECT_EQ(Reason(), "STATE_OLDER");
  EXPECT_EQ(Restore(folder_, backup, false, Clock::Real()).error().reason, "STATE_PRESENT");
  ASSERT_TRUE(Restore(folder_, backup, true, Clock::Real()).ok());
  EXPECT_EQ(Reason(), "go on");
  EXPECT_EQ(Of(*Open()), then);
  EXPECT_TRUE(store::InspectSqlite(StorePath(folder_) + ".before-kill", true).ok()) << "what was there is there";
}

}  // namespace
}  // namespace weir::recovery
