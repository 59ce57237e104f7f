#include "libs/resource/admin_state.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

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
        const int64_t ttl = static_cast<int64_t>(random() % 3) * 7;
        const bool same = stack.back().state == state;
        ASSERT_EQ(SetAdminState({.state = state, .ttl = std::chrono::seconds(ttl)}, At(now), cluster),
                  !same || ttl > 0);
        if (same && ttl == 0) continue;
        if (same && stack.size() > 1) stack.pop_back();
        stack.push_back({state, ttl == 0 ? INT64_MAX : now + ttl});
        if (stack.size() > kMostAdminChanges) stack.erase(stack.begin() + 1);
      }
      ASSERT_EQ(cluster.spec().admin_state(), stack.back().state);
    }
  }
}

}  // namespace
}  // namespace weir::resource
