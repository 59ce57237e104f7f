#include "libs/traffic/share.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace weir::traffic {
namespace {

std::vector<uint64_t> Shares(Mode mode, const std::vector<Candidate>& candidates, bool expect_some = true) {
  std::vector<uint64_t> out(candidates.size());
  EXPECT_EQ(Distribute(mode, candidates, out), expect_some);
  return out;
}
Candidate Up(uint32_t weight) { return {.weight = weight}; }
Candidate Down(uint32_t weight) { return {.weight = weight, .can_serve = false}; }

TEST(Distribute, FollowsTheWeightsWhenAllCanServe) {
  for (const Mode mode : {Mode::kProportional, Mode::kOrdered}) {
    EXPECT_EQ(Shares(mode, {Up(75), Up(25)}), (std::vector<uint64_t>{750, 250}));
  }
}

TEST(Distribute, SpreadsALostShareInProportion) {
  EXPECT_EQ(Shares(Mode::kProportional, {Down(50), Up(30), Up(10)}), (std::vector<uint64_t>{0, 300, 100}));
}

TEST(Distribute, HandsALostShareToTheFirstInOrder) {
  EXPECT_EQ(Shares(Mode::kOrdered, {Down(50), Up(30), Up(20)}), (std::vector<uint64_t>{0, 800, 200}));
  EXPECT_EQ(Shares(Mode::kOrdered, {Down(100), Up(0), Up(0)}), (std::vector<uint64_t>{0, 1000, 0}));
}

TEST(Distribute, UsesStandbysOnlyWhenNoWeightCanServe) {
  EXPECT_EQ(Shares(Mode::kProportional, {Down(60), Up(40), Up(0)}), (std::vector<uint64_t>{0, 400, 0}));
  EXPECT_EQ(Shares(Mode::kProportional, {Down(60), Down(40), Up(0)}), (std::vector<uint64_t>{0, 0, 10}));
}

TEST(Distribute, SaysWhenNoneCanServe) {
  EXPECT_EQ(Shares(Mode::kProportional, {Down(1), Down(0)}, false), (std::vector<uint64_t>{0, 0}));
  EXPECT_EQ(Shares(Mode::kOrdered, {Down(1), Down(0)}, false), (std::vector<uint64_t>{0, 0}));
  EXPECT_FALSE(Distribute(Mode::kProportional, {}, {}));
}

TEST(Distribute, GoesByLocalityWithoutWeights) {
  const Candidate near{.priority = 0}, far{.priority = 1};
  Candidate near_down = near;
  near_down.can_serve = false;
  EXPECT_EQ(Shares(Mode::kProportional, {near, near, far}), (std::vector<uint64_t>{10, 10, 0}));
  EXPECT_EQ(Shares(Mode::kProportional, {near_down, near_down, far}), (std::vector<uint64_t>{0, 0, 10}));
}

TEST(Distribute, LetsAClusterReturnInSteps) {
  Candidate returning = Up(50);
  returning.returning = 3;
  EXPECT_EQ(Shares(Mode::kProportional, {returning, Up(50)}), (std::vector<uint64_t>{150, 500}));
  EXPECT_EQ(Shares(Mode::kOrdered, {returning, Up(50)}), (std::vector<uint64_t>{150, 850}));
}

TEST(Distribute, TakesOverFromTheNextRankInTheSameSteps) {
  Candidate near{.priority = 0, .returning = 3}, far{.priority = 1};
  EXPECT_EQ(Shares(Mode::kProportional, {near, far}), (std::vector<uint64_t>{300'000'000, 700'000'000}));
  EXPECT_EQ(Shares(Mode::kProportional, {near, Candidate{.priority = 0}, far}), (std::vector<uint64_t>{3, 10, 0}));
  Candidate back = Up(60);
  back.returning = 1;
  EXPECT_EQ(Shares(Mode::kProportional, {back, Down(40), Up(0)}), (std::vector<uint64_t>{100'000'000, 0, 900'000'000}));
  EXPECT_EQ(Shares(Mode::kProportional, {back, Down(40), Down(0)}), (std::vector<uint64_t>{60, 0, 0}));
}

TEST(Distribute, GivesAStandbyItsPlaceInTheOrder) {
  EXPECT_EQ(Shares(Mode::kOrdered, {Down(50), Up(0), Up(50)}), (std::vector<uint64_t>{0, 500, 500}));
  EXPECT_EQ(Shares(Mode::kOrdered, {Up(50), Up(0), Down(50)}), (std::vector<uint64_t>{1000, 0, 0}));
}

TEST(Distribute, AsksThoseOnStandbyWhenNobodyElseCanServeByTheirWeights) {
  const auto waits = [](uint32_t weight, uint32_t priority) {
    return Candidate{.weight = weight, .standby = true, .priority = priority};
  };
  const auto p = Mode::kProportional, o = Mode::kOrdered;
  EXPECT_EQ(Shares(p, {Up(60), waits(40, 1)}), (std::vector<uint64_t>{600, 0}));
  EXPECT_EQ(Shares(p, {Down(60), waits(30, 1), waits(10, 1)}), (std::vector<uint64_t>{0, 300, 100}));
  EXPECT_EQ(Shares(p, {waits(30, 0), waits(10, 0)}), (std::vector<uint64_t>{300, 100})) << "all stand by";
  // One of weight 0 that does not is there before them.
  EXPECT_EQ(Shares(p, {Down(60), Candidate{.weight = 0, .priority = 1}, waits(10, 2)}),
            (std::vector<uint64_t>{0, 10, 0}));
  EXPECT_EQ(Shares(o, {Up(60), Up(0), waits(40, 2)}), (std::vector<uint64_t>{600, 0, 0}));
  EXPECT_EQ(Shares(o, {Down(60), Up(40), waits(10, 2)}), (std::vector<uint64_t>{0, 1000, 0}));
  EXPECT_EQ(Shares(o, {Down(60), Down(40), waits(10, 2), waits(90, 3)}), (std::vector<uint64_t>{0, 0, 1000, 0}));
  EXPECT_EQ(Shares(o, {waits(10, 0), waits(90, 1)}), (std::vector<uint64_t>{1, 0}));
  EXPECT_EQ(Shares(o, {Up(0), waits(100, 1)}), (std::vector<uint64_t>{1, 0})) << "of weight 0, and there all the same";
  // Without weights.
  EXPECT_EQ(Shares(p, {Candidate{.priority = 0}, Candidate{.standby = true, .priority = 1}}),
            (std::vector<uint64_t>{10, 0}));
}

TEST(Distribute, NeverGivesToAClusterThatCannotServeAndLosesNothingInOrder) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 20'000; ++round) {
    std::vector<Candidate> candidates(1 + random() % 8);
    uint64_t sum = 0;
    bool any = false;
    for (auto& candidate : candidates) {
      candidate.weight = random() % 4 == 0 ? 0 : static_cast<uint32_t>(random());
      candidate.can_serve = random() % 3 != 0;
      candidate.returning = 1 + random() % 10;
      sum += *candidate.weight;
      any |= candidate.can_serve;
    }
    for (const Mode mode : {Mode::kProportional, Mode::kOrdered}) {
      std::vector<uint64_t> out(candidates.size());
      ASSERT_EQ(Distribute(mode, candidates, out), any);
      for (size_t i = 0; i < out.size(); ++i) ASSERT_TRUE(candidates[i].can_serve || out[i] == 0);
      const uint64_t given = std::accumulate(out.begin(), out.end(), uint64_t{0});
      if (mode == Mode::kOrdered && any) {
        ASSERT_EQ(given, sum * Candidate::kFull);
      } else if (sum > 0) {
        ASSERT_EQ(given > 0, any);
      }
    }
  }
}

