#include "libs/traffic/share.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "libs/traffic/ranking.h"

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
  EXPECT_EQ(Shares(Mode::kOrdered, {Up(0), Up(0)}), (std::vector<uint64_t>{1, 0})) << "no weight is left of the list";
  EXPECT_EQ(Shares(Mode::kOrdered, {Down(0), Up(0)}), (std::vector<uint64_t>{0, 1}));
  EXPECT_EQ(Shares(Mode::kOrdered, {Candidate{.priority = 2}, Candidate{.priority = 1}}), (std::vector<uint64_t>{0, 1}))
      << "without weights, by priority";
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
  EXPECT_EQ(Shares(Mode::kOrdered, {returning, Up(50)}), (std::vector<uint64_t>{150'000'000, 850'000'000}));
}

Candidate Back(Candidate candidate, uint32_t returning) {
  candidate.returning = returning;
  return candidate;
}

// Who takes over takes over in steps, too, whether it has a weight of its own or stands by.
TEST(Distribute, LetsAnHeirReturnInSteps) {
  for (uint32_t step = 1; step < Candidate::kFull; ++step) {
    const uint64_t heir = step * 100'000'000ul, rest = 1'000'000'000 - heir;
    EXPECT_EQ(Shares(Mode::kOrdered, {Down(100), Back(Up(0), step), Up(0)}), (std::vector<uint64_t>{0, heir, rest}));
    EXPECT_EQ(Shares(Mode::kOrdered, {Down(50), Back(Up(30), step), Up(20)}),
              (std::vector<uint64_t>{0, step * 80'000'000ul, 1'000'000'000 - step * 80'000'000ul}));
    EXPECT_EQ(Shares(Mode::kOrdered,
                     {Candidate{.can_serve = false}, Back(Candidate{.priority = 1}, step), Candidate{.priority = 2}}),
              (std::vector<uint64_t>{0, heir, rest}))
        << "without weights";
  }
  // All are returning: the last of the list is no better than the others.
  EXPECT_EQ(Shares(Mode::kOrdered, {Down(100), Back(Up(0), 5), Back(Up(0), 1)}),
            (std::vector<uint64_t>{0, 909'090'909, 90'909'091}));
  EXPECT_EQ(Shares(Mode::kProportional, {Back(Candidate{.priority = 0}, 5), Back(Candidate{.priority = 1}, 1)}),
            (std::vector<uint64_t>{500'000'000, 50'000'000}));
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

// A request of one cluster (`own` = SIZE_MAX: of none) by the words of share.cc: the chance of each to get it.
std::vector<double> Walk(const std::vector<Candidate>& list, size_t own) {
  std::vector<double> got(list.size(), 0);
  double left = 1;
  const auto offer = [&](size_t i) {
    if (!list[i].can_serve) return;
    got[i] = left * list[i].returning / Candidate::kFull;
    left -= got[i];
  };
  if (own != SIZE_MAX) offer(own);
  for (size_t i = 0; i < list.size(); ++i) {
    if (i != own) offer(i);
  }
  for (double& one : got) one /= 1 - left;
  return got;
}

TEST(Distribute, SendsEachRequestDownTheListInOrder) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 5'000; ++round) {
    std::vector<Candidate> list(1 + random() % 7);
    double sum = 0;
    bool any = false;
    for (Candidate& one : list) {
      one.weight = random() % 3 == 0 ? 0 : static_cast<uint32_t>(random() % 100);
      one.standby = random() % 5 == 0;
      one.can_serve = random() % 3 != 0;
      if (random() % 2 == 0) one.returning = 1 + random() % 10;
      if (!one.standby) sum += *one.weight;
      any |= one.can_serve;
    }
    if (!any) continue;
    std::vector<double> expected(list.size(), 0);
    for (size_t own = 0; own < list.size(); ++own) {
      const std::vector<double> got = Walk(list, sum == 0 ? SIZE_MAX : own);
      const double chance = sum == 0            ? 1.0 / static_cast<double>(list.size())
                            : list[own].standby ? 0
                                                : *list[own].weight / sum;
      for (size_t i = 0; i < list.size(); ++i) expected[i] += chance * got[i];
    }
    const std::vector<uint64_t> shares = Shares(Mode::kOrdered, list);
    const auto all = static_cast<double>(std::accumulate(shares.begin(), shares.end(), uint64_t{0}));
    for (size_t i = 0; i < list.size(); ++i) {
      ASSERT_NEAR(static_cast<double>(shares[i]) / all, expected[i], 1e-7) << "round " << round << ", " << i;
    }
  }
}

TEST(Ranking, FoldsWhatComesBehindTheLastStepThatEnvoyKnows) {
  std::vector<Candidate> list;
  for (uint32_t i = 0; i < 300; ++i) list.push_back({.priority = i});
  for (const Mode mode : {Mode::kProportional, Mode::kOrdered}) {
    const Ranking ranking = RankingOf(mode, list);
    EXPECT_EQ(ranking.wanted, 300u);
    EXPECT_EQ(ranking.steps[127], 127u);
    EXPECT_EQ(ranking.steps[128], 128u);
    EXPECT_EQ(ranking.steps[299], 128u);
  }
  for (size_t i = 0; i < 200; ++i) list[i].can_serve = false;
  const std::vector<uint64_t> shares = Shares(Mode::kProportional, list);
  for (size_t i = 200; i < 300; ++i) EXPECT_EQ(shares[i], 10u) << "one step, equally";
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
      const bool whole = std::all_of(candidates.begin(), candidates.end(), [](const Candidate& c) {
        return !c.can_serve || c.returning == Candidate::kFull;
      });
      if (mode == Mode::kOrdered && any) {
        const uint64_t all = whole ? std::max<uint64_t>(1, sum * Candidate::kFull) : 1'000'000'000;
        ASSERT_NEAR(static_cast<double>(given), static_cast<double>(all), whole ? 0 : 20);
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
