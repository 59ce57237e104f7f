#include "libs/resource/admin_state.h"

#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <vector>

#include "api/weir/v2/traffic.pb.h"

namespace weir::resource {
namespace {

WallTime At(int64_t seconds) { return WallTime(std::chrono::seconds(1'000'000 + seconds)); }

TEST(AdminState, GoesBackPastWhatHasEnded) {
  v2::Cluster cluster;
  ASSERT_TRUE(SetAdminState({.state = v2::STANDBY}, At(0), cluster));
  ASSERT_TRUE(SetAdminState({.state = v2::MAINTENANCE, .ttl = std::chrono::seconds(10)}, At(1), cluster));
  ASSERT_TRUE(SetAdminState({.state = v2::DRAINING, .ttl = std::chrono::seconds(30)}, At(2), cluster));
  EXPECT_FALSE(SetAdminState({.state = v2::DRAINING}, At(3), cluster)) << "it is so already";
  EXPECT_FALSE(ExpireAdminState(At(31), cluster));
  v2::Cluster undone = cluster;
  ASSERT_TRUE(UndoAdminState(At(5), undone).ok());
  EXPECT_EQ(undone.spec().admin_state(), v2::MAINTENANCE) << "that goes on until its own end";
  EXPECT_TRUE(ExpireAdminState(At(11), undone));
  EXPECT_EQ(undone.spec().admin_state(), v2::STANDBY);
  EXPECT_TRUE(ExpireAdminState(At(32), cluster));
  EXPECT_EQ(cluster.spec().admin_state(), v2::STANDBY) << "the maintenance ended meanwhile";
}

// What a document set is not undone by what the verbs said before it.
TEST(AdminState, IsNotUndoneOnceADocumentSaidSomethingElse) {
  v2::Cluster cluster;
  ASSERT_TRUE(SetAdminState({.state = v2::STANDBY}, At(0), cluster));
  ASSERT_TRUE(SetAdminState({.state = v2::MAINTENANCE}, At(1), cluster));
  cluster.mutable_spec()->set_admin_state(v2::STANDBY);
  EXPECT_EQ(UndoAdminState(At(2), cluster).error().reason, "NOTHING_TO_UNDO");
  EXPECT_EQ(cluster.spec().admin_state(), v2::STANDBY);
}

// What is not said is kept, whichever of the two is said.
TEST(AdminState, SaidAgainKeepsWhatIsNotSaid) {
  using std::chrono::seconds;
  const struct {
    const char* what;
    std::string reason;
    std::optional<Duration> ttl;
    bool changes;
    std::string reason_then;
    std::optional<int64_t> end_then;
  } cases[] = {
      {"nothing", "", {}, false, "disks", 110},
      {"the same reason", "disks", {}, false, "disks", 110},
      {"another reason", "still", {}, true, "still", 110},
      {"another end", "", seconds(50), true, "disks", 150},
      {"no end", "", seconds(0), true, "disks", std::nullopt},
      {"both", "still", seconds(0), true, "still", std::nullopt},
  };
  for (const auto& c : cases) {
    v2::Cluster cluster;
    ASSERT_TRUE(SetAdminState({.state = v2::DRAINING, .reason = "disks", .ttl = seconds(110)}, At(0), cluster));
    EXPECT_EQ(SetAdminState({.state = v2::DRAINING, .reason = c.reason, .ttl = c.ttl}, At(100), cluster), c.changes)
        << c.what;
    ASSERT_EQ(cluster.state().admin_changes_size(), 2) << c.what;
    const v2::AdminChange& now = cluster.state().admin_changes(1);
    EXPECT_EQ(now.reason(), c.reason_then) << c.what;
    EXPECT_EQ(now.has_expire_time(), c.end_then.has_value()) << c.what;
    EXPECT_EQ(now.expire_time().seconds(), c.end_then ? 1'000'000 + *c.end_then : 0) << c.what;
    ASSERT_TRUE(SetAdminState({.state = v2::STANDBY}, At(101), cluster));
    EXPECT_EQ(cluster.state().admin_changes(2).reason(), "") << "another state has nothing of it";
    EXPECT_FALSE(cluster.state().admin_changes(2).has_expire_time());
  }
  v2::Cluster forever;
  ASSERT_TRUE(SetAdminState({.state = v2::DRAINING}, At(0), forever));
  EXPECT_FALSE(SetAdminState({.state = v2::DRAINING, .ttl = seconds(0)}, At(1), forever)) << "it has no end";
}

TEST(AdminState, IsOverdueSomeSecondsAfterItsEnd) {
  v2::Cluster cluster;
  ASSERT_TRUE(SetAdminState({.state = v2::DRAINING}, At(0), cluster));
  ASSERT_TRUE(SetAdminState({.state = v2::ACTIVE, .ttl = std::chrono::seconds(10)}, At(0), cluster));
  EXPECT_EQ(OverdueAdminState(At(14), cluster), std::nullopt);
  EXPECT_EQ(OverdueAdminState(At(16), cluster), v2::DRAINING);
  EXPECT_EQ(cluster.spec().admin_state(), v2::ACTIVE);
}

TEST(AdminState, LeavesAloneWhoIsServedOrAskedWorseThanNow) {
  for (const int now : {0, 1, 2}) {  // 0 = nobody, 1 = asked in panic, 2 = served.
    for (const int then : {0, 1, 2}) {
      v2::FailoverPlan plan;
      plan.set_served_now(now == 2);
      plan.set_panic_now(now == 1);
      plan.set_served_then(then == 2);
      plan.set_panic_then(then == 1);
      EXPECT_EQ(LeavesAlone(plan), then < now) << now << " " << then;
    }
  }
}

// Against a list of all that was ever said.
TEST(AdminState, FollowsAnyOrders) {
  struct Said {
    v2::AdminState state;
    int64_t ends;  // INT64_MAX = never.
  };
  std::mt19937 random(11);
  for (int round = 0; round < 300; ++round) {
    v2::Cluster cluster;
    std::vector<Said> stack{{v2::ACTIVE, INT64_MAX}};
    int64_t now = 0;
    const auto back = [&] {
      do stack.pop_back();
      while (stack.size() > 1 && stack.back().ends <= now);
    };
    for (int step = 0; step < 40; ++step) {
      now += static_cast<int64_t>(random() % 5);
      if (ExpireAdminState(At(now), cluster)) {
        ASSERT_LE(stack.back().ends, now);
        back();
      }
      ASSERT_GT(stack.back().ends, now);
      if (random() % 3 == 0) {
        ASSERT_EQ(UndoAdminState(At(now), cluster).ok(), stack.size() > 1);
        if (stack.size() > 1) back();
      } else {
        const auto state = static_cast<v2::AdminState>(random() % 4);
        const int64_t ttl = static_cast<int64_t>(random() % 4) * 7 - 7;  // Negative: not said.
        const auto said = ttl < 0 ? std::nullopt : std::optional<Duration>(std::chrono::seconds(ttl));
        const bool same = stack.back().state == state;
        const bool changes = !same || ttl > 0 || (ttl == 0 && stack.back().ends != INT64_MAX);
        ASSERT_EQ(SetAdminState({.state = state, .ttl = said}, At(now), cluster), changes);
        if (!changes) continue;
        if (same && stack.size() > 1) stack.pop_back();
        stack.push_back({state, ttl <= 0 ? INT64_MAX : now + ttl});
        if (stack.size() > kMostAdminChanges) stack.erase(stack.begin() + 1);
      }
      ASSERT_EQ(cluster.spec().admin_state(), stack.back().state);
    }
  }
}

}  // namespace
}  // namespace weir::resource
