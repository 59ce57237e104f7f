#include "mgmt-server/fleet/held_agents.h"

#include <gtest/gtest.h>

#include "mgmt-server/store/temp_store.h"

namespace weir::fleet {
namespace {

const std::string kCluster = "organizations/o/clusters/c1";

xds::Node Holding(const std::string& origin) {
  xds::Node node;
  if (!origin.empty()) node.metadata[std::string(xds::kOriginKey)] = origin;
  return node;
}

void Grow(store::Store& store, int writes) {
  for (int i = 0; i < writes; ++i) {
    ASSERT_TRUE(
        store.Write([&](store::Txn& txn) { return txn.Put({"Thing", "t/" + RandomHex(6), "body", {}, ""}); }).ok());
  }
}

TEST(HeldAgents, HoldsExactlyThoseWhoKnowMoreOrElse) {
  store::TempStore ours, other;
  Grow(*ours, 3);
  const xds::Position third = ours->Read()->position();
  Grow(*ours, 2);
  const xds::Position fifth = ours->Read()->position();
  Grow(*other, 3);
  xds::Position ahead = fifth, apart = third;
  ahead.mark = "6-00000000";
  apart.mark = "3-00000000";
  const struct {
    const char* who;
    std::string origin;
    const char* reason;  // A part of it; "" = not held.
  } cases[] = {
      {"never acknowledged anything", "", ""},
      {"acknowledged the present", fifth.ToText(), ""},
      {"acknowledged the past", third.ToText(), ""},
      {"acknowledged an empty state", xds::Position{fifth.lineages, "0-"}.ToText(), ""},
      {"acknowledged more", ahead.ToText(), "acknowledged revision 6, this server's state is at revision 5"},
      {"acknowledged another third revision", apart.ToText(), "grew apart"},
      {"acknowledged another server", other->Read()->position().ToText(), "another server"},
      {"says what nobody says", "nonsense", "cannot name"},
  };
  for (const auto& c : cases) {
    HeldAgents held(*ours);
    const bool is_held = c.reason[0] != '\0';
    const std::string key = held.KeyFor(kCluster, Holding(c.origin));
    EXPECT_EQ(HeldAgents::IsHeldKey(key), is_held) << c.who;
    EXPECT_EQ(key == kCluster, !is_held) << c.who;
    EXPECT_EQ(held.List().size(), is_held ? 1u : 0u) << c.who;
    EXPECT_NE(held.Reason(kCluster).find(c.reason), std::string::npos) << c.who << ": " << held.Reason(kCluster);
    if (!is_held) continue;
    for (const bool opened : {true, true, false}) held.OnStream(key, opened);
    EXPECT_EQ(held.List().size(), 1u) << c.who << ": a stream of it stands";
    held.OnStream(key, false);
    EXPECT_EQ(held.Reason(kCluster), "") << c.who;
  }
}

TEST(HeldAgents, AdoptionFreesWhoHeldThisHistoryAndWhoComesAgainIsForgotten) {
  store::TempStore ours;
  Grow(*ours, 2);
  xds::Position ahead = ours->Read()->position();
  ahead.mark = "9-00000000";
  HeldAgents held(*ours);
  ASSERT_TRUE(HeldAgents::IsHeldKey(held.KeyFor(kCluster, Holding(ahead.ToText()))));
  ASSERT_TRUE(ours->Write([](store::Txn& txn) { return txn.AdoptState(); }).ok());
  EXPECT_EQ(held.KeyFor(kCluster, Holding(ahead.ToText())), kCluster);
  EXPECT_TRUE(held.List().empty());
  // What is acknowledged from now on counts again.
  xds::Position later = ours->Read()->position();
  later.mark = "9-00000000";
  EXPECT_TRUE(HeldAgents::IsHeldKey(held.KeyFor(kCluster, Holding(later.ToText()))));
}

TEST(HeldAgents, CountsWhatWouldGoBack) {
  HeldAgent agent{kCluster, "why", {}};
  agent.serves[std::string(xds::kMeshHost)] = {{"same", "1"}, {"changed", "2"}, {"gone", "3"}};
  auto ours = std::make_shared<xds::Snapshot>();
  xds::Resources hosts;
  for (const auto& [name, version] :
       std::map<std::string, std::string>{{"same", "1"}, {"changed", "7"}, {"new", "1"}}) {
    hosts[name] = std::make_shared<xds::Resource>(xds::Resource{name, version, "", {}});
  }
  ours->types[std::string(xds::kMeshHost)] = std::make_shared<xds::Resources>(hosts);
  ours->types[std::string(xds::kMeshListener)] = std::make_shared<xds::Resources>();
  const v2::HeldCluster plan = WhatGoesBack(agent, ours);
  ASSERT_EQ(plan.intents_size(), 1);
  EXPECT_EQ(plan.intents(0).type(), "Host");
  EXPECT_EQ(plan.intents(0).removed(), 1);
  EXPECT_EQ(plan.intents(0).changed(), 1);
  EXPECT_EQ(plan.intents(0).added(), 1);
  EXPECT_EQ(std::vector<std::string>(plan.intents(0).names().begin(), plan.intents(0).names().end()),
            (std::vector<std::string>{"~changed", "-gone", "+new"}));
}

}  // namespace
}  // namespace weir::fleet
