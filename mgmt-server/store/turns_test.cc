#include "mgmt-server/store/turns.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <semaphore>

#include "libs/base/fair_pool.h"
#include "libs/base/ids.h"
#include "mgmt-server/store/sqlite/sqlite_store.h"
#include "mgmt-server/store/temp_store.h"

namespace weir::store {
namespace {

std::string TakeAll(Turns<char>& turns) {
  std::string taken;
  while (!turns.empty()) taken += turns.Take().second;
  return taken;
}

TEST(TurnsTest, ServesOwnersInTurnAndEachInItsOrder) {
  Turns<char> turns;
  for (const char call : {'1', '2', '3', '4'}) turns.Add("digits", call);
  for (const char call : {'a', 'b'}) turns.Add("letters", call);
  turns.Add("signs", '!');
  EXPECT_EQ(TakeAll(turns), "1a!2b34");
}

TEST(TurnsTest, WhatIsPutBackComesNextInTheOrderThatItHad) {
  Turns<char> turns;
  for (const char call : {'1', '2', '3', '4'}) turns.Add("digits", call);
  for (const char call : {'a', 'b', 'c'}) turns.Add("letters", call);
  std::vector<std::pair<std::string, char>> taken;
  for (int i = 0; i < 3; ++i) taken.push_back(turns.Take());
  EXPECT_EQ(taken[2].second, '2');
  turns.PutBack(taken[2].first, taken[2].second);
  turns.PutBack(taken[1].first, taken[1].second);
  EXPECT_EQ(TakeAll(turns), "a2b3c4");
  turns.PutBack("nobody", 'x');
  EXPECT_EQ(TakeAll(turns), "x");
}

// The writer of the real store: a first write holds it while others come.
class StoreTurns : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(folder_);
    SqliteOptions options;
    options.path = folder_ + "/weir.db";
    options.clock = &clock_;
    options.waits = [this] { waits_.release(); };
    options.committed = [this](const Standing&) { ++commits_; };
    auto store = OpenSqlite(options, NoPolicy::Get());
    ASSERT_TRUE(store.ok()) << store.error().ToString();
    store_ = std::move(store).value();
    ASSERT_TRUE(pool_.Post("many", [this] { Write("first"); }));
    begun_.acquire();
  }
  void TearDown() override {
    pool_.Stop();
    store_.reset();
    std::filesystem::remove_all(folder_);
  }
  void Write(const std::string& name) {
    const Status stored = store_->Write([&](Txn& txn) -> Status {
      if (name == "first") {
        begun_.release();
        go_.acquire();
      } else {
        order_ += fmt::format("{}@{} ", name, commits_);
        clock_.Advance(cost_);
      }
      WEIR_TRY(txn.Put({.kind = "Tenant",
                        .fqn = "organizations/o/tenants/" + name,
                        .body = "",
                        .field_owners = {},
                        .expected_etag = ""}));
      return {};
    });
    EXPECT_TRUE(stored.ok()) << stored.error().ToString();
  }
  void Queue(const std::string& owner, const std::string& name) {
    ASSERT_TRUE(pool_.Post(owner, [this, name] { Write(name); }));
    waits_.acquire();
  }
  std::string Order() {
    go_.release();
    pool_.Stop();
    return order_;
  }

  const std::string folder_ = std::filesystem::temp_directory_path() / ("weir-turns-" + RandomHex(6));
  ManualClock clock_;
  std::counting_semaphore<> waits_{0}, begun_{0}, go_{0};
  std::atomic<int> commits_{0};
  Duration cost_{0};   // Of each write but the first.
  std::string order_;  // Of the writer only, one at a time: name, and how many commits there were before.
  std::unique_ptr<Store> store_;
  FairPool pool_{16, 64};
};

TEST_F(StoreTurns, ADearWriteIsCommittedByItselfAndOneWithManyIsServedInTurn) {
  cost_ = std::chrono::seconds(1);
  for (const char* name : {"a", "b", "c"}) Queue("many", name);
  Queue("one", "mine");
  EXPECT_EQ(Order(), "a@1 mine@2 b@3 c@4 ");
}

TEST_F(StoreTurns, CheapWritesShareACommit) {
  for (const char* name : {"a", "b", "c"}) Queue("many", name);
  Queue("one", "mine");
  EXPECT_EQ(Order(), "a@1 mine@1 b@1 c@1 ");
}

}  // namespace
}  // namespace weir::store
