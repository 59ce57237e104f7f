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
  clock.Advance(std::chrono::hours(1));  // None of them is owed anything: there is room for others.
  EXPECT_EQ(bound.Take("a new one"), 0u);
  EXPECT_EQ(bound.Take("another new one"), 0u);
}

TEST(RateLimiter, KeepsACountThatNobodyWasToldYet) {
  ManualClock clock;
  RateLimiter bound(clock, 1, std::chrono::hours(1), 2);
  EXPECT_EQ(bound.Take("a"), 0u);
  EXPECT_EQ(bound.Take("a"), std::nullopt);
  EXPECT_EQ(bound.Take("b"), 0u);
  clock.Advance(std::chrono::hours(1));
  EXPECT_EQ(bound.Take("c"), 0u);
  EXPECT_EQ(bound.Take("a"), 1u);
}

TEST(RateLimiter, WhatIsBeyondSharesByItsKind) {
  ManualClock clock;
  RateLimiter bound(clock, 1, std::chrono::hours(1), 1);
  EXPECT_EQ(bound.Take("a"), 0u);
  EXPECT_EQ(bound.Take("b", "join"), 0u);
  EXPECT_EQ(bound.Take("c", "join"), std::nullopt);
  EXPECT_EQ(bound.Take("c", "renew"), 0u);
}

}  // namespace
}  // namespace weir::audit
