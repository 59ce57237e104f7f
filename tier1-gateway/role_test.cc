#include "tier1-gateway/role.h"

#include <gtest/gtest.h>

#include "libs/proxy/snapshot.h"

namespace weir::tier1 {
namespace {

std::shared_ptr<proxy::Snapshot> Edge() {
  auto host = std::make_shared<traffic::VirtualHost>();
  host->name = "edge/80/shop.example.com";
  host->domains = {"shop.example.com"};
  host->rules = {{traffic::PathKind::kPrefix, "/", 0}};
  auto routes = std::make_shared<proxy::Routes>();
  routes->name = "edge/80";
  routes->table = traffic::RouteTable::Build({host}).value();
  auto actions = std::make_shared<std::vector<proxy::RouteAction>>(1);
  actions->front().destination_set = "shop";
  routes->actions = {actions};
  auto listener = std::make_shared<proxy::Listener>();
  listener->name = "80";
  listener->address = "127.0.0.1";
  listener->chains.emplace_back().routes = routes;
  auto destination = std::make_shared<proxy::DestinationSet>();
  destination->name = "shop";
  destination->tls.emplace();
  destination->localities.emplace_back().endpoints = {{"127.0.2.10", 15443, "spiffe://c1.acme/ns/a/sa/b"}};
  auto snapshot = std::make_shared<proxy::Snapshot>();
  snapshot->listeners = {listener};
  snapshot->destination_sets["shop"] = destination;
  return snapshot;
}

TEST(Tier1Role, HidesTheTiersOwnPathsFromOutside) {
  const auto adapted = NewTier1Role()->Adapt(Edge());
  ASSERT_TRUE(adapted.ok());
  const proxy::Routes& routes = *(*adapted)->listeners[0]->chains[0].routes;
  const auto action = [&](const char* path) {
    const auto found = routes.table.Match("shop.example.com", path);
    return (*routes.actions[found.host_index])[found.rule->action];
  };
  EXPECT_EQ(action("/.weir/health").direct_response->status, 404u);
  EXPECT_EQ(action("/.weir").direct_response->status, 404u);
  EXPECT_EQ(action("/.weirdo").destination_set, "shop");
  EXPECT_EQ(action("/").destination_set, "shop");
}

TEST(Tier1Role, LeavesUnchangedPiecesTheSameObjects) {
  const auto role = NewTier1Role();
  const auto edge = Edge();
  const auto first = role->Adapt(edge).value();
  const auto second = role->Adapt(std::make_shared<proxy::Snapshot>(*edge)).value();
  EXPECT_EQ(first->listeners[0], second->listeners[0]);
}

TEST(Tier1Role, CallsNobodyWhoNeedNotProveAnIdentity) {
  const auto role = NewTier1Role();
  proxy::DestinationSet destination = *Edge()->destination_sets["shop"];
  EXPECT_TRUE(role->CheckDestinationSet(destination, {}).ok());
  destination.localities[0].endpoints[0].spiffe_id.clear();
  EXPECT_EQ(role->CheckDestinationSet(destination, {}).error().reason, "PEER_IDENTITY");
  destination.tls.reset();
  EXPECT_FALSE(role->CheckDestinationSet(destination, {}).ok());
}

}  // namespace
}  // namespace weir::tier1
