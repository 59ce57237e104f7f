#include "libs/process/backoff.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace weir::process {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;

std::vector<int64_t> Pauses(Backoff& backoff, size_t count) {
  std::vector<int64_t> pauses;
  while (pauses.size() < count) pauses.push_back(std::chrono::duration_cast<milliseconds>(backoff.Next()).count());
  return pauses;
}

TEST(Backoff, DoublesItsCeilingUpToTheMost) {
  struct {
    Backoff::Bounds bounds;
    double random;
    std::vector<int64_t> pauses;  // Milliseconds.
  } const cases[] = {
      {{milliseconds(100), seconds(1)}, 0.0, {50, 50, 50, 50, 50, 50}},
      {{milliseconds(100), seconds(1)}, 0.5, {75, 125, 225, 425, 525, 525}},
      {{milliseconds(100), seconds(1)}, 0.999999999, {99, 199, 399, 799, 999, 999}},
      {{milliseconds(200), milliseconds(200)}, 0.5, {150, 150, 150, 150, 150, 150}},
      {{milliseconds(200), milliseconds(100)}, 0.5, {150, 150, 150, 150, 150, 150}},  // `most` below `first`.
  };
  for (const auto& c : cases) {
    Backoff backoff(c.bounds, [&c] { return c.random; });
    EXPECT_EQ(Pauses(backoff, c.pauses.size()), c.pauses) << c.random;
  }
}

TEST(Backoff, BeginsAnewAfterAnAnswer) {
  Backoff backoff({milliseconds(100), seconds(10)}, [] { return 0.5; });
  EXPECT_THAT(Pauses(backoff, 3), ElementsAre(75, 125, 225));
  backoff.Reset();
  EXPECT_THAT(Pauses(backoff, 2), ElementsAre(75, 125));
}

TEST(Backoff, StaysBelowTheCallersLimitAndNeverBelowItsFirst) {
  Backoff backoff({milliseconds(100), seconds(10)}, [] { return 0.999999999; });
  for (int i = 0; i < 10; ++i) EXPECT_LT(backoff.Next(milliseconds(300)), milliseconds(300));
  EXPECT_GT(backoff.Next(milliseconds(0)), milliseconds(99));
  EXPECT_GT(backoff.Next(), seconds(9));  // The limit was of those calls only.
}

TEST(Backoff, NeverOverflowsHoweverOftenItFails) {
  Backoff backoff({milliseconds(100), std::chrono::hours(24 * 365)}, [] { return 0.999999999; });
  for (int i = 0; i < 10'000; ++i) EXPECT_LE(backoff.Next(), std::chrono::hours(24 * 365));
}

TEST(Backoff, KeepsTwoOfAKindOutOfStep) {
  Backoff one({seconds(1), seconds(10)}), other({seconds(1), seconds(10)});
  std::set<int64_t> pauses;
  for (int i = 0; i < 20; ++i) pauses.insert({one.Next().count(), other.Next().count()});
  EXPECT_GT(pauses.size(), 30u);  // Of 40.
}

}  // namespace
}  // namespace weir::process
