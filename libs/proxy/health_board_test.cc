#include "libs/proxy/health_board.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace weir::proxy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// "a" leads to set "a", "*.b" to sets "b1" and "b2"; one chain for each name, both with the routes of all hosts.
std::shared_ptr<const Plan> TwoHosts() {
  auto routes = std::make_shared<Routes>();
  std::vector<std::shared_ptr<const traffic::VirtualHost>> hosts;
  const auto add = [&](const std::string& domain, const std::vector<std::string>& destination_sets) {
    auto host = std::make_shared<traffic::VirtualHost>();
    host->name = domain;
    host->domains = {domain};
    auto actions = std::make_shared<std::vector<RouteAction>>();
    for (const std::string& destination : destination_sets) {
      host->rules.push_back({traffic::PathKind::kPrefix, "/" + destination, static_cast<uint32_t>(actions->size())});
      actions->emplace_back().destination_set = destination;
    }
    hosts.push_back(host);
    routes->actions.push_back(actions);
  };
  add("a.example", {"a"});
  add("*.b.example", {"b1", "b2"});
  routes->table = *traffic::RouteTable::Build(hosts);
  auto listener = std::make_shared<Listener>();
  listener->name = "mesh";
  listener->address = "127.0.0.1";
  const DownstreamTls tls{true, {{"spiffe://edge.acme/ns/t1/sa/t1", false}}};
  listener->chains = {{"a", {"a.example"}, tls, routes, false},
                      {"b", {"*.b.example"}, tls, routes, false},
                      {"c", {"c.example"}, tls, routes, false},
                      {"digest", {"health.c1.acme"}, tls, std::make_shared<Routes>(), true}};
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->listeners = {listener};
  for (const std::string name : {"a", "b1", "b2"}) {
    auto destination = std::make_shared<DestinationSet>();
    destination->name = name;
    destination->localities = {{.cluster = "c1", .weight = 1, .endpoints = {{"127.0.0.1", 80, ""}}}};
    snapshot->destination_sets[name] = destination;
  }
  return *Plan::Build(snapshot, nullptr);
}

std::shared_ptr<const SetHealth> Health(bool can_serve) {
  auto health = std::make_shared<SetHealth>();
  health->can_serve = can_serve;
  health->judged = true;
  health->reason = can_serve ? traffic::Reason::kNone : traffic::Reason::kNoEndpoint;
  return health;
}

TEST(HealthBoard, AHostStandsForItsOwnSetsOnly) {
  const auto plan = TwoHosts();
  const auto& chains = plan->snapshot->listeners[0]->chains;
  EXPECT_THAT(*HealthBoard::SetsOf(chains[0]), ElementsAre("a"));
  EXPECT_THAT(*HealthBoard::SetsOf(chains[1]), ElementsAre("b1", "b2"));
  EXPECT_FALSE(HealthBoard::SetsOf(chains[2]).has_value());  // Its routes do not know it yet.
  FilterChain all = chains[0];
  all.server_names.clear();
  EXPECT_THAT(*HealthBoard::SetsOf(all), ElementsAre("a", "b1", "b2"));
}

TEST(HealthBoard, TellsOfTheHostsBehindWhichNobodyServesAndOfNoOthers) {
  HealthBoard board;
  HealthUpdate update;
  ASSERT_TRUE(board.Update(*TwoHosts(), update));
  EXPECT_THAT(*update.digest, HasSubstr("down c.example no_such_host\n"));
  update = {};
  board.Changed({{"a", Health(true)}, {"b1", Health(false)}, {"b2", Health(true)}}, update);
  EXPECT_THAT(update.digest_changes, HasSubstr("rule *.b.example down prefix /b1\nrule *.b.example up prefix /b2\n"
                                               "down *.b.example partial\n"));
  EXPECT_THAT(update.digest_changes, Not(HasSubstr("a.example")));
  update = {};
  board.Changed({{"b2", Health(false)}}, update);
  EXPECT_EQ(update.digest_changes, "down *.b.example no_endpoint\n");
  update = {};
  board.Changed({{"b1", Health(true)}, {"b2", Health(true)}}, update);
  EXPECT_THAT(update.digest_changes, HasSubstr("up *.b.example\n"));
}

