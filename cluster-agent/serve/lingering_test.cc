#include "cluster-agent/serve/lingering.h"

#include <gtest/gtest.h>

namespace weir::agent {
namespace {

using std::chrono::seconds;

TEST(Lingering, LetsInForAWhileWhoRoutesThereNoMore) {
  Lingering lingering;
  const MonoTime start{};
  lingering.Note("pod", {{"a", {"t2", "t3"}}, {"b", {"t2"}}}, {{"a", {"t3"}}}, start);
  EXPECT_EQ(lingering.Of("pod", start), (Admitted{{"a", {"t2"}}, {"b", {"t2"}}}));
  EXPECT_EQ(lingering.Of("other", start), Admitted{});
  EXPECT_FALSE(lingering.Due(start + seconds(9)));
  EXPECT_EQ(lingering.Of("pod", start + seconds(9)).size(), 2u);
  EXPECT_TRUE(lingering.Due(start + Lingering::kFor));
  EXPECT_EQ(lingering.Of("pod", start + Lingering::kFor), Admitted{});
  EXPECT_FALSE(lingering.Due(start + seconds(60)));  // It was told.
}

TEST(Lingering, TimeRunsFromTheDayItTurnedAwayAndNoLonger) {
  Lingering lingering;
  const MonoTime start{};
  lingering.Note("pod", {{"a", {"t2"}}}, {}, start);
  // Other changes of the node do not lengthen it.
  lingering.Note("pod", {{"b", {"t2"}}}, {{"b", {"t2"}}}, start + seconds(5));
  EXPECT_EQ(lingering.Of("pod", start + Lingering::kFor), Admitted{});
  lingering.Note("pod", {{"a", {"t2"}}}, {}, start + seconds(20));
  lingering.Note("pod", {}, {{"a", {"t2"}}}, start + seconds(21));  // It is back.
  EXPECT_EQ(lingering.Of("pod", start + seconds(22)), Admitted{});
}

}  // namespace
}  // namespace weir::agent
