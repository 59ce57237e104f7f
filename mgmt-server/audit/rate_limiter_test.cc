#include "mgmt-server/audit/rate_limiter.h"

#include <gtest/gtest.h>

#include <string>

namespace weir::audit {
namespace {

TEST(RateLimiter, LetsABurstThroughThenOneEach) {
  ManualClock clock;
  RateLimiter bound(clock, 3, std::chrono::seconds(30));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(bound.Take("a"), 0u);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(bound.Take("a"), std::nullopt);
  clock.Advance(std::chrono::seconds(29));
  EXPECT_EQ(bound.Take("a"), std::nullopt);
  clock.Advance(std::chrono::seconds(2));
  EXPECT_EQ(bound.Take("a"), 6u);  // And says how many it left out.
  EXPECT_EQ(bound.Take("a"), std::nullopt);
  EXPECT_EQ(bound.Take("b"), 0u);
}

TEST(RateLimiter, IsBoundedInNamesToo) {
  ManualClock clock;
  RateLimiter bound(clock, 1, std::chrono::hours(1));
  for (int i = 0; i < 4096; ++i) EXPECT_EQ(bound.Take(std::to_string(i)), 0u);
  EXPECT_EQ(bound.Take("one more"), 0u);
  EXPECT_EQ(bound.Take("and another"), std::nullopt);
}

}  // namespace
}  // namespace weir::audit
