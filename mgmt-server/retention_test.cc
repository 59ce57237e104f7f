#include "mgmt-server/retention.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <map>
#include <random>

#include "libs/base/ids.h"
#include "mgmt-server/audit/audit.h"
#include "mgmt-server/store/temp_store.h"

namespace weir::server {
namespace {

using store::ResourcePtr;
using store::Txn;

template <typename T>
std::string ReasonOf(const Result<T>& result) {
  return result.ok() ? "" : result.error().reason;
}

// A store, and beside it all that ever was.
class RetentionTest : public testing::Test {
 protected:
  struct Was {
    std::string uid, body;
    bool operator==(const Was&) const = default;
  };
  using State = std::map<std::string, Was>;
  struct Version {
    int64_t revision;
    std::string uid, body;
    bool deleted;
    bool operator==(const Version&) const = default;
  };

  RetentionTest() : store_(store::NoPolicy::Get(), clock_) {}

  int64_t Now() { return store_->Read()->revision(); }
  // One write: a few names come, change and go.
  void Write(std::mt19937& random, int names) {
    State next = states_.back();
    std::vector<std::pair<std::string, Version>> versions;
    const Status done = store_->Write([&](Txn& txn) -> Status {
      for (int i = 0; i < 1 + static_cast<int>(random() % 3); ++i) {
        const std::string name = "n" + std::to_string(random() % static_cast<unsigned>(names));
        if (random() % 3 == 0 && txn.Get(name) != nullptr) {
          WEIR_ASSIGN(const ResourcePtr gone, txn.Delete(name));
          versions.push_back({name, {txn.revision(), gone->uid, "", true}});
          next.erase(name);
        } else {
          WEIR_ASSIGN(const ResourcePtr put, txn.Put({"Thing", name, RandomHex(4), {}, {}}));
          versions.push_back({name, {txn.revision(), put->uid, put->body, false}});
          next[name] = {put->uid, put->body};
        }
      }
      audit::Record record;
      record.principal = "ann";
      record.action = "test";
      return audit::Append(txn, std::move(record));
    });
    ASSERT_TRUE(done.ok()) << done.error().ToString();
    for (auto& [name, version] : versions) all_[name].push_back(version);
    changes_ += versions.size();
    sizes_.push_back(versions.size());
    states_.push_back(next);
    times_.push_back(clock_.Wall());
  }
  static State Of(const store::View& view) {
    State state;
    view.ForEach("", "", [&](const ResourcePtr& each) {
      state[each->fqn] = {each->uid, each->body};
      return true;
    });
    return state;
  }
  // What may be kept of one name, newest first, as it is listed: without bodies.
  std::vector<Version> Expected(const std::string& name, int64_t floor) const {
    std::vector<Version> versions;
    const auto all = all_.find(name);
    if (all == all_.end()) return versions;
    for (auto each = all->second.rbegin(); each != all->second.rend(); ++each) {
      const bool oldest = each->revision <= floor;
      if (!oldest || !each->deleted) versions.push_back({each->revision, each->uid, "", each->deleted});
      if (oldest) break;
    }
    return versions;
  }
  void ExpectAll(int64_t floor) {
    EXPECT_EQ(store_->Read()->history_floor(), floor);
    EXPECT_EQ(Of(*store_->Read()), states_.back());
    for (int64_t revision = 0; revision <= Now(); ++revision) {
      const auto view = store_->ReadAt(revision);
      if (revision < floor) {
        EXPECT_EQ(ReasonOf(view), "REVISION_UNKNOWN") << revision;
      } else {
        ASSERT_TRUE(view.ok()) << view.error().ToString();
        EXPECT_EQ(Of(**view), states_[static_cast<size_t>(revision)]) << revision;
      }
    }
    size_t rows = states_[static_cast<size_t>(floor)].size();
    for (int64_t above = floor + 1; above <= Now(); ++above) rows += sizes_[static_cast<size_t>(above - 1)];
    EXPECT_EQ(static_cast<size_t>(Count("versions")), rows) << "nothing is left of what is forgotten";
    for (const auto& [name, versions] : all_) {
      std::vector<Version> kept;
      const auto history = store_->History(name, 1000);
      ASSERT_TRUE(history.ok());
      for (const ResourcePtr& each : *history) {
        kept.push_back({each->revision, each->uid, "", each->deleted});
      }
      EXPECT_EQ(kept, Expected(name, floor)) << name;
    }
  }
  int64_t Count(const std::string& table) { return Sql("SELECT count(*) FROM " + table); }
  // On a connection of its own, as an intruder has one; the number in the first row.
  int64_t Sql(const std::string& sql) {
    sqlite3* db = nullptr;
    EXPECT_EQ(sqlite3_open((store_.folder() + "/weir.db").c_str(), &db), SQLITE_OK);
    int64_t number = 0;
    const auto take = [](void* to, int, char** values, char**) {
      *static_cast<int64_t*>(to) = values[0] == nullptr ? 0 : std::stoll(values[0]);
      return 0;
    };
    EXPECT_EQ(sqlite3_exec(db, sql.c_str(), take, &number, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
    sqlite3_close(db);
    return number;
  }
  void ForgetNow(const RetentionBounds& bounds) {
    const Status done = Forget(*store_, bounds, clock_.Wall(), never_);
    ASSERT_TRUE(done.ok()) << done.error().ToString();
  }

  const std::atomic<bool> never_{false};
  ManualClock clock_;
  store::TempStore store_;
  std::vector<State> states_ = {{}};  // By revision.
  std::vector<size_t> sizes_;         // Changes of revision i + 1.
  std::vector<WallTime> times_;
  std::map<std::string, std::vector<Version>> all_;
  size_t changes_ = 0;
};

constexpr RetentionBounds kWide{.history_age = std::chrono::hours(24 * 3000),
                                .history_changes = 1'000'000,
                                .audit_age = std::chrono::hours(24 * 3000),
                                .audit_records = 1'000'000,
                                .kept_revisions = 3,
                                .kept_records = 3};

TEST_F(RetentionTest, KeepsEveryStateFromTheFloorOnAndNothingBeforeAfterAnySequence) {
  std::mt19937 random(7);
  int64_t floor = 0;
  for (int round = 0; round < 12; ++round) {
    for (int i = 0; i < 15; ++i) {
      clock_.Advance(std::chrono::minutes(random() % 30));
      Write(random, 6);
    }
    RetentionBounds bounds = kWide;
    int64_t expected = floor;
    if (round % 2 == 0) {
      bounds.history_age = std::chrono::hours(1 + random() % 5);
      int64_t by_age = 0;
      for (size_t i = 0; i < times_.size(); ++i) {
        if (times_[i] <= clock_.Wall() - bounds.history_age) by_age = static_cast<int64_t>(i) + 1;
      }
      expected = std::max(expected, by_age);
    } else {
      bounds.history_changes = static_cast<int64_t>(random() % 40);
      size_t newer = 0;
      int64_t by_count = Now();
      while (by_count > floor &&
             newer + sizes_[static_cast<size_t>(by_count - 1)] <= static_cast<size_t>(bounds.history_changes)) {
        newer += sizes_[static_cast<size_t>(--by_count)];
      }
      expected = std::max(expected, by_count);
    }
    floor = std::min(expected, Now() - bounds.kept_revisions);
    ForgetNow(bounds);
    ExpectAll(floor);
  }
}

TEST_F(RetentionTest, GoesInSmallWritesAndWhatWasBegunGoesOn) {
  std::mt19937 random(8);
  for (int i = 0; i < 60; ++i) Write(random, 4);
  const int64_t floor = Now() - 10;
  ASSERT_TRUE(store_->Write([&](Txn& txn) { return txn.ForgetHistory(floor, 3); }).ok());
  EXPECT_EQ(store_->Write([&](Txn& txn) { return txn.ForgetHistory(Now(), 3); }).error().reason, "RETENTION_TOO_NEW");
  int writes = 0;
  while (true) {
    const int64_t before = Count("versions");
    const auto dropped = store_->Write([&](Txn& txn) { return txn.DropForgotten(5, clock_.Wall()); });
    ASSERT_TRUE(dropped.ok());
    if (*dropped == 0) break;
    ++writes;
    EXPECT_LE(before - Count("versions"), 10);
    const auto view = store_->ReadAt(floor);  // Half-way nothing is missing of what is kept.
    ASSERT_TRUE(view.ok());
    EXPECT_EQ(Of(**view), states_[static_cast<size_t>(floor)]);
    EXPECT_EQ(ReasonOf(store_->ReadAt(floor - 1)), "REVISION_UNKNOWN");
  }
  EXPECT_GT(writes, 10);
  ExpectAll(floor);
}

// An agent that was away says which revision it knows, and must not seem to know another past.
TEST_F(RetentionTest, MarksOutliveTheStatesThatTheyAreOf) {
  std::mt19937 random(9);
  for (int i = 0; i < 20; ++i) Write(random, 4);
  const std::string mark = *store_->MarkOf(2);
  RetentionBounds bounds = kWide;
  bounds.history_age = std::chrono::hours(24);
  clock_.Advance(std::chrono::hours(24 * 399));
  ForgetNow(bounds);
  EXPECT_EQ(ReasonOf(store_->ReadAt(2)), "REVISION_UNKNOWN");
  EXPECT_EQ(*store_->MarkOf(2), mark);
  EXPECT_EQ(store_->GetRevision(2)->principal, "ann");
  clock_.Advance(std::chrono::hours(24 * 2));
  ForgetNow(bounds);
  EXPECT_EQ(ReasonOf(store_->MarkOf(2)), "REVISION_UNKNOWN");
  EXPECT_TRUE(store_->MarkOf(Now() - 2).ok());
}

TEST_F(RetentionTest, TheChainOfTheAuditGoesOnFromWhereARecordSaysThatItDoes) {
  std::mt19937 random(10);
  for (int i = 0; i < 100; ++i) Write(random, 4);
  RetentionBounds bounds = kWide;
  bounds.audit_records = 40;
  ForgetNow(bounds);
  EXPECT_EQ(store_->Read()->audit_anchor().sequence, 60);
  EXPECT_EQ(Count("audit"), 41) << "40, and the one that says so";
  const auto whole = audit::Verify(*store_);
  ASSERT_TRUE(whole.ok()) << whole.error().ToString();
  EXPECT_EQ(whole->records, 41);
  EXPECT_EQ(store_->Audit({})->front().sequence, 61);
  ForgetNow(bounds);
  EXPECT_EQ(store_->Read()->audit_anchor().sequence, 60) << "one more is not worth a record of its own";

  for (int i = 0; i < 50; ++i) Write(random, 4);
  bounds.audit_records = 1'000'000;
  bounds.audit_age = std::chrono::hours(10);
  clock_.Advance(std::chrono::hours(11));
  for (int i = 0; i < 20; ++i) Write(random, 4);
  ForgetNow(bounds);
  EXPECT_EQ(store_->Read()->audit_anchor().sequence, 151);
  EXPECT_TRUE(audit::Verify(*store_).ok());
  // Who cuts the beginning by himself, or says so nowhere but in the anchor, is found.
  Sql("DELETE FROM audit WHERE sequence < 160");
  EXPECT_EQ(audit::Verify(*store_).error().reason, "AUDIT_CHAIN_BROKEN");
}

TEST_F(RetentionTest, AnAnchorThatNoRecordNamesIsNone) {
  std::mt19937 random(11);
  for (int i = 0; i < 50; ++i) Write(random, 4);
  const auto cut = store_->Audit({19, 1});
  ASSERT_TRUE(store_->Write([&](Txn& txn) { return txn.ForgetAudit({20, cut->front().hash}, 3); }).ok());
  EXPECT_EQ(audit::Verify(*store_).error().reason, "AUDIT_CHAIN_BROKEN");
}

TEST(RetentionSettings, HaveDefaultsAndRanges) {
  bootstrap::v1::Retention retention;
  FillDefaults(retention);
  std::vector<FieldViolation> violations;
  Check(retention, violations);
  EXPECT_TRUE(violations.empty());
  EXPECT_EQ(BoundsOf(retention).history_age, std::chrono::hours(24 * 400));
  retention.mutable_history_age()->set_seconds(60);
  retention.mutable_audit_age()->set_seconds(0);
  retention.set_history_changes(4999);
  retention.set_audit_records(999);
  Check(retention, violations);
  EXPECT_EQ(violations.size(), 4u);
}

}  // namespace
}  // namespace weir::server
