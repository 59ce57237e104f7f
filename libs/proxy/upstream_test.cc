#include "libs/proxy/upstream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

// Whose turn it is: one worker's view of a destination set, without a connection.

namespace weir::proxy {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using traffic::Candidate;
using traffic::PathKind;
using traffic::RuleHealth;

constexpr uint64_t kNow = 1'000'000;
constexpr uint16_t kA = 1001, kB = 1002, kC = 1003;

Locality Place(std::string cluster, std::optional<uint32_t> weight, std::vector<uint16_t> ports) {
  Locality locality{.cluster = std::move(cluster), .weight = weight, .endpoints = {}};
  for (const uint16_t port : ports) locality.endpoints.push_back({"127.0.0.1", port, ""});
  return locality;
}

std::shared_ptr<DestinationSet> Set(std::vector<Locality> localities) {
  auto destination = std::make_shared<DestinationSet>();
  destination->name = "set";
  destination->localities = std::move(localities);
  return destination;
}

std::string KeyOf(uint16_t port) { return EndpointKey({"127.0.0.1", port, ""}); }

RulesPtr Rules(std::vector<RuleHealth> rules) { return std::make_shared<const traffic::RuleHealths>(std::move(rules)); }
// /beta is dead, the rest is served.
RulesPtr WithoutBeta(bool held = false) {
  return Rules({{.kind = PathKind::kPathSeparated, .path = "/beta", .can_serve = false, .held = held}, {}});
}

class DestinationStateTest : public testing::Test {
 protected:
  void Take(std::vector<Locality> localities) { state.Update(Set(std::move(localities)), kNow); }
  // All localities as `change` leaves them.
  std::vector<std::shared_ptr<Pool>> Judge(const std::function<void(SetHealth&)>& change) {
    auto health = std::make_shared<SetHealth>();
    for (const Locality& locality : state.source()->localities) health->localities.push_back({locality.cluster});
    change(*health);
    return state.SetHealth(health, kNow);
  }
  static uint16_t PortOf(const Choice& choice) { return choice.pool == nullptr ? 0 : choice.pool->endpoint.port; }
  // How often each endpoint was chosen; 0 = nobody.
  std::map<uint16_t, int> Pick(int n, std::string_view target = "/", uint64_t now_ms = kNow) {
    std::map<uint16_t, int> count;
    for (int i = 0; i < n; ++i) ++count[PortOf(state.Pick({.target = target, .now_ms = now_ms}))];
    return count;
  }
  std::map<uint16_t, int> PickInstead(int n, const std::vector<std::shared_ptr<Pool>>& tried,
                                      std::string_view target = "/") {
    std::map<uint16_t, int> count;
    for (int i = 0; i < n; ++i) ++count[PortOf(state.PickInstead({target, kNow, tried}))];
    return count;
  }
  std::shared_ptr<Pool> PoolOf(uint16_t port) {
    for (int i = 0; i < 100; ++i) {
      if (Choice choice = state.Pick({.target = "/", .now_ms = kNow}); PortOf(choice) == port) return choice.pool;
    }
    ADD_FAILURE() << port << " is never chosen";
    return std::make_shared<Pool>();
  }
  using Count = std::map<uint16_t, int>;

