#include "libs/traffic/availability.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "libs/traffic/request_evidence.h"

namespace weir::traffic {
namespace {

TEST(Reason, EveryWordIsUniqueAndFindsItsReason) {
  std::set<std::string_view> words;
  for (int i = 0; i <= static_cast<int>(Reason::kRequestTimeout); ++i) {
    const auto reason = static_cast<Reason>(i);
    EXPECT_TRUE(words.insert(Word(reason)).second) << Word(reason);
    EXPECT_EQ(ReasonOf(Word(reason)), reason);
    EXPECT_EQ(Sentence(reason).empty(), reason == Reason::kNone);
  }
  EXPECT_EQ(ReasonOf("what a later version says"), Reason::kNone);
  EXPECT_EQ(Word(static_cast<Reason>(200)), Word(Reason::kRequestTimeout));
}

TEST(Reason, TellsWhoFailedBehindAProxy) {
  EXPECT_EQ(FailureBehind(""), Failure::kNone);  // The application's own answer.
  EXPECT_EQ(FailureBehind("connect_failed"), Failure::kConnect);
  EXPECT_EQ(FailureBehind("no_cluster_can_serve"), Failure::kConnect);
  EXPECT_EQ(FailureBehind("upstream_closed"), Failure::kLost);
  EXPECT_EQ(FailureBehind("bad_status_line"), Failure::kLost);
  EXPECT_EQ(FailureBehind("request_timeout"), Failure::kSilent);
  EXPECT_EQ(FailureBehind("local_shortage"), Failure::kNone);
  EXPECT_EQ(FailureBehind("draining"), Failure::kNone);
  for (const char* word : {"no_cluster_can_serve", "connect_failed", "no_such_cluster", "local_shortage"}) {
    EXPECT_TRUE(ReachedNobody(ReasonOf(word))) << word;
  }
  for (const char* word : {"", "upstream_closed", "request_timeout", "cluster_down", "no_endpoint", "future"}) {
    EXPECT_FALSE(ReachedNobody(ReasonOf(word))) << word;
  }
}

TEST(Assess, NamesTheFirstReasonAndHowMuchSpeaksForIt) {
  const auto gateways = [](uint32_t known, uint32_t usable, uint32_t able) {
    return ClusterEvidence{.gateways = true, .endpoints = known, .usable = usable, .able = able};
  };
  EXPECT_EQ(Assess(gateways(2, 1, 1)), Availability());
  EXPECT_EQ(Assess(gateways(0, 0, 0)), (Availability{Standing::kOut, Reason::kNoGateway, false}));
  EXPECT_EQ(Assess(gateways(2, 0, 0)), (Availability{Standing::kOut, Reason::kGatewaysDown}));
  EXPECT_EQ(Assess(gateways(2, 0, 1)), (Availability{Standing::kCautious, Reason::kGatewaysDown}));
  ClusterEvidence behind = gateways(2, 0, 0);
  behind.behind = 1;
  EXPECT_EQ(Assess(behind), (Availability{Standing::kOut, Reason::kNoEndpoint}));
  behind.answering = 1;
  EXPECT_EQ(Assess(behind), (Availability{Standing::kAnswering, Reason::kNoEndpoint}));
  ClusterEvidence held = gateways(2, 2, 2);
  held.held = true;
  EXPECT_EQ(Assess(held), (Availability{Standing::kCautious, Reason::kHeld}));
  held.drained = true;
  EXPECT_EQ(Assess(held), (Availability{Standing::kOut, Reason::kDrained, false}));
  EXPECT_EQ(Assess({}), (Availability{Standing::kOut, Reason::kNoEndpoint, false}));
  EXPECT_EQ(Assess({.endpoints = 1, .able = 1}), (Availability{Standing::kCautious, Reason::kNoEndpoint}));
}

TEST(NeededToServe, IsTheBestThereIs) {
  const Availability serves{}, held{Standing::kCautious, Reason::kHeld}, out{Standing::kOut, Reason::kNoEndpoint},
      answering{Standing::kAnswering, Reason::kNoEndpoint};
  EXPECT_EQ(NeededToServe(std::vector{serves, held}), Standing::kServes);
  EXPECT_EQ(NeededToServe(std::vector{out, held, answering}), Standing::kCautious);
  EXPECT_EQ(NeededToServe(std::vector{out, answering}), Standing::kAnswering);
  EXPECT_EQ(NeededToServe(std::vector{out}), Standing::kOut);
  EXPECT_EQ(NeededToServe({}), Standing::kOut);
}

Destination To(std::string cluster, std::optional<uint32_t> weight, uint32_t priority = 0) {
  return {.cluster = std::move(cluster), .weight = weight, .priority = priority};
}
using Order = std::vector<std::vector<size_t>>;

TEST(SpreadOf, SaysWhereRequestsGoAndWhereTheyWouldGo) {
  std::vector<Destination> set{To("c1", 75), To("c2", 25), To("standby", 0, 1)};
  Spread spread = SpreadOf(Mode::kProportional, set);
  EXPECT_EQ(spread.shares, (std::vector<double>{0.75, 0.25, 0}));
  EXPECT_EQ(spread.order, (Order{{0, 1}, {2}}));
  EXPECT_EQ(spread.nobody, Reason::kNone);
  set[0].availability = {Standing::kOut, Reason::kDrained};
  spread = SpreadOf(Mode::kProportional, set);
  EXPECT_EQ(spread.shares, (std::vector<double>{0, 1, 0}));
  EXPECT_EQ(spread.order, (Order{{1}, {2}}));
  set[1].availability = {Standing::kOut, Reason::kGatewaysDown};
  set[2].availability = {Standing::kCautious, Reason::kHeld};
  EXPECT_EQ(SpreadOf(Mode::kProportional, set).shares, (std::vector<double>{0, 0, 1}));
  set[2].availability = {Standing::kOut, Reason::kDrained};
  spread = SpreadOf(Mode::kProportional, set);
  EXPECT_EQ(spread.shares, (std::vector<double>{0, 0, 0}));
  EXPECT_TRUE(spread.order.empty());
  EXPECT_EQ(spread.nobody, Reason::kGatewaysDown);
  EXPECT_EQ(SpreadOf(Mode::kOrdered, {}).nobody, Reason::kNoEndpoint);
}

// Whichever stands first in the document: gateways that are down may be back at any moment, those that do not exist are
// not.
TEST(SpreadOf, OfSeveralReasonsSaysTheOneThatIsClosestToAnAnswer) {
  const Reason ordered[] = {Reason::kDrained,    Reason::kNoGateway,  Reason::kGatewaysDown, Reason::kDraining,
                            Reason::kNoSuchHost, Reason::kNoEndpoint, Reason::kHeld};
  for (const Reason far : ordered) {
    for (const Reason close : ordered) {
      if (far > close) continue;
      std::vector<Destination> set = {To("a", 1), To("b", 1)};
      set[0].availability = {Standing::kOut, far};
      set[1].availability = {Standing::kOut, close};
      EXPECT_EQ(SpreadOf(Mode::kProportional, set).nobody, close) << Word(far);
      std::swap(set[0], set[1]);
      EXPECT_EQ(SpreadOf(Mode::kProportional, set).nobody, close) << Word(far);
    }
  }
  EXPECT_TRUE(std::is_sorted(std::begin(ordered), std::end(ordered)));
}

TEST(SpreadOf, InPanicAsksAllWhereThereIsAnybodyAndOnlyWhenNobodyCanServe) {
  const auto with = [](ClusterEvidence evidence) {
    evidence.gateways = true;
    return Assess(evidence);
  };
  const Availability ill = with({.endpoints = 2, .behind = 2});
  const Availability drained = with({.drained = true, .endpoints = 2});
  const Availability empty = with({});
  std::vector<Destination> set = {{"a", 50, 0, Candidate::kFull, ill},
                                  {"b", 30, 0, 1, ill},
                                  {"c", 20, 0, Candidate::kFull, drained},
                                  {"d", 20, 0, Candidate::kFull, empty}};
  Spread spread = SpreadOf(Mode::kProportional, set);
  EXPECT_FALSE(spread.panic);
  EXPECT_EQ(spread.shares, (std::vector<double>{0, 0, 0, 0}));
  spread = SpreadOf(Mode::kProportional, set, true);
  EXPECT_TRUE(spread.panic);
  EXPECT_EQ(spread.shares, (std::vector<double>{0.625, 0.375, 0, 0})) << "slow return is for those that can serve";
  EXPECT_EQ(spread.nobody, Reason::kNoEndpoint) << "why, is said all the same";
  EXPECT_TRUE(spread.order.empty());
  set[1].availability = {};
  spread = SpreadOf(Mode::kProportional, set, true);
  EXPECT_FALSE(spread.panic);
  EXPECT_EQ(spread.shares, (std::vector<double>{0, 1, 0, 0}));
  EXPECT_EQ(spread.nobody, Reason::kNone);
  set = {set[2], set[3]};
  EXPECT_FALSE(SpreadOf(Mode::kProportional, set, true).panic) << "nobody is there to ask";
}

TEST(SpreadOf, FollowsTheOrderWhereOneIsAskedFor) {
  const std::vector<Destination> set{To("c1", 60), To("c2", 0), To("c3", 40)};
  EXPECT_EQ(SpreadOf(Mode::kOrdered, set).order, (Order{{0, 2}, {1}}));
  const std::vector<Destination> near{To("c1", std::nullopt, 1), To("c2", std::nullopt, 0), To("c3", std::nullopt, 1)};
  EXPECT_EQ(SpreadOf(Mode::kProportional, near).order, (Order{{1}, {0, 2}}));
}

// The oracle: only the best standing serves, everybody that is not out has exactly one place in the order, and nobody
// has nowhere to go while one has.
TEST(SpreadOf, NeverSendsToWhoIsOutAndForgetsNobody) {
  std::mt19937_64 random(17);
  for (int round = 0; round < 5'000; ++round) {
    std::vector<Destination> set;
    const bool weighted = random() % 3 != 0;
    size_t alive = 0;
    Standing best = Standing::kOut;
    for (size_t i = 1 + random() % 6; i > 0; --i) {
      Destination one = To(std::to_string(i), std::nullopt, static_cast<uint32_t>(random() % 3));
      if (weighted) one.weight = static_cast<uint32_t>(random() % 3 == 0 ? 0 : random() % 100);
      one.returning = static_cast<uint32_t>(1 + random() % 10);
      one.availability.standing = static_cast<Standing>(random() % 4);
      one.availability.reason = one.availability.standing == Standing::kServes ? Reason::kNone : Reason::kNoEndpoint;
      alive += one.availability.standing != Standing::kOut;
      best = std::min(best, one.availability.standing);
      set.push_back(one);
    }
    if (weighted) set[0].weight = *set[0].weight + 1;  // A list of nothing but standbys is refused.
    for (const Mode mode : {Mode::kProportional, Mode::kOrdered}) {
      const Spread spread = SpreadOf(mode, set);
      double sum = 0;
      for (size_t i = 0; i < set.size(); ++i) {
        sum += spread.shares[i];
        ASSERT_TRUE(spread.shares[i] == 0 || set[i].availability.standing == best);
      }
      ASSERT_NEAR(sum, alive > 0 ? 1 : 0, 1e-9);
      std::set<size_t> placed;
      for (const auto& group : spread.order) {
        ASSERT_FALSE(group.empty());
        for (const size_t i : group) ASSERT_TRUE(placed.insert(i).second);
      }
      ASSERT_EQ(placed.size(), alive);
      ASSERT_EQ(spread.nobody == Reason::kNone, alive > 0);
    }
  }
}

TEST(RuleFor, TakesTheFirstThatAccepts) {
  const RuleHealths rules{{.kind = PathKind::kExact, .path = "/beta/ok"},
                          {.kind = PathKind::kPathSeparated, .path = "/beta", .can_serve = false},
                          {.path = "/a"}};
  EXPECT_TRUE(RuleFor(rules, "/beta/ok?q=1")->can_serve);
  EXPECT_FALSE(RuleFor(rules, "/beta/ok/no")->can_serve);
  EXPECT_FALSE(RuleFor(rules, "/beta")->can_serve);
  EXPECT_EQ(RuleFor(rules, "/betamax"), nullptr);
  EXPECT_TRUE(RuleFor(rules, "/abc")->can_serve);
}

TEST(RequestEvidence, DoubtsLongerEachTimeAndForgets) {
  RequestEvidence evidence;
  uint64_t now = 100;
  for (const uint64_t doubt : {1'000, 2'000, 4'000, 8'000, 16'000, 16'000}) {
    EXPECT_TRUE(evidence.RecordFailure(Failure::kConnect, now));
    EXPECT_FALSE(evidence.RecordFailure(Failure::kConnect, now + 1));
    EXPECT_EQ(evidence.deadline_ms(now), now + doubt);
    EXPECT_TRUE(evidence.unreachable(now + doubt - 1));
    EXPECT_FALSE(evidence.doubted(now + doubt));
    now += doubt;
  }
  now += RequestEvidence::kLongestDoubtMs + RequestEvidence::kForgetMs + 1;
  evidence.RecordFailure(Failure::kConnect, now);
  EXPECT_EQ(evidence.deadline_ms(now), now + 1'000);
}

TEST(RequestEvidence, ACheckEndsEveryDoubtButThatOfSilence) {
  RequestEvidence evidence;
  for (const Failure failure : {Failure::kConnect, Failure::kLost}) {
    evidence.RecordFailure(failure, 100);
    EXPECT_TRUE(evidence.doubted(200));
    EXPECT_EQ(evidence.unreachable(200), failure == Failure::kConnect);
    evidence.RecordHealthy();
    EXPECT_FALSE(evidence.doubted(200));
  }
  evidence.RecordFailure(Failure::kSilent, 300);
  evidence.RecordHealthy();
  EXPECT_TRUE(evidence.doubted(400));
  evidence.RecordAnswer();
  EXPECT_FALSE(evidence.doubted(400));
  EXPECT_FALSE(evidence.on_trial(400));
}

TEST(RequestEvidence, SilenceIsProvenByARowAndThenTriedUntilItAnswers) {
  RequestEvidence evidence;
  evidence.RecordFailure(Failure::kSilent, 100);
  evidence.RecordFailure(Failure::kSilent, 100);
  EXPECT_FALSE(evidence.silent(200));
  EXPECT_TRUE(evidence.RecordFailure(Failure::kSilent, 100));  // The third is news, though a doubt runs.
  EXPECT_TRUE(evidence.silent(200));
  const uint64_t over = evidence.deadline_ms(200);
  EXPECT_FALSE(evidence.silent(over));
  EXPECT_TRUE(evidence.on_trial(over));
  EXPECT_TRUE(evidence.RecordFailure(Failure::kSilent, over));  // One is enough now.
  EXPECT_TRUE(evidence.silent(over + 1));
  evidence.RecordAnswer();
  EXPECT_FALSE(evidence.silent(over + 1));
  evidence.RecordFailure(Failure::kSilent, over + 2);
  EXPECT_FALSE(evidence.silent(over + 3));
}

}  // namespace
}  // namespace weir::traffic