// The same with `change` made to the snapshot.
std::shared_ptr<const Plan> Changed(const std::function<void(Snapshot&)>& change) {
  auto snapshot = std::make_shared<Snapshot>(*TwoHosts()->snapshot);
  change(*snapshot);
  return *Plan::Build(snapshot, nullptr);
}

std::shared_ptr<Routes> CopyOf(const Routes& routes) {
  auto copy = std::make_shared<Routes>();
  copy->table = *traffic::RouteTable::Build(routes.table.hosts());
  copy->actions = routes.actions;
  return copy;
}

std::string DigestOf(const std::shared_ptr<const Plan>& plan) {
  HealthBoard board;
  HealthUpdate update;
  EXPECT_TRUE(board.Update(*plan, update));
  return update.digest == nullptr ? "" : *update.digest;
}

TEST(HealthBoard, WhatIsConfiguredDecidesUntilSomethingIsKnown) {
  const auto with = [](const std::function<void(DestinationSet&)>& change) {
    return DigestOf(Changed([&](Snapshot& snapshot) {
      auto destination = std::make_shared<DestinationSet>(*snapshot.destination_sets["a"]);
      change(*destination);
      snapshot.destination_sets["a"] = destination;
    }));
  };
  EXPECT_THAT(with([](DestinationSet&) {}), Not(HasSubstr("a.example")));  // Nobody checks: it is served.
  EXPECT_THAT(with([](DestinationSet& a) { a.check.emplace(); }), HasSubstr("unsure a.example\n"));
  EXPECT_THAT(with([](DestinationSet& a) { a.digest = true; }), HasSubstr("unsure a.example\n"));
  EXPECT_THAT(with([](DestinationSet& a) { a.localities[0].drained = true; }),
              HasSubstr("down a.example no_endpoint\n"));
  EXPECT_THAT(with([](DestinationSet& a) { a.localities[0].endpoints.clear(); }),
              HasSubstr("down a.example no_endpoint\n"));
  EXPECT_THAT(with([](DestinationSet& a) { a.localities.clear(); }), HasSubstr("down a.example no_endpoint\n"));
  EXPECT_THAT(DigestOf(Changed([](Snapshot& snapshot) { snapshot.destination_sets["a"] = nullptr; })),
              HasSubstr("down a.example no_endpoint\n"));
  EXPECT_THAT(DigestOf(Changed([](Snapshot& snapshot) { snapshot.destination_sets.erase("a"); })),
              HasSubstr("down a.example no_endpoint\n"));
}

TEST(HealthBoard, TellsTheReasonAndForgetsWhatIsNotKnownAnyMore) {
  HealthBoard board;
  HealthUpdate update;
  board.Update(*TwoHosts(), update);
  auto held = std::make_shared<SetHealth>(*Health(false));
  held->reason = traffic::Reason::kHeld;
  update = {};
  board.Changed({{"a", held}}, update);
  EXPECT_EQ(update.digest_changes, "down a.example held\n");
  EXPECT_THAT(*update.digest, HasSubstr("down a.example held\n"));
  const uint64_t version = update.digest_version;
  update = {};
  board.Changed({{"a", held}, {"nobody", held}}, update);  // Nothing new.
  EXPECT_EQ(update.digest, nullptr);
  auto unsure = std::make_shared<SetHealth>(*Health(true));
  unsure->judged = false;
  board.Changed({{"a", unsure}}, update);
  EXPECT_EQ(update.digest_changes, "unsure a.example\n");
  EXPECT_GT(update.digest_version, version);
  update = {};
  board.Changed({{"a", nullptr}}, update);
  EXPECT_EQ(update.digest_changes, "up a.example\n");
}

