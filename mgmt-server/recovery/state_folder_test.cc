#include "mgmt-server/recovery/state_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "mgmt-server/store/sqlite/sqlite_store.h"
#include "mgmt-server/store/temp_store.h"

namespace weir::recovery {
namespace {

namespace fs = std::filesystem;

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
    return {position.lineages.back(), position.revision()};
  }
  std::string Reason() const {
    const auto checked = CheckStateFolder(folder_);
    return checked.ok() ? (*checked ? "begin" : "go on") : checked.error().reason;
  }

  const fs::path folder_;
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
  EXPECT_EQ(Of(*Open()), now);
}

}  // namespace
}  // namespace weir::recovery
