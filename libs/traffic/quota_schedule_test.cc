#include "libs/traffic/quota_schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <map>
#include <numeric>
#include <random>

namespace weir::traffic {
namespace {

// Deals `steps` and returns the worst |count * total - t * weight| / total over every prefix and entry.
double WorstOff(const std::vector<uint64_t>& weights, size_t steps) {
  QuotaSchedule schedule(weights);
  const auto total = static_cast<int64_t>(std::accumulate(weights.begin(), weights.end(), uint64_t{0}));
  std::vector<int64_t> owed(weights.size(), 0);  // t * weight - count * total
  int64_t worst = 0;
  for (size_t t = 0; t < steps; ++t) {
    const size_t pick = schedule.Next();
    if (pick >= weights.size()) return 1e9;
    for (size_t i = 0; i < weights.size(); ++i) owed[i] += static_cast<int64_t>(weights[i]);
    owed[pick] -= total;
    for (const int64_t debt : owed) worst = std::max(worst, std::abs(debt));
  }
  return static_cast<double>(worst) / static_cast<double>(total);
}

TEST(QuotaSchedule, IsLessThanOneRequestOffAtEveryPrefixForTwoToFiftyClusters) {
  std::mt19937_64 random(20261121);
  for (size_t clusters = 2; clusters <= 50; ++clusters) {
    const uint64_t highest = std::vector<uint64_t>{3, 100, 10'000, 4'000'000'000 / clusters}[clusters % 4];
    std::vector<uint64_t> weights(clusters);
    for (auto& weight : weights) weight = 1 + random() % highest;
    const double bound = 1.0 - 1.0 / static_cast<double>(2 * clusters - 2);
    EXPECT_LE(WorstOff(weights, 100'000), bound + 1e-12) << clusters << " clusters";
  }
}

TEST(QuotaSchedule, KeepsTheBoundForManySmallRandomWeights) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 2000; ++round) {
    std::vector<uint64_t> weights(2 + random() % 12);
    for (auto& weight : weights) weight = 1 + random() % 40;
    ASSERT_LT(WorstOff(weights, 1000), 1.0) << "round " << round;
  }
}

TEST(QuotaSchedule, DealsTheFoundingSharesExactlyInEveryPeriod) {
  QuotaSchedule schedule(std::vector<uint64_t>{75, 25});
  std::map<size_t, int> count;
  for (int i = 0; i < 10'000; ++i) ++count[schedule.Next()];
  EXPECT_EQ(count[0], 7500);
  EXPECT_EQ(count[1], 2500);
}

TEST(QuotaSchedule, HasNobodyToServeWhenAllWeightsAreZero) {
  QuotaSchedule schedule(std::vector<uint64_t>{0, 0});
  EXPECT_EQ(schedule.Next(), QuotaSchedule::kNone);
  EXPECT_EQ(QuotaSchedule().Next(), QuotaSchedule::kNone);
}

TEST(QuotaSchedule, NeverPicksAZeroWeight) {
  QuotaSchedule schedule(std::vector<uint64_t>{0, 3, 0, 1, 0});
  for (int i = 0; i < 1000; ++i) {
    const size_t pick = schedule.Next();
    ASSERT_TRUE(pick == 1 || pick == 3);
  }
}

TEST(QuotaSchedule, SameWeightsKeepTheCounters) {
  const std::vector<uint64_t> weights{2, 1};
  QuotaSchedule kept(weights), restarted(weights);
  std::vector<size_t> with, without;
  for (int i = 0; i < 30; ++i) {
    kept.Update(weights);
    with.push_back(kept.Next());
    without.push_back(restarted.Next());
  }
  EXPECT_EQ(with, without);
  kept.Update(std::vector<uint64_t>{1, 1});
  EXPECT_EQ(kept.dealt(), 0u);
  std::map<size_t, int> count;
  for (int i = 0; i < 2; ++i) ++count[kept.Next()];
  EXPECT_EQ(count[0], 1);
  EXPECT_EQ(count[1], 1);
}

// 98/2 and 97/3 by turns, each second, at 16 requests a second: the small one has its 2.5 %.
TEST(QuotaSchedule, CarriesWhatIsOwedOverAChangeOfWeights) {
  QuotaSchedule schedule;
  int small = 0;
  for (int second = 0; second < 40; ++second) {
    schedule.Update(second % 2 == 0 ? std::vector<uint64_t>{98, 2} : std::vector<uint64_t>{97, 3});
    for (int i = 0; i < 16; ++i) small += schedule.Next() == 1;
  }
  EXPECT_NEAR(small, 16, 1);
}

// Whatever the weights and however often they change, nobody is more than two requests off what he was to have. (One
// would be the bound of a schedule that never changes.)
TEST(QuotaSchedule, StaysExactOverAnyChanges) {
  std::mt19937_64 random(41);
  for (int round = 0; round < 300; ++round) {
    std::vector<uint64_t> weights(2 + random() % 6);
    std::vector<double> owed(weights.size(), 0);
    QuotaSchedule schedule;
    for (int change = 0; change < 60; ++change) {
      uint64_t total = 0;
      for (auto& weight : weights) total += weight = 1 + random() % 100;
      schedule.Update(weights);
      for (uint64_t i = random() % 20; i > 0; --i) {
        for (size_t j = 0; j < weights.size(); ++j) {
          owed[j] += static_cast<double>(weights[j]) / static_cast<double>(total);
        }
        --owed[schedule.Next()];
      }
      for (const double one : owed) ASSERT_LT(std::abs(one), 2.0) << "round " << round << ", change " << change;
    }
  }
}

TEST(QuotaSchedule, SurvivesTheLargestWeights) {
  std::vector<uint64_t> weights(50, UINT64_MAX / 64);
  weights[0] = 1;
  QuotaSchedule schedule(weights);
  EXPECT_LE(schedule.total(), QuotaSchedule::kMaxTotal);
  std::map<size_t, int> count;
  for (int i = 0; i < 4900; ++i) ++count[schedule.Next()];
  for (size_t i = 1; i < 50; ++i) EXPECT_NEAR(count[i], 100, 1);
}

}  // namespace
}  // namespace weir::traffic