TEST(HealthBoard, AHostThatIsTakenAwayIsSaidToBeGone) {
  HealthBoard board;
  HealthUpdate update;
  ASSERT_TRUE(board.Update(*TwoHosts(), update));
  update = {};
  EXPECT_FALSE(board.Update(*TwoHosts(), update));  // Nothing new, so nothing is said.
  EXPECT_EQ(update.digest, nullptr);
  const auto without = Changed([](Snapshot& snapshot) {
    auto listener = std::make_shared<Listener>(*snapshot.listeners[0]);
    listener->chains.erase(listener->chains.begin());
    snapshot.listeners = {listener};
  });
  ASSERT_TRUE(board.Update(*without, update));
  EXPECT_EQ(update.digest_changes, "down a.example no_such_host\n");
}

TEST(HealthBoard, SaysNothingWhereNobodyMayAsk) {
  HealthBoard board;
  HealthUpdate update;
  const auto closed = Changed([](Snapshot& snapshot) {
    auto listener = std::make_shared<Listener>(*snapshot.listeners[0]);
    listener->chains.pop_back();
    snapshot.listeners = {listener};
  });
  EXPECT_FALSE(board.Update(*closed, update));
  EXPECT_FALSE(board.wanted());
  board.Changed({{"a", Health(false)}}, update);
  EXPECT_EQ(update.digest, nullptr);
  EXPECT_TRUE(board.Update(*TwoHosts(), update));  // Then it says what it has learned.
  EXPECT_TRUE(board.wanted());
  EXPECT_THAT(*update.digest, HasSubstr("down a.example no_endpoint\n"));
  EXPECT_FALSE(board.Update(*closed, update));
  EXPECT_FALSE(board.wanted());
}

TEST(HealthBoard, WhatIsAnsweredHereCanAlwaysBeServed) {
  for (const bool redirect : {false, true}) {
    const auto plan = Changed([&](Snapshot& snapshot) {
      snapshot.destination_sets.erase("b1");
      auto listener = std::make_shared<Listener>(*snapshot.listeners[0]);
      auto routes = CopyOf(*listener->chains[1].routes);
      auto actions = std::make_shared<std::vector<RouteAction>>(*routes->actions[1]);
      if (redirect) {
        (*actions)[0].redirect.emplace();
      } else {
        (*actions)[0].direct_response.emplace();
      }
      routes->actions[1] = actions;
      listener->chains[1].routes = routes;
      snapshot.listeners = {listener};
    });
    EXPECT_THAT(DigestOf(plan), Not(HasSubstr("b.example")));
    EXPECT_THAT(*HealthBoard::SetsOf(plan->snapshot->listeners[0]->chains[1]), ElementsAre("b2"));
  }
}

// A chain by host speaks for those of its hosts that somebody may call.
TEST(HealthBoard, HostsOfAChainByHostHaveTheirCallers) {
  const auto plan = Changed([](Snapshot& snapshot) {
    auto listener = std::make_shared<Listener>(*snapshot.listeners[0]);
    auto routes = CopyOf(*listener->chains[1].routes);
    routes->callers = {nullptr, std::make_shared<const Callers>(Callers{{"spiffe://edge.acme/ns/t1/sa/t1", false}})};
    DownstreamTls by_host{true, {}, true};
    listener->chains = {{"hosts", {}, by_host, routes, false}, listener->chains.back()};
    snapshot.listeners = {listener};
    snapshot.destination_sets.clear();
  });
  const std::string digest = DigestOf(plan);
  EXPECT_THAT(digest, HasSubstr("down *.b.example no_endpoint\n"));
  EXPECT_THAT(digest, Not(HasSubstr("a.example")));
  EXPECT_THAT(HealthBoard::SetsOf(*plan->snapshot->listeners[0]->chains[0].routes, 1), ElementsAre("b1", "b2"));
}

}  // namespace
}  // namespace weir::proxy
