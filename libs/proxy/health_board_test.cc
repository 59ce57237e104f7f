#include "libs/proxy/health_board.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir::proxy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// "a" leads to set "a", "*.b" to sets "b1" and "b2"; one chain for each name, both with the routes of all hosts.
std::shared_ptr<const Plan> TwoHosts() {
  auto routes = std::make_shared<Routes>();
  std::vector<std::shared_ptr<const traffic::VirtualHost>> hosts;
  const auto add = [&](const std::string& domain, const std::vector<std::string>& clusters) {
    auto host = std::make_shared<traffic::VirtualHost>();
    host->name = domain;
    host->domains = {domain};
    auto actions = std::make_shared<std::vector<RouteAction>>();
    for (const std::string& cluster : clusters) {
      host->rules.push_back({traffic::PathKind::kPrefix, "/" + cluster, static_cast<uint32_t>(actions->size())});
      actions->emplace_back().cluster = cluster;
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
    auto cluster = std::make_shared<Cluster>();
    cluster->name = name;
    cluster->localities = {{"c1", 1, 0, false, {{"127.0.0.1", 80, ""}}}};
    snapshot->clusters[name] = cluster;
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

}  // namespace
}  // namespace weir::proxy
