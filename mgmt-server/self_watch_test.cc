#include "mgmt-server/self_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir::server {
namespace {

using std::chrono::hours;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Each thing that may go wrong is made to go wrong, and right again.
class SelfWatchTest : public ::testing::Test {
 protected:
  std::vector<std::string> Reasons() {
    status_.Clear();
    watch_.Fill(status_);
    std::vector<std::string> reasons;
    for (const auto& alarm : status_.alarms()) {
      reasons.push_back(alarm.reason());
      EXPECT_FALSE(alarm.message().empty());
      EXPECT_FALSE(alarm.remedy().empty());
      EXPECT_TRUE(alarm.has_since());
    }
    return reasons;
  }
  std::string Metrics() const {
    std::string out;
    watch_.Render(out);
    return out;
  }

  ManualClock clock_;
  Result<DiskSpace> disk_ = DiskSpace{50ull << 30, 100ull << 30};
  int64_t stored_ = 7, compiled_ = 7;
  Status last_write_;
  size_t broken_invariants_ = 0;
  SelfWatch watch_{{.disk = [this] { return disk_; },
                    .stored = [this] { return stored_; },
                    .compiled = [this] { return compiled_; },
                    .last_write = [this] { return last_write_; },
                    .broken_invariants = [this] { return broken_invariants_; }},
                   clock_};
  v2::ServerStatus status_;
};

TEST_F(SelfWatchTest, IsQuietWhileAllIsWell) {
  EXPECT_THAT(Reasons(), IsEmpty());
  EXPECT_EQ(status_.disk_free_bytes(), 50ll << 30);
  EXPECT_EQ(status_.revision(), 7);
  EXPECT_EQ(status_.compiled_revision(), 7);
  EXPECT_EQ(status_.feed_lag().seconds(), 0);
  EXPECT_FALSE(status_.has_retention_time());
}

TEST_F(SelfWatchTest, CountsInvariantsThatDoNotHold) {
  broken_invariants_ = 2;
  EXPECT_THAT(Reasons(), ElementsAre("INVARIANT_BROKEN"));
  EXPECT_THAT(status_.alarms(0).message(), HasSubstr("2 Invariants do not hold"));
  EXPECT_THAT(Metrics(), HasSubstr("weir_server_alarm{reason=\"INVARIANT_BROKEN\"} 1"));
  broken_invariants_ = 0;
  EXPECT_THAT(Reasons(), IsEmpty());
}

TEST_F(SelfWatchTest, ADiskIsNearlyFullByShareOrBySize) {
  disk_ = DiskSpace{5ull << 30, 100ull << 30};
  EXPECT_THAT(Reasons(), IsEmpty()) << "a twentieth";
  disk_ = DiskSpace{(5ull << 30) - 1, 100ull << 30};
  EXPECT_THAT(Reasons(), ElementsAre("DISK_NEARLY_FULL"));
  EXPECT_THAT(status_.alarms(0).message(), HasSubstr("5120 MiB left of 102400"));
  EXPECT_THAT(Metrics(), HasSubstr("weir_server_alarm{reason=\"DISK_NEARLY_FULL\"} 1"));
  EXPECT_THAT(Metrics(), HasSubstr("weir_server_alarm{reason=\"COMMITS_FAIL\"} 0"));
  disk_ = DiskSpace{(512ull << 20) - 1, 1ull << 30};
  EXPECT_THAT(Reasons(), ElementsAre("DISK_NEARLY_FULL")) << "half of it is free, and it is little";
  disk_ = DiskSpace{512ull << 20, 1ull << 30};
  EXPECT_THAT(Reasons(), IsEmpty());
  EXPECT_THAT(Metrics(), HasSubstr("weir_server_alarm{reason=\"DISK_NEARLY_FULL\"} 0"));
  disk_ = Unavailable("DISK_UNKNOWN", "it is gone");
  EXPECT_THAT(Reasons(), ElementsAre("DISK_UNKNOWN"));
  EXPECT_EQ(status_.disk_bytes(), 0);
}

TEST_F(SelfWatchTest, AFeedThatStandsStillIsBehindAndOneThatMovesIsNot) {
  stored_ = 8;
  EXPECT_THAT(Reasons(), IsEmpty());
  clock_.Advance(SelfWatch::kFeedBehind - seconds(1));
  stored_ = 9;  // More writes do not begin the time anew.
  EXPECT_THAT(Reasons(), IsEmpty());
  EXPECT_EQ(status_.feed_lag().seconds(), 14);
  clock_.Advance(seconds(1));
  EXPECT_THAT(Reasons(), ElementsAre("FEED_BEHIND"));
  EXPECT_THAT(status_.alarms(0).message(), HasSubstr("revision 8"));
  EXPECT_THAT(Metrics(), HasSubstr("weir_server_feed_lag_seconds 15"));
  compiled_ = 8;
  EXPECT_THAT(Reasons(), IsEmpty()) << "it moves";
  clock_.Advance(SelfWatch::kFeedBehind);
  EXPECT_THAT(Reasons(), ElementsAre("FEED_BEHIND")) << "revision 9 waits on";
  compiled_ = 9;
  EXPECT_THAT(Reasons(), IsEmpty());
}

TEST_F(SelfWatchTest, AFailedCommitIsToldUntilOneIsStored) {
  last_write_ = Unavailable("COMMIT_FAILED", "database or disk is full");
  EXPECT_THAT(Reasons(), ElementsAre("COMMITS_FAIL"));
  EXPECT_THAT(status_.alarms(0).message(), HasSubstr("database or disk is full"));
  const int64_t since = status_.alarms(0).since().seconds();
  clock_.Advance(hours(1));
  EXPECT_THAT(Reasons(), ElementsAre("COMMITS_FAIL"));
  EXPECT_EQ(status_.alarms(0).since().seconds(), since) << "it is the same failure";
  last_write_ = {};
  EXPECT_THAT(Reasons(), IsEmpty());
}

TEST_F(SelfWatchTest, ThePastIsLookedThroughInTimeOrSomebodyIsTold) {
  clock_.Advance(SelfWatch::kRetentionBehind - seconds(1));
  EXPECT_THAT(Reasons(), IsEmpty());
  watch_.RetentionPassed(Internal("AUDIT_CHAIN_BROKEN", "record 5 is missing"));
  clock_.Advance(seconds(1));
  EXPECT_THAT(Reasons(), ElementsAre("RETENTION_BEHIND")) << "a pass that failed is none";
  EXPECT_THAT(status_.alarms(0).message(), HasSubstr("record 5 is missing"));
  watch_.RetentionPassed({});
  EXPECT_THAT(Reasons(), IsEmpty());
  EXPECT_TRUE(status_.has_retention_time());
}

TEST(DiskSpaceOf, IsThatOfTheFileSystemOrAnError) {
  const auto space = DiskSpaceOf("/");
  ASSERT_TRUE(space.ok());
  EXPECT_GT(space->all, space->free);
  EXPECT_FALSE(DiskSpaceOf("/nowhere-at-all").ok());
}

}  // namespace
}  // namespace weir::server
