#include "libs/traffic/retry_budget.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>

namespace weir::traffic {
namespace {

TEST(RetryBudget, AlwaysAllowsThree) {
  RetryBudget budget;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(budget.TakeRetry(5'000));
  EXPECT_FALSE(budget.TakeRetry(5'000));
  EXPECT_TRUE(budget.TakeRetry(15'000));
}

TEST(RetryBudget, AllowsAFifthOfTheRequests) {
  RetryBudget budget;
  for (int i = 0; i < 1'000; ++i) budget.CountRequest(1'000);
  int allowed = 0;
  for (int i = 0; i < 1'000; ++i) allowed += budget.TakeRetry(2'000);
  EXPECT_EQ(allowed, 200);
  EXPECT_FALSE(budget.TakeRetry(10'500));
  EXPECT_TRUE(budget.TakeRetry(12'000));
}

TEST(RetryBudget, NeverExceedsItsShareOfAnyTenSeconds) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; ++round) {
    RetryBudget budget;
    std::deque<uint64_t> requests, retries;
    uint64_t now = random() % 100'000;
    for (int i = 0; i < 2'000; ++i) {
      now += random() % 5 == 0 ? random() % 3'000 : random() % 20;
      while (!requests.empty() && requests.front() + 10'000 < now) requests.pop_front();
      while (!retries.empty() && retries.front() + 9'000 < now) retries.pop_front();
      if (random() % 3 != 0) {
        budget.CountRequest(now);
        requests.push_back(now);
      } else if (budget.TakeRetry(now)) {
        retries.push_back(now);
        ASSERT_LE(retries.size(), std::max<size_t>(3, requests.size() / 5));
      }
    }
  }
}

}  // namespace
}  // namespace weir::traffic