// How far a rank has returned is how far the furthest of it has, in whatever order they stand.
TEST(Distribute, ARanksReturnIsThatOfItsFurthestInAnyOrder) {
  std::vector<uint32_t> returning{Candidate::kFull, 3, 1};
  do {
    std::vector<Candidate> candidates;
    candidates.reserve(returning.size() + 1);
    for (const uint32_t one : returning) candidates.push_back({.priority = 0, .returning = one});
    candidates.push_back({.priority = 1});
    const std::vector<uint64_t> out = Shares(Mode::kProportional, candidates);
    for (size_t i = 0; i < 3; ++i) EXPECT_EQ(out[i], returning[i]);
    EXPECT_EQ(out[3], 0u);  // One is back whole: the next rank has nothing to keep.
  } while (std::prev_permutation(returning.begin(), returning.end()));
  returning = {6, 3, 1};
  do {
    std::vector<Candidate> candidates;
    candidates.reserve(returning.size() + 1);
    for (const uint32_t one : returning) candidates.push_back({.priority = 0, .returning = one});
    candidates.push_back({.priority = 1});
    const std::vector<uint64_t> out = Shares(Mode::kProportional, candidates);
    EXPECT_EQ(out[3], 400'000'000u);
    for (size_t i = 0; i < 3; ++i) EXPECT_EQ(out[i], returning[i] * 60'000'000u);
  } while (std::prev_permutation(returning.begin(), returning.end()));
}

TEST(ShareSchedule, RestartsExactlyWhenTheSetThatCanServeChanges) {
  ShareSchedule schedule(Mode::kProportional, std::vector<Candidate>{Up(75), Up(25)});
  EXPECT_DOUBLE_EQ(schedule.Intended(0), 0.75);
  int first = 0;
  for (int i = 0; i < 400; ++i) {
    schedule.Update(Mode::kProportional, std::vector<Candidate>{Up(75), Up(25)});
    first += schedule.Next() == 0;
  }
  EXPECT_EQ(first, 300);
  schedule.Update(Mode::kProportional, std::vector<Candidate>{Down(75), Up(25)});
  for (int i = 0; i < 100; ++i) ASSERT_EQ(schedule.Next(), 1u);
  schedule.Update(Mode::kProportional, std::vector<Candidate>{Down(75), Down(25)});
  EXPECT_EQ(schedule.Next(), QuotaSchedule::kNone);
}

}  // namespace
}  // namespace weir::traffic
