#include "libs/traffic/failover_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <set>

namespace weir::traffic {
namespace {

using ::testing::ElementsAre;

using Labels = std::map<std::string, std::string>;
using Candidates = std::vector<FailoverCandidate>;

const ClusterPlace kOwn{"edge", "eu", "a", {{"tier", "gold"}, {"network", "blue"}}};

FailoverCandidate At(const std::string& cluster, const std::string& region, const std::string& zone,
                     std::optional<uint32_t> weight = std::nullopt, Labels labels = {}) {
  return {{cluster, region, zone, std::move(labels)}, weight};
}

TEST(FailoverOrder, SpreadsOverTheOwnZoneThenTheRegionThenAllOthers) {
  const Candidates list{At("us1", "us", "a"), At("eu2", "eu", "b"), At("eu1", "eu", "a"),
                        At("us2", "us", "b"), At("eu3", "eu", "a"), At("edge", "eu", "a")};
  EXPECT_THAT(FailoverOrder(kOwn, list, {}), ElementsAre(2, 1, 0, 2, 0, 0));
}

TEST(FailoverOrder, TakesUnknownPlacesForFar) {
  EXPECT_THAT(FailoverOrder({"edge", "", ""}, Candidates{At("a", "", ""), At("b", "eu", ""), At("edge", "", "")}, {}),
              ElementsAre(1, 1, 0));
  EXPECT_THAT(FailoverOrder(kOwn, Candidates{At("a", "", ""), At("b", "us", "")}, {}), ElementsAre(0, 0));
  EXPECT_THAT(FailoverOrder(kOwn, Candidates{At("a", "eu", ""), At("b", "eu", "b")}, {}), ElementsAre(0, 0));
}

TEST(FailoverOrder, CountsTheLabelsThatAgreeFromTheFirstOn) {
  const FailoverRules rules{.labels = {"tier", "network", "disk=ssd"}};
  const Candidates list{
      At("none", "us", "", std::nullopt, {{"network", "blue"}, {"disk", "ssd"}}),
      At("all", "us", "", std::nullopt, {{"tier", "gold"}, {"network", "blue"}, {"disk", "ssd"}}),
      At("one", "us", "", std::nullopt, {{"tier", "gold"}, {"network", "red"}, {"disk", "ssd"}}),
      At("two", "us", "", std::nullopt, {{"tier", "gold"}, {"network", "blue"}, {"disk", "hdd"}}),
  };
  EXPECT_THAT(FailoverOrder(kOwn, list, rules), ElementsAre(3, 0, 2, 1));
}

TEST(FailoverOrder, NeedsALabelOnBothSidesToAgree) {
  EXPECT_THAT(
      FailoverOrder({"edge", "eu", "a"}, Candidates{At("x", "us", ""), At("y", "us", "", std::nullopt, {{"tier", ""}})},
                    {.labels = {"tier"}}),
      ElementsAre(0, 0));
  EXPECT_THAT(FailoverOrder(kOwn, Candidates{At("x", "us", ""), At("y", "us", "", std::nullopt, {{"tier", ""}})},
                            {.labels = {"tier="}}),
              ElementsAre(1, 0));
}

TEST(FailoverOrder, FollowsRegionPairsStepByStep) {
  const FailoverRules rules{.regions = {{"us", "asia"}, {"eu", "us"}, {"eu", "africa"}, {"asia", "eu"}}};
  const Candidates list{At("any", "moon", ""), At("asia", "asia", ""), At("africa", "africa", ""),
                        At("us", "us", ""),    At("eu", "eu", "b"),    At("any2", "", "")};
  EXPECT_THAT(FailoverOrder(kOwn, list, rules), ElementsAre(4, 3, 2, 1, 0, 4));
}

TEST(FailoverOrder, AsksLabelsBeforeRegions) {
  const FailoverRules rules{.regions = {{"eu", "us"}}, .labels = {"tier"}};
  EXPECT_THAT(FailoverOrder(kOwn,
                            Candidates{At("us", "us", ""), At("asia", "asia", "", std::nullopt, {{"tier", "gold"}}),
                                       At("eu", "eu", "b")},
                            rules),
              ElementsAre(2, 1, 0));
}

TEST(FailoverOrder, PutsTheListInOrderBehindTheOwnLocality) {
  const FailoverRules rules{.mode = Mode::kOrdered, .regions = {{"eu", "asia"}}};
  EXPECT_THAT(FailoverOrder(kOwn, Candidates{At("us", "us", ""), At("asia", "asia", ""), At("us2", "us", "")}, rules),
              ElementsAre(0, 1, 2));
  EXPECT_THAT(FailoverOrder(kOwn, Candidates{At("us", "us", ""), At("eu2", "eu", "b"), At("eu1", "eu", "b")}, rules),
              ElementsAre(2, 0, 1));
}

TEST(FailoverOrder, LeavesWeightsAsTheyAre) {
  const Candidates list{At("us", "us", "", 75), At("eu", "eu", "a", 25)};
  EXPECT_THAT(FailoverOrder(kOwn, list, {}), ElementsAre(0, 0));
  EXPECT_THAT(FailoverOrder(kOwn, list, {.mode = Mode::kOrdered}), ElementsAre(0, 1));
}

TEST(FailoverOrder, PutsStandbysBehindInTheOrderOfTheRules) {
  Candidates list{At("far", "moon", "", 0), At("eu", "eu", "b", 0), At("asia", "asia", "", 0), At("us", "us", "", 10)};
  EXPECT_THAT(FailoverOrder(kOwn, list, {}), ElementsAre(2, 1, 2, 0));
  // What takes over from where the weight stands comes before what happens to be near.
  EXPECT_THAT(FailoverOrder({"edge", "north", ""}, list, {.regions = {{"us", "asia"}}}), ElementsAre(2, 2, 1, 0));
  EXPECT_THAT(FailoverOrder(kOwn, list, {.mode = Mode::kOrdered}), ElementsAre(0, 1, 2, 3));
}

TEST(FailoverOrder, PutsThoseOnStandbyBehindAllOthers) {
  const auto waits = [](FailoverCandidate candidate) {
    candidate.standby = true;
    return candidate;
  };
  const Candidates weighted{waits(At("near", "eu", "a", 50)), At("us", "us", "", 10), At("asia", "asia", "", 0),
                            waits(At("moon", "moon", "", 0)), waits(At("mars", "mars", "", 1))};
  EXPECT_THAT(FailoverOrder(kOwn, weighted, {}), ElementsAre(2, 0, 1, 3, 2));
  EXPECT_THAT(FailoverOrder(kOwn, weighted, {.mode = Mode::kOrdered}), ElementsAre(2, 0, 1, 3, 4));
  const Candidates by_place{waits(At("near", "eu", "a")), At("us", "us", ""), waits(At("moon", "moon", ""))};
  EXPECT_THAT(FailoverOrder(kOwn, by_place, {}), ElementsAre(1, 0, 2));
  EXPECT_THAT(FailoverOrder(kOwn, by_place, {.mode = Mode::kOrdered}), ElementsAre(1, 0, 2));
}

// --- Properties, in random cases ---

class Cases {
 public:
  explicit Cases(unsigned seed) : random_(seed) {}
  unsigned Pick(unsigned n) { return static_cast<unsigned>(random_() % n); }
  std::string Region() { return std::vector<std::string>{"", "r1", "r2", "r3"}[Pick(4)]; }
  ClusterPlace Place(const std::string& cluster) {
    ClusterPlace place{cluster, Region(), std::vector<std::string>{"", "z1", "z2"}[Pick(3)]};
    for (const char* key : {"a", "b"}) {
      if (Pick(2) == 0) place.labels[key] = std::to_string(Pick(2));
    }
    return place;
  }
  Candidates List(bool weighted) {
    Candidates list;
    const unsigned size = 1 + Pick(7);
    for (unsigned i = 0; i < size; ++i) {
      list.push_back({Place("c" + std::to_string(i)), std::nullopt});
      if (weighted) list.back().weight = Pick(2) == 0 ? 0 : 1 + Pick(9);
    }
    if (weighted) list[Pick(size)].weight = 1;
    return list;
  }
  FailoverRules Rules() {
    FailoverRules rules;
    rules.mode = Pick(3) == 0 ? Mode::kOrdered : Mode::kProportional;
    for (unsigned i = Pick(4); i > 0; --i) rules.regions.push_back({Region(), Region()});
    for (unsigned i = Pick(3); i > 0; --i) {
      rules.labels.push_back(std::vector<std::string>{"a", "b", "a=1", "none"}[Pick(4)]);
    }
    return rules;
  }
  std::mt19937 random_;
};

TEST(FailoverOrder, GivesEveryCandidateAPlaceWithoutGaps) {
  Cases cases(1);
  for (int i = 0; i < 3'000; ++i) {
    const ClusterPlace own = cases.Place(cases.Pick(2) == 0 ? "edge" : "c0");
    const Candidates list = cases.List(cases.Pick(2) == 0);
    const FailoverRules rules = cases.Rules();
    const auto order = FailoverOrder(own, list, rules);
    ASSERT_EQ(order.size(), list.size());
    ASSERT_EQ(order, FailoverOrder(own, list, rules));
    const std::set<uint32_t> used(order.begin(), order.end());
    ASSERT_EQ(*used.begin(), 0u);
    ASSERT_EQ(*used.rbegin() + 1, used.size());
    for (size_t at = 0; at < list.size(); ++at) {
      if (list[at].weight && rules.mode == Mode::kProportional) {
        ASSERT_EQ(order[at] == 0, *list[at].weight > 0);
      }
    }
  }
}

TEST(FailoverOrder, DoesNotDependOnTheListUnlessItIsTheOrder) {
  Cases cases(2);
  for (int i = 0; i < 1'500; ++i) {
    const ClusterPlace own = cases.Place("edge");
    const Candidates list = cases.List(cases.Pick(2) == 0);
    FailoverRules rules = cases.Rules();
    rules.mode = Mode::kProportional;
    const auto order = FailoverOrder(own, list, rules);
    std::vector<size_t> shuffle(list.size());
    std::iota(shuffle.begin(), shuffle.end(), 0);
    std::shuffle(shuffle.begin(), shuffle.end(), cases.random_);
    Candidates other;
    for (const size_t at : shuffle) other.push_back(list[at]);
    const auto reordered = FailoverOrder(own, other, rules);
    for (size_t at = 0; at < shuffle.size(); ++at) ASSERT_EQ(reordered[at], order[shuffle[at]]);
  }
}

// The order and the distribution together: whoever dies, somebody takes the traffic, and always the nearest that can.
TEST(FailoverOrder, LeadsAlwaysToSomebodyWhoCanServe) {
  Cases cases(3);
  for (int i = 0; i < 3'000; ++i) {
    const Candidates list = cases.List(cases.Pick(2) == 0);
    const FailoverRules rules = cases.Rules();
    const auto order = FailoverOrder(cases.Place("edge"), list, rules);
    std::vector<Candidate> candidates(list.size());
    std::vector<uint64_t> shares(list.size());
    uint32_t first = UINT32_MAX;
    bool weight_serves = false;
    for (size_t at = 0; at < list.size(); ++at) {
      candidates[at] = {.weight = list[at].weight, .can_serve = cases.Pick(2) == 0, .priority = order[at]};
      if (!candidates[at].can_serve) continue;
      first = std::min(first, order[at]);
      weight_serves = weight_serves || list[at].weight.value_or(0) > 0;
    }
    const bool any = Distribute(rules.mode, candidates, shares);
    ASSERT_EQ(any, first != UINT32_MAX);
    for (size_t at = 0; at < list.size(); ++at) {
      if (!candidates[at].can_serve) {
        ASSERT_EQ(shares[at], 0u);
      }
      if (list[at].weight && rules.mode == Mode::kOrdered) continue;  // By the list: share_test.cc.
      ASSERT_EQ(shares[at] > 0, candidates[at].can_serve && order[at] == first);
      if (weight_serves && shares[at] > 0) {
        ASSERT_GT(*list[at].weight, 0u);
      }
    }
  }
}

}  // namespace
}  // namespace weir::traffic
