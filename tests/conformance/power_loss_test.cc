// What an answered write is worth when the power goes, and what a failed COMMIT leaves.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <array>
#include <atomic>
#include <random>
#include <thread>

#include "libs/base/mutex.h"
#include "mgmt-server/audit/audit.h"
#include "mgmt-server/store/sqlite/sqlite_store.h"
#include "tests/conformance/power_loss_disk.h"
#include "tests/conformance/shelf_policy.h"
#include "tests/support/real_time.h"

namespace weir::store {
namespace {

// `checkpoint_pages` is small so that cuts meet checkpoints too.
Result<std::unique_ptr<Store>> Open(const PowerLossDisk& disk, int checkpoint_pages = 40,
                                    const Clock& clock = Clock::Real()) {
  SqliteOptions options;
  options.path = "/weir.db";
  options.vfs = disk.vfs();
  options.checkpoint_pages = checkpoint_pages;
  options.clock = &clock;
  return OpenSqlite(options, ShelfPolicy::Get());
}

// One write that touches everything: two resources, of which the policy makes a node each, a change set, an audit
// record.
Status WritePair(Store& store, const std::string& name) {
  return store.Write([&](Txn& txn) -> Status {
    for (const std::string& half : {"left/" + name, "right/" + name}) {
      WEIR_TRY(txn.Put({"Half", half, std::string(700, 'x') + name, {}, ""}));
    }
    WEIR_TRY(txn.PutChangeSet({.fqn = "sets/" + name,
                               .uid = name,
                               .author_uid = "a",
                               .open = true,
                               .created = txn.now(),
                               .body = std::string(500, 'y')}));
    audit::Record record;
    record.action = "create";
    record.fqn = name;
    return audit::Append(txn, std::move(record));
  });
}

size_t CheckWhole(const Store& store) {
  const ViewPtr view = store.Read();
  size_t halves = 0;
  view->ForEach("", "Half", [&](const ResourcePtr& half) {
    ++halves;
    const std::string other =
        half->fqn.starts_with("left/") ? "right/" + half->fqn.substr(5) : "left/" + half->fqn.substr(6);
    EXPECT_NE(view->Get(other), nullptr) << half->fqn;
    EXPECT_NE(view->FindChangeSet("sets/" + half->fqn.substr(half->fqn.find('/') + 1)), nullptr) << half->fqn;
    EXPECT_NE(view->graph().Find(half->fqn), ngac::kNoNode) << half->fqn;
    return true;
  });
  size_t sets = 0;
  view->ForEachChangeSet("sets", [&](const ChangeSetPtr&) { return ++sets > 0; });
  EXPECT_EQ(sets, halves / 2);
  EXPECT_EQ(view->revision(), static_cast<int64_t>(halves / 2));
  EXPECT_EQ(view->graph().node_count(), halves + 1);
  const auto verified = audit::Verify(store);
  EXPECT_TRUE(verified.ok()) << verified.error().ToString();
  if (!verified.ok()) return 0;
  EXPECT_EQ(verified->records, static_cast<int64_t>(halves / 2));
  return halves / 2;
}

TEST(PowerLoss, LosesNothingAnsweredAndShowsNothingHalf) {
  int cuts = 0;
  size_t acknowledged = 0;
  for (unsigned seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    PowerLossDisk disk;
    std::vector<std::string> answered;
    int number = 0;
    for (int life = 0; life < 3; ++life) {  // The log of one life is the start of the next.
      disk.CutAfter(1 + static_cast<int>(random() % (life == 0 ? 120 : 300)));
      while (!disk.cut()) {
        auto store = Open(disk);
        if (!store.ok()) break;
        Mutex mutex;
        std::array<std::thread, 3> writers;
        const int upto = number + 4 + static_cast<int>(random() % 20);
        std::atomic<int> next{number};
        for (std::thread& writer : writers) {
          writer = std::thread([&] {
            for (int n = next++; n < upto && !disk.cut(); n = next++) {
              const std::string name = std::to_string(n);
              if (!WritePair(**store, name).ok()) continue;
              MutexLock lock(mutex);
              answered.push_back(name);
            }
          });
        }
        for (std::thread& writer : writers) writer.join();
        number = upto;
      }
      disk.Reboot(random);
      ++cuts;
      auto store = Open(disk);
      ASSERT_TRUE(store.ok()) << store.error().ToString() << " " << store.error().cause;
      EXPECT_GE(CheckWhole(**store), answered.size());
      for (const std::string& name : answered) ASSERT_NE((*store)->Read()->Get("left/" + name), nullptr) << name;
      if (HasFailure()) return;
    }
    acknowledged += answered.size();
  }
  EXPECT_GE(cuts, 200);
  EXPECT_GT(acknowledged, 500u);
}

class FailedCommit : public testing::TestWithParam<int> {};

TEST_P(FailedCommit, StoresNothingAndLeavesMemoryAsStored) {
  std::mt19937 random(1);
  PowerLossDisk disk;
  auto store = Open(disk, 4000);  // The syncs that fail are those of commits.
  ASSERT_TRUE(store.ok());
  ASSERT_TRUE(WritePair(**store, "1").ok());
  for (const bool sync : {true, false}) {
    SCOPED_TRACE(sync);
    const int64_t revision = (*store)->Read()->revision();
    if (sync) {
      disk.FailSyncs(GetParam(), 1);
    } else {
      disk.FailWrites(GetParam(), 1);
    }
    const Status failed = WritePair(**store, sync ? "lost1" : "lost2");
    ASSERT_FALSE(failed.ok());
    EXPECT_EQ(failed.error().reason, "COMMIT_FAILED");
    EXPECT_EQ((*store)->LastWrite().ok() ? "" : (*store)->LastWrite().error().reason, "COMMIT_FAILED");
    EXPECT_EQ((*store)->Read()->revision(), revision);
    EXPECT_EQ((*store)->Read()->Get("left/lost1"), nullptr);
    // Still broken: refused again, not half stored.
    disk.FailSyncs(GetParam(), 2);
    EXPECT_FALSE(WritePair(**store, "lost3").ok());
    disk.FailSyncs(0, 0);
    ASSERT_TRUE(WritePair(**store, sync ? "2" : "3").ok());
    EXPECT_TRUE((*store)->LastWrite().ok());
    EXPECT_EQ(CheckWhole(**store), sync ? 2u : 3u);
  }
  store->reset();
  disk.Reboot(random);
  store = Open(disk);
  ASSERT_TRUE(store.ok());
  EXPECT_EQ(CheckWhole(**store), 3u);
  for (const char* lost : {"lost1", "lost2", "lost3"}) {
    EXPECT_EQ((*store)->Read()->Get(std::string("left/") + lost), nullptr);
  }
}

INSTANTIATE_TEST_SUITE_P(Causes, FailedCommit, testing::Values(SQLITE_FULL, SQLITE_IOERR_FSYNC, SQLITE_IOERR_WRITE));

// The caller was told "nothing was stored": the power may go before the next write, and it must not be there then.
TEST(FailedCommit, IsNotBackAfterAPowerLossThatFollowsAtOnce) {
  for (unsigned seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    PowerLossDisk disk;
    auto store = Open(disk, 4000);
    ASSERT_TRUE(store.ok());
    ASSERT_TRUE(WritePair(**store, "1").ok());
    disk.FailSyncs(SQLITE_IOERR_FSYNC, 1);
    const Status failed = WritePair(**store, "lost");
    ASSERT_FALSE(failed.ok());
    ASSERT_EQ(failed.error().reason, "COMMIT_FAILED");
    disk.CutAfter(0);
    store->reset();
    disk.Reboot(random);
    store = Open(disk);
    ASSERT_TRUE(store.ok()) << store.error().ToString();
    ASSERT_EQ((*store)->Read()->Get("left/lost"), nullptr);
    ASSERT_EQ(CheckWhole(**store), 1u);
  }
}

// A disk that fails the fence too has not said what it holds: neither is the caller told more than is known.
TEST(FailedCommit, SaysThatItIsUnknownWhenTheDiskDoesNotAnswer) {
  PowerLossDisk disk;
  auto store = Open(disk, 4000);
  ASSERT_TRUE(store.ok());
  ASSERT_TRUE(WritePair(**store, "1").ok());
  disk.FailSyncs(SQLITE_IOERR_FSYNC, 2);
  const Status failed = WritePair(**store, "perhaps");
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().reason, "COMMIT_UNKNOWN");
  ASSERT_TRUE(WritePair(**store, "2").ok());
  EXPECT_EQ(CheckWhole(**store), 2u);
}

TEST(FailedCommit, FailsEveryoneInTheGroup) {
  PowerLossDisk disk;
  auto store = Open(disk, 4000);
  ASSERT_TRUE(store.ok());
  ASSERT_TRUE(WritePair(**store, "first").ok());
  std::atomic<int> waiting{0};
  std::atomic<bool> held{false}, go{false};
  std::vector<std::thread> callers;
  // Holds the writer until the others stand in the queue; they are one group then.
  callers.emplace_back([&] {
    (void)(*store)->Write([&](Txn&) -> Status {
      held = true;
      while (!go) std::this_thread::yield();
      return {};
    });
  });
  while (!held) std::this_thread::yield();
  std::atomic<int> refused{0};
  for (int i = 0; i < 5; ++i) {
    callers.emplace_back([&, i] {
      ++waiting;
      const Status status = WritePair(**store, std::to_string(i));
      if (!status.ok() && status.error().reason == "COMMIT_UNKNOWN") ++refused;
    });
  }
  while (waiting < 5) std::this_thread::yield();
  disk.FailSyncs(SQLITE_IOERR_FSYNC, 100);
  go = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(refused, 5);
  EXPECT_EQ(CheckWhole(**store), 1u);
  disk.FailSyncs(0, 0);
  EXPECT_TRUE(WritePair(**store, "after").ok());
}

// Whoever happens to fill the log would pay for all that wrote before.
TEST(Checkpoint, IsMadeByAThreadOfItsOwnNotByWhoCommits) {
  PowerLossDisk disk;
  auto store = Open(disk, 200);
  ASSERT_TRUE(store.ok());
  ASSERT_TRUE(WritePair(**store, "first").ok());
  const int64_t mine = PowerLossDisk::DatabaseWritesOfThisThread(), syncs = disk.syncs();
  // More than 200 pages and less than 1600, at which a writer helps.
  constexpr int kWrites = 60;
  for (int i = 0; i < kWrites; ++i) ASSERT_TRUE(WritePair(**store, std::to_string(i)).ok());
  // One for each commit, and the checkpoint's.
  EXPECT_TRUE(Eventually([&] { return disk.syncs() > syncs + kWrites; }));
  EXPECT_EQ(PowerLossDisk::DatabaseWritesOfThisThread(), mine);
}

TEST(GroupCommit, SharesOneSyncAmongManyWriters) {
  PowerLossDisk disk;
  const ManualClock clock;  // Its time stands: however slow the machine, no group is cut for how long it took.
  auto store = Open(disk, 40, clock);
  ASSERT_TRUE(store.ok());
  ASSERT_TRUE(WritePair(**store, "first").ok());
  disk.SlowSyncs(1000);
  const int64_t before = disk.syncs();
  std::vector<std::thread> writers;
  writers.reserve(64);
  for (int i = 0; i < 64; ++i) {
    writers.emplace_back([&, i] {
      for (int n = 0; n < 10; ++n) EXPECT_TRUE(WritePair(**store, std::to_string(i * 100 + n)).ok());
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(CheckWhole(**store), 641u);
  EXPECT_LE(static_cast<double>(disk.syncs() - before) / 640, 0.2);
}

}  // namespace
}  // namespace weir::store
