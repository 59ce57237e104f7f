#include "libs/traffic/judge.h"

#include <gtest/gtest.h>

#include <random>

namespace weir::traffic {
namespace {

TEST(Streak, BelievesTheFirstAnswerAndThenOnlyRows) {
  Streak streak;
  EXPECT_EQ(streak.evidence(), Evidence::kNone);
  streak.RecordGood(3);
  EXPECT_EQ(streak.evidence(), Evidence::kGood);
  streak.SetEvidence(Evidence::kBad);
  streak.RecordGood(3);
  streak.RecordGood(3);
  streak.RecordBad(2);  // The row begins anew.
  streak.RecordGood(3);
  streak.RecordGood(3);
  EXPECT_EQ(streak.evidence(), Evidence::kBad);
  EXPECT_TRUE(streak.turning());
  streak.RecordGood(3);
  EXPECT_EQ(streak.evidence(), Evidence::kGood);
  streak.RecordBad(2);
  EXPECT_EQ(streak.evidence(), Evidence::kGood);
  streak.RecordBad(2);
  EXPECT_EQ(streak.evidence(), Evidence::kBad);
}

TEST(Streak, BelievesTheFirstBadAnswerOfSomebodyUnknown) {
  for (const uint32_t down_after : {1u, 2u, 100u}) {
    Streak streak;
    streak.RecordBad(down_after);
    EXPECT_EQ(streak.evidence(), Evidence::kBad) << down_after;
    EXPECT_FALSE(streak.turning());
  }
}

TEST(Streak, WhoWasNeverUpIsUpAtTheFirstGoodAnswer) {
  Streak streak;
  streak.RecordBad(2);
  streak.RecordBad(2);
  EXPECT_EQ(streak.evidence(), Evidence::kBad);
  streak.RecordGood(3);
  EXPECT_EQ(streak.evidence(), Evidence::kGood);
  streak.RecordBad(2);
  EXPECT_EQ(streak.evidence(), Evidence::kGood);  // Going down takes as long as for anybody.
}

TEST(ClusterJudge, ServesBeforeAnythingIsKnown) {
  ClusterJudge judge;
  EXPECT_TRUE(judge.can_serve());
  EXPECT_EQ(judge.deadline_ms(), ClusterJudge::kNever);
}

TEST(ClusterJudge, HasNoHoldForWhoWasNeverSeenAble) {
  ClusterJudge judge;
  judge.Observe(Evidence::kBad, 100);
  EXPECT_FALSE(judge.can_serve());
  judge.Observe(Evidence::kGood, 200);
  EXPECT_TRUE(judge.can_serve());
  EXPECT_EQ(judge.returning(), Candidate::kFull);
}

TEST(ClusterJudge, HoldsAndThenReturnsInTenSteps) {
  ClusterJudge judge;
  judge.Observe(Evidence::kGood, 0);
  judge.Observe(Evidence::kBad, 1'000);
  EXPECT_FALSE(judge.can_serve());
  EXPECT_FALSE(judge.held());
  judge.Observe(Evidence::kGood, 2'000);
  EXPECT_TRUE(judge.held());
  EXPECT_EQ(judge.deadline_ms(), 11'000u);
  judge.Advance(10'999);
  EXPECT_FALSE(judge.can_serve());
  for (uint32_t step = 1; step <= 10; ++step) {
    judge.Advance(judge.deadline_ms());
    ASSERT_TRUE(judge.can_serve());
    ASSERT_EQ(judge.returning(), step);
    ASSERT_EQ(judge.deadline_ms(), 11'000 + step * 1'000u);
  }
  judge.Advance(judge.deadline_ms());
  EXPECT_EQ(judge.deadline_ms(), ClusterJudge::kNever);
}

TEST(ClusterJudge, BeginsTheHoldAnewWithEachRelapse) {
  ClusterJudge judge;
  judge.Observe(Evidence::kGood, 0);
  for (uint64_t now = 1'000; now < 60'000; now += 4'000) {
    judge.Observe(Evidence::kBad, now);
    judge.Observe(Evidence::kGood, now + 2'000);
    ASSERT_FALSE(judge.can_serve());
    ASSERT_EQ(judge.deadline_ms(), now + 10'000);
  }
}

TEST(ClusterJudge, WaitsForProofWhenEvidenceIsGone) {
  ClusterJudge judge;
  judge.Observe(Evidence::kGood, 0);
  judge.Observe(Evidence::kNone, 10);
  EXPECT_TRUE(judge.can_serve());
  judge.Observe(Evidence::kBad, 20);
  judge.Observe(Evidence::kNone, 30);
  judge.Advance(1'000'000);
  EXPECT_FALSE(judge.can_serve());
  EXPECT_TRUE(judge.held());
}

TEST(ClusterJudge, KeepsItsPromisesWhateverComes) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 2'000; ++round) {
    const JudgeTimes times{random() % 3'000, random() % 3'000};
    // One is asked at every step of the clock, the other only when something happens or its deadline has come.
    ClusterJudge often, rarely;
    often.SetTimes(times, 0);
    rarely.SetTimes(times, 0);
    Evidence evidence = Evidence::kNone;
    bool proven = false;
    uint64_t last_bad = 0;
    uint32_t step = Candidate::kFull;
    for (uint64_t now = 1; now < 10'000; now += 1 + random() % 50) {
      if (random() % 20 == 0) {
        const auto next = static_cast<Evidence>(random() % 3);
        if (next == Evidence::kBad && evidence != Evidence::kBad) last_bad = now;
        proven |= next == Evidence::kGood && !(evidence == Evidence::kGood);
        evidence = next;
        often.Observe(evidence, now);
        rarely.Observe(evidence, now);
      }
      often.Advance(now);
      if (rarely.deadline_ms() <= now) rarely.Advance(now);
      ASSERT_EQ(often.can_serve(), rarely.can_serve());
      ASSERT_EQ(often.returning(), rarely.returning());
      ASSERT_TRUE(often.deadline_ms() > now);
      ASSERT_TRUE(evidence != Evidence::kBad || !often.can_serve());
      ASSERT_TRUE(evidence != Evidence::kGood || now < last_bad + times.hold_ms || often.can_serve());
      if (often.can_serve() && often.returning() < Candidate::kFull) {
        ASSERT_TRUE(proven);
        ASSERT_GE(now, last_bad + times.hold_ms);
        ASSERT_TRUE(step == Candidate::kFull || often.returning() >= step);  // A return does not go backwards.
      }
      step = often.can_serve() ? often.returning() : 0;
    }
  }
}

}  // namespace
}  // namespace weir::traffic