  DestinationState state;
};

TEST_F(DestinationStateTest, SharesAreTheWeightsOfThoseThatCanServe) {
  Take({Place("c1", 3, {kA}), Place("c2", 1, {kB}), Place("none", 9, {})});
  EXPECT_EQ(Pick(40), (Count{{kA, 30}, {kB, 10}}));
  Judge([](SetHealth& health) { health.localities[0].can_serve = false; });
  EXPECT_EQ(Pick(8), (Count{{kB, 8}}));
  Judge([](SetHealth& health) { health.localities[1].can_serve = false; });
  EXPECT_EQ(Pick(8), (Count{{kA, 8}}));
  Judge([](SetHealth& health) { health.localities[0].can_serve = health.localities[1].can_serve = false; });
  EXPECT_EQ(Pick(8), (Count{{0, 8}}));
  state.SetHealth(nullptr, kNow);
  EXPECT_EQ(Pick(40), (Count{{kA, 30}, {kB, 10}}));
}

TEST_F(DestinationStateTest, WhatIsDrainedOrCannotBeReadTakesNothing) {
  std::vector<Locality> places = {Place("c1", 1, {kA}), Place("c2", 1, {kB}), Place("c3", 1, {kC})};
  places[0].drained = true;
  places[1].endpoints[0].address = "not an address";
  Take(places);
  EXPECT_EQ(Pick(8), (Count{{kC, 8}}));
  places[2].drained = true;
  Take(places);
  EXPECT_EQ(Pick(8), (Count{{0, 8}}));
}

TEST_F(DestinationStateTest, WhoReturnsTakesItsTenths) {
  Take({Place("c1", 1, {kA}), Place("c2", 1, {kB})});
  Judge([](SetHealth& health) { health.localities[0].returning = 2; });
  EXPECT_EQ(Pick(60), (Count{{kA, 10}, {kB, 50}}));
}

// Without weights the nearest that can serve take all, equally.
TEST_F(DestinationStateTest, WithoutWeightsTheLowestPriorityServes) {
  std::vector<Locality> places = {Place("far", {}, {kA}), Place("near", {}, {kB}), Place("near too", {}, {kC})};
  places[0].priority = 1;
  Take(places);
  EXPECT_EQ(Pick(8), (Count{{kB, 4}, {kC, 4}}));
  Judge([](SetHealth& health) { health.localities[1].can_serve = false; });
  EXPECT_EQ(Pick(8), (Count{{kC, 8}}));
  Judge([](SetHealth& health) { health.localities[1].can_serve = health.localities[2].can_serve = false; });
  EXPECT_EQ(Pick(8), (Count{{kA, 8}}));
}

// The judge's list is of another configuration for a moment.
TEST(CandidatesOf, FindsHealthByName) {
  const auto destination = Set({Place("c1", 1, {kA}), Place("c2", 1, {kB}), Place("c3", 1, {kC})});
  SetHealth health;
  health.localities = {{"c3", false}, {"c1", true, 3}};
  const auto candidates = CandidatesOf(*destination, &health);
  EXPECT_TRUE(candidates[0].can_serve);
  EXPECT_EQ(candidates[0].returning, 3u);
  EXPECT_TRUE(candidates[1].can_serve);  // Nothing is known of it.
  EXPECT_FALSE(candidates[2].can_serve);
  EXPECT_TRUE(CandidatesOf(*destination, nullptr)[2].can_serve);
}

// ---- Endpoints of one cluster

TEST_F(DestinationStateTest, EndpointsTakeTurnsAndTheLessBusyOfTwoIsChosen) {
  Take({Place("c1", 1, {kA, kB})});
  EXPECT_EQ(Pick(20), (Count{{kA, 10}, {kB, 10}}));
  const auto busy = PoolOf(kA);
  busy->open = 1;
  EXPECT_EQ(Pick(20), (Count{{kB, 20}}));
  PoolOf(kB)->open = 1;
  EXPECT_EQ(Pick(20), (Count{{kA, 10}, {kB, 10}}));
}

TEST_F(DestinationStateTest, AnEndpointThatIsOutIsTheLastChoiceAndADeadOneComesAfterIt) {
  Take({Place("c1", 1, {kA, kB, kC})});
  const auto a = PoolOf(kA), b = PoolOf(kB), c = PoolOf(kC);
  EXPECT_THAT(Judge([](SetHealth& health) { health.endpoints = {{KeyOf(kA), true, true}, {KeyOf(kB), true, false}}; }),
              ElementsAre(a));
  EXPECT_EQ(Pick(10), (Count{{kC, 10}}));
  c->open = 9;
  EXPECT_EQ(Pick(10), (Count{{kC, 10}}));  // However busy.
  EXPECT_THAT(Judge([](SetHealth& health) {
                health.endpoints = {{KeyOf(kA), true, true}, {KeyOf(kB), true, false}, {KeyOf(kC), true, true}};
              }),
              ElementsAre(c));  // The other was dead before.
  EXPECT_EQ(Pick(10), (Count{{kB, 10}}));
  b->open = 9;
  EXPECT_EQ(Pick(10), (Count{{kB, 10}}));
  Judge([](SetHealth& health) {
    health.endpoints = {{KeyOf(kA), true, true}, {KeyOf(kB), true, true}, {KeyOf(kC), true, true}};
  });
  EXPECT_EQ(Pick(10), (Count{{kA, 10}}));  // All are dead: the least busy.
  EXPECT_THAT(Judge([](SetHealth&) {}), IsEmpty());
  b->open = c->open = 0;
  EXPECT_FALSE(a->out || a->dead || b->out);
}

TEST_F(DestinationStateTest, WhoWasSilentIsTriedWithOneRequestAtATime) {
  Take({Place("c1", 1, {kA, kB})});
  const auto a = PoolOf(kA);
  Judge([](SetHealth& health) { health.endpoints = {{.key = KeyOf(kA), .on_trial = true}}; });
  EXPECT_EQ(Pick(20), (Count{{kA, 1}, {kB, 19}}));
  EXPECT_EQ(Pick(20, "/", kNow + Pool::kTrialMs - 1), (Count{{kB, 20}}));
  EXPECT_EQ(Pick(20, "/", kNow + Pool::kTrialMs), (Count{{kA, 1}, {kB, 19}}));
  a->open = 1;  // That one is with it still.
  EXPECT_EQ(Pick(20, "/", kNow + 5 * Pool::kTrialMs), (Count{{kB, 20}}));
}

TEST_F(DestinationStateTest, TheOnlyOneOnTrialIsNotGivenASecondRequest) {
  Take({Place("c1", 1, {kA})});
  Judge([](SetHealth& health) { health.endpoints = {{.key = KeyOf(kA), .on_trial = true}}; });
  EXPECT_EQ(Pick(5), (Count{{kA, 1}, {0, 4}}));
  EXPECT_EQ(Pick(5, "/", kNow + Pool::kTrialMs), (Count{{kA, 1}, {0, 4}}));
}

TEST_F(DestinationStateTest, WhoReturnedAMomentAgoLeavesSomeOfItsTurns) {
  Take({Place("c1", 1, {kA, kB})});
  const auto a = PoolOf(kA);
  EXPECT_EQ(a->returned_ms, 0u);
  Judge([](SetHealth& health) { health.endpoints = {{KeyOf(kA), true}}; });
  Judge([](SetHealth&) {});
  EXPECT_NE(a->returned_ms, 0u);
  a->returned_ms = kNow;
  const int at_once = Pick(1000)[kA];
  EXPECT_GT(at_once, 10);
  EXPECT_LT(at_once, 120);  // A tenth of its half.
  EXPECT_EQ(Pick(20, "/", kNow + Pool::kSlowStartMs), (Count{{kA, 10}, {kB, 10}}));
  // A judgement that says the same begins nothing anew.
  const uint64_t before = a->returned_ms;
  Judge([](SetHealth&) {});
  EXPECT_EQ(a->returned_ms, before);
}

TEST(Pool, ReturnsSlowly) {
  Pool pool;
  EXPECT_EQ(pool.TurnsPerMille(5), 1000u);
  pool.returned_ms = kNow;
  EXPECT_EQ(pool.TurnsPerMille(kNow), 100u);
  EXPECT_EQ(pool.TurnsPerMille(kNow - 1), 100u);
  EXPECT_EQ(pool.TurnsPerMille(kNow + Pool::kSlowStartMs / 2), 550u);
  EXPECT_EQ(pool.TurnsPerMille(kNow + Pool::kSlowStartMs - 1), 999u);
  EXPECT_EQ(pool.TurnsPerMille(kNow + Pool::kSlowStartMs), 1000u);
}

TEST(Pool, ConnectionsArePaced) {
  const auto take = [](Pool& pool, uint64_t now_ms) {
    int taken = 0;
    while (taken < 1000 && pool.MayConnect(now_ms)) {
      ++taken;
      ++pool.connecting;
    }
    return taken;
  };
  Pool pool;
  EXPECT_EQ(take(pool, kNow), 8);
  EXPECT_EQ(take(pool, kNow + 9), 0);
  EXPECT_EQ(take(pool, kNow + 30), 3);
  EXPECT_EQ(take(pool, kNow + 100'000), 8);  // Time that passed is not saved up beyond the beginning.
  pool.open = 200;                           // Twice as many a second as are open.
  EXPECT_EQ(take(pool, kNow + 100'010), 4);
  pool.connecting = 0;
  EXPECT_TRUE(pool.MayConnect(kNow + 100'010));  // The only one.
}

TEST(Pool, LivesWhileItAnswers) {
  Pool pool;
  pool.answered_ms = kNow;
  EXPECT_FALSE(pool.AnsweredJustNow(kNow));  // Nothing is open.
  pool.open = 1;
  EXPECT_TRUE(pool.AnsweredJustNow(kNow + 100));
  EXPECT_FALSE(pool.AnsweredJustNow(kNow + 101));
}

// ---- Elsewhere

TEST_F(DestinationStateTest, ARetryLeavesOutWhereItHasBeen) {
  Take({Place("c1", 1, {kA}), Place("c2", 3, {kB}), Place("c3", 1, {kC})});
  const auto a = PoolOf(kA), b = PoolOf(kB), c = PoolOf(kC);
  EXPECT_EQ(PickInstead(40, {a}), (Count{{kB, 30}, {kC, 10}}));
  EXPECT_EQ(PickInstead(8, {a, b}), (Count{{kC, 8}}));
  EXPECT_EQ(PickInstead(8, {a, b, c}), (Count{{0, 8}}));
  EXPECT_EQ(PickInstead(40, {std::make_shared<Pool>()}).size(), 3u);  // What is gone needs not be left out.
  Judge([](SetHealth& health) { health.localities[1].can_serve = false; });
  EXPECT_EQ(PickInstead(8, {a}), (Count{{kC, 8}}));
}

TEST_F(DestinationStateTest, ARetryTakesAnotherEndpointWhenThereIsNoOtherCluster) {
  Take({Place("c1", 1, {kA, kB, kC})});
  const auto a = PoolOf(kA), b = PoolOf(kB), c = PoolOf(kC);
  Judge([](SetHealth& health) { health.endpoints = {{KeyOf(kB), true}}; });
  EXPECT_EQ(PickInstead(8, {a}), (Count{{kC, 8}}));
  EXPECT_EQ(PickInstead(8, {a, c}), (Count{{kB, 8}}));  // Nobody living is left.
  EXPECT_EQ(PickInstead(8, {a, b, c}), (Count{{0, 8}}));
}

TEST_F(DestinationStateTest, ARetryTakesWhomOnlyCautionKeepsOutBeforeNobody) {
  std::vector<Locality> places = {Place("c1", 1, {kA}), Place("c2", 1, {kB}), Place("c3", 1, {kC})};
  places[2].drained = true;
  Take(places);
  const auto a = PoolOf(kA);
  Judge([](SetHealth& health) { health.localities[1].can_serve = false; });
  EXPECT_EQ(PickInstead(8, {a}), (Count{{kB, 8}}));
  Judge([](SetHealth& health) {
    health.localities[1].can_serve = false;
    health.endpoints = {{KeyOf(kB), true}};
  });
  EXPECT_EQ(PickInstead(8, {a}), (Count{{0, 8}}));  // Something speaks against that one, and c3 is drained.
}

// ---- Rules of a host

TEST_F(DestinationStateTest, ADeadRuleMovesNoOthersShare) {
  Take({Place("c1", 3, {kA}), Place("c2", 1, {kB})});
  Judge([](SetHealth& health) {
    health.localities[0].rules = WithoutBeta();
    health.endpoints = {{.key = KeyOf(kA), .rules = WithoutBeta()}};
  });
  Count beta, rest;
  for (int i = 0; i < 40; ++i) {  // By turns: neither bends the other's shares.
    for (const auto& [port, count] : Pick(1, "/beta/x")) beta[port] += count;
    for (const auto& [port, count] : Pick(1, "/betamax")) rest[port] += count;
  }
  EXPECT_EQ(beta, (Count{{kB, 40}}));
  EXPECT_EQ(rest, (Count{{kA, 30}, {kB, 10}}));
  EXPECT_EQ(PickInstead(8, {PoolOf(kB)}, "/beta"), (Count{{0, 8}}));  // c1 does not serve it: no use.
  Judge([](SetHealth&) {});
  EXPECT_EQ(Pick(40, "/beta"), (Count{{kA, 30}, {kB, 10}}));
}

TEST_F(DestinationStateTest, ARuleThatReturnsTakesItsTenths) {
  Take({Place("c1", 1, {kA}), Place("c2", 1, {kB})});
  Judge([](SetHealth& health) { health.localities[0].rules = Rules({{.path = "/beta", .returning = 4}, {}}); });
  EXPECT_EQ(Pick(70, "/beta"), (Count{{kA, 20}, {kB, 50}}));
  EXPECT_EQ(Pick(40, "/"), (Count{{kA, 20}, {kB, 20}}));
}

TEST_F(DestinationStateTest, ARuleIsServedFromWhoIsHeldWhenNobodyElseCan) {
  Take({Place("c1", 1, {kA}), Place("c2", 1, {kB})});
  Judge([](SetHealth& health) {
    health.localities[0].rules = WithoutBeta();
    health.localities[1].rules = WithoutBeta(true);
  });
  EXPECT_EQ(Pick(8, "/beta"), (Count{{kB, 8}}));
  Judge([](SetHealth& health) {
    health.localities[0].rules = WithoutBeta();
    health.localities[1].rules = WithoutBeta();
  });
  EXPECT_EQ(Pick(8, "/beta"), (Count{{0, 8}}));
  EXPECT_EQ(Pick(8, "/"), (Count{{kA, 4}, {kB, 4}}));
  Judge([](SetHealth& health) {  // Who can is asked, not who is held.
    health.localities[1].rules = WithoutBeta(true);
  });
  EXPECT_EQ(Pick(8, "/beta"), (Count{{kA, 8}}));
}

TEST_F(DestinationStateTest, AnEndpointThatDoesNotServeARuleIsNotAskedForIt) {
  Take({Place("c1", 1, {kA, kB})});
  Judge([](SetHealth& health) { health.endpoints = {{.key = KeyOf(kA), .rules = WithoutBeta()}}; });
  EXPECT_EQ(Pick(20, "/beta"), (Count{{kB, 20}}));
  EXPECT_EQ(Pick(20, "/"), (Count{{kA, 10}, {kB, 10}}));
}

// ---- A new configuration

TEST_F(DestinationStateTest, WhatStaysKeepsItsPoolAndWhatIsGoneIsRetired) {
  Take({Place("c1", 1, {kA}), Place("c2", 1, {kB})});
  const auto a = PoolOf(kA), b = PoolOf(kB);
  Judge([](SetHealth& health) { health.endpoints = {{KeyOf(kA), true}}; });
  Take({Place("c3", 1, {kC}), Place("c1", 1, {kA})});
  EXPECT_EQ(PoolOf(kA), a);
  EXPECT_TRUE(a->out);  // What was known of it too.
  EXPECT_FALSE(a->retired);
  EXPECT_TRUE(b->retired);
  EXPECT_EQ(state.LocalityOf(a.get()), 1u);
  EXPECT_EQ(state.LocalityOf(b.get()), SIZE_MAX);
  EXPECT_EQ(state.LocalityName(1), "c1");
  state.Retire();
  EXPECT_TRUE(a->retired);
}

// A connection stands for whom it was opened to: by whom it may be answered, and by which name it asked.
TEST_F(DestinationStateTest, NoPoolOutlivesAChangeOfItsTls) {
  const auto with = [&](std::optional<UpstreamTls> tls, std::string id = "") {
    auto destination = Set({Place("c1", 1, {kA})});
    destination->tls = std::move(tls);
    destination->connect_timeout = std::chrono::milliseconds(0);
    destination->localities[0].endpoints[0].spiffe_id = std::move(id);
    state.Update(destination, kNow);
    return PoolOf(kA);
  };
  const UriMatch one{"spiffe://a/x/", true}, exact{"spiffe://a/x/", false}, other{"spiffe://a/y/", true};
  const std::vector<std::pair<std::optional<UpstreamTls>, std::string>> kinds = {
      {std::nullopt, ""},
      {UpstreamTls{"h", {}}, ""},
      {UpstreamTls{"h", {one}}, ""},
      {UpstreamTls{"h", {exact}}, ""},
      {UpstreamTls{"h", {one, other}}, ""},
      {UpstreamTls{"i", {one}}, ""},
      {UpstreamTls{"i", {one}}, "spiffe://a/z"},
      {UpstreamTls{"i", {one}}, "spiffe://a/zz"},
  };
  for (const auto& [from, from_id] : kinds) {
    for (const auto& [to, to_id] : kinds) {
      const auto before = with(from, from_id);
      const auto after = with(to, to_id);
      const bool same = from == to && from_id == to_id;
      EXPECT_EQ(before == after, same);
      EXPECT_EQ(before->retired, !same);
      EXPECT_EQ(after->wire.plain(), !to.has_value());
      EXPECT_EQ(after->wire.tls(), to.has_value());
      EXPECT_EQ(after->sni, to ? to->sni : "");
      EXPECT_EQ(after->connect_timeout_ms, 1u);
      if (!to) continue;
      const net::TlsPeerRule& rule = *after->wire.rule();
      EXPECT_TRUE(rule.require_certificate);
      EXPECT_EQ(rule.Accepts("spiffe://a/z"), to_id == "spiffe://a/z" || (to_id.empty() && to->allowed_uris.empty()));
      EXPECT_EQ(rule.Accepts("spiffe://a/x/1"),
                to_id.empty() && (to->allowed_uris.empty() || to->allowed_uris[0] == one));
    }
  }
}

}  // namespace
}  // namespace weir::proxy
