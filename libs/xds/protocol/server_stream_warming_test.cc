#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/xds/protocol/server_stream_fixture.h"

// T31, T37: a changed Cluster waits for the endpoints that it names.
namespace weir::xds {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Envoy: a Cluster that changes is acknowledged when it is warm, so its endpoints are answered and changed meanwhile.
TEST_F(StreamTest, T31EndpointsNeverWaitForAClusterThatIsNotWarmInBothProtocols) {
  const auto content = [](const char* endpoints) {
    return Make({{kCluster, {{"c", EdsCluster("c")}}}, {kEndpoints, {{"c", endpoints}}}, {kListener, {{"l", "L"}}}});
  };
  stream_->SetSnapshot(content("none"));
  for (const auto type : {kCluster, kListener}) ASSERT_TRUE(Delta(type, {"*"}).ok());
  EXPECT_EQ(NextDelta(), "Cluster +c");
  ASSERT_TRUE(Delta(kEndpoints, {"c"}).ok());
  for (const char* endpoints : {"none", "scaled up", "drained"}) {
    stream_->SetSnapshot(content(endpoints));
    EXPECT_EQ(NextDelta(), "ClusterLoadAssignment +c") << endpoints;
    EXPECT_EQ(delta_.resources(0).resource().value(), endpoints);
    ASSERT_TRUE(Ack().ok());
    EXPECT_EQ(NextDelta(), "") << "listeners wait";
  }
  Rules(EnvoyRules());
  stream_->SetSnapshot(content("none"));
  for (const auto type : {kCluster, kListener}) ASSERT_TRUE(World(type).ok());
  EXPECT_EQ(NextWorld(), "Cluster " + EdsCluster("c"));
  ASSERT_TRUE(World(kEndpoints, {"c"}).ok());
  for (const char* endpoints : {"none", "scaled up", "drained"}) {
    stream_->SetSnapshot(content(endpoints));
    EXPECT_EQ(NextWorld(), std::string("ClusterLoadAssignment ") + endpoints);
    ASSERT_TRUE(World(kEndpoints, {"c"}, world_.nonce()).ok());
    EXPECT_EQ(NextWorld(), "") << "listeners wait";
  }
}

TEST_F(StreamTest, T31GoodEndpointsDoNotWaitAfterANackOfTheClusters) {
  stream_->SetSnapshot(Make({{kCluster, {{"bad", EdsCluster("bad")}, {"good", EdsCluster("good")}}},
                             {kEndpoints, {{"bad", "1"}, {"good", "1"}}}}));
  ASSERT_TRUE(Delta(kCluster).ok());
  NextDelta();
  ASSERT_TRUE(Nack().ok());
  ASSERT_TRUE(Delta(kEndpoints, {"good"}).ok());
  EXPECT_EQ(NextDelta(), "ClusterLoadAssignment +good");
}

TEST_F(StreamTest, T31ResendsEndpointsAfterAChangedClusterOnly) {
  ASSERT_TRUE(Delta(kCluster).ok());
  ASSERT_TRUE(Delta(kEndpoints, {"c"}).ok());
  stream_->SetSnapshot(Make({{kCluster, {{"c", EdsCluster("c", 1)}}}, {kEndpoints, {{"c", "1"}}}}));
  Drain();
  stream_->SetSnapshot(Make({{kCluster, {{"c", EdsCluster("c", 2)}}}, {kEndpoints, {{"c", "1"}}}}));
  EXPECT_THAT(Drain(), ElementsAre("Cluster +c", "ClusterLoadAssignment +c"));
  stream_->SetSnapshot(Make({{kCluster, {{"c", EdsCluster("c", 2)}}}, {kEndpoints, {{"c", "1"}}}}));
  EXPECT_THAT(Drain(), IsEmpty()) << "T33, T40: equal content is no change";
}

TEST_F(StreamTest, T37ResendsEndpointsOnAReconnectThatBroughtAChangedCluster) {
  stream_->SetSnapshot(Make({{kCluster, {{"c", EdsCluster("c", 2)}}}, {kEndpoints, {{"c", "1"}}}}));
  ASSERT_TRUE(Delta(kCluster, {}, {}, "", "", {{"c", "old"}}).ok());
  EXPECT_THAT(Drain(), ElementsAre("Cluster +c"));
  ASSERT_TRUE(Delta(kEndpoints, {"c"}, {}, "", "", {{"c", ContentVersion("1")}}).ok());
  EXPECT_THAT(Drain(), ElementsAre("ClusterLoadAssignment +c"));
}

// A storm of renames: what was sent is over before its client asks for what it names. Envoy calls the Cluster warm, and
// acknowledges all of them, only with an answer, else after 15 s.
TEST_F(StreamTest, T31WhatASentClusterNamesIsAnsweredThoughTheSnapshotHasItNoMore) {
  const auto only = [](const std::string& name) {
    return Make({{kCluster, {{name, EdsCluster(name)}}}, {kEndpoints, {{name, "of " + name}}}});
  };
  stream_->SetSnapshot(only("a"));
  ASSERT_TRUE(World(kCluster).ok());
  EXPECT_EQ(NextWorld(), "Cluster " + EdsCluster("a"));
  stream_->SetSnapshot(only("b"));
  ASSERT_TRUE(World(kEndpoints, {"a"}).ok());
  EXPECT_EQ(NextWorld(), "ClusterLoadAssignment of a");
  ASSERT_TRUE(World(kEndpoints, {"a"}, world_.nonce()).ok());
  for (const char* name : {"c", "b"}) {
    stream_->SetSnapshot(only(name));
    EXPECT_EQ(NextWorld(), "") << "once";
  }
  ASSERT_TRUE(World(kCluster, {}, "1").ok());
  EXPECT_EQ(NextWorld(), "Cluster " + EdsCluster("b"));

  Rules(EnvoyRules());
  stream_->SetSnapshot(only("a"));
  ASSERT_TRUE(Delta(kCluster).ok());
  EXPECT_EQ(NextDelta(), "Cluster +a");
  stream_->SetSnapshot(only("b"));
  ASSERT_TRUE(Delta(kEndpoints, {"a"}).ok());
  EXPECT_EQ(NextDelta(), "ClusterLoadAssignment +a");
}

// It goes on to serve with the endpoints that it has: the route to it goes later.
TEST_F(StreamTest, T31AChangedClusterThatIsRemovedMeanwhileKeepsItsEndpoints) {
  const auto content = [](int timeout) {
    return Make({{kCluster, {{"c", EdsCluster("c", timeout)}}}, {kEndpoints, {{"c", "1"}}}});
  };
  for (const bool delta : {true, false}) {
    Rules(EnvoyRules());
    stream_->SetSnapshot(content(1));
    const auto ask = [&](std::string_view type, const Names& names = {}, const std::string& nonce = "") {
      return (delta ? Delta(type, nonce.empty() ? names : Names(), {}, nonce) : World(type, names, nonce)).ok();
    };
    const auto next = [&] { return (delta ? NextDelta() : NextWorld()).substr(0, 12); };
    const auto nonce = [&] { return delta ? delta_.nonce() : world_.nonce(); };
    ASSERT_TRUE(ask(kCluster));
    ASSERT_EQ(next().substr(0, 8), "Cluster ");
    ASSERT_TRUE(ask(kCluster, {}, nonce()) && ask(kEndpoints, {"c"}));
    ASSERT_EQ(next(), "ClusterLoadA");
    ASSERT_TRUE(ask(kEndpoints, {"c"}, nonce()));
    stream_->SetSnapshot(content(2));
    ASSERT_EQ(next().substr(0, 8), "Cluster ");
    stream_->SetSnapshot(Make({{kCluster, {}}, {kEndpoints, {}}}));
    EXPECT_EQ(next(), "ClusterLoadA") << delta;
    if (delta) {
      EXPECT_EQ(delta_.removed_resources_size(), 0);
      EXPECT_EQ(delta_.resources_size(), 1);
    }
  }
}

// A promise is for who waits: who was told that the Cluster is gone does not.
TEST_F(StreamTest, T31WhatARemovedClusterNamedIsNotAnsweredAnyMore) {
  for (const bool delta : {true, false}) {
    Rules(EnvoyRules());
    stream_->SetSnapshot(Make({{kCluster, {{"a", EdsCluster("a")}}}, {kEndpoints, {{"a", "1"}}}}));
    ASSERT_TRUE((delta ? Delta(kCluster) : World(kCluster)).ok());
    ASSERT_NE(delta ? NextDelta() : NextWorld(), "");
    stream_->SetSnapshot(Make({{kCluster, {}}, {kEndpoints, {}}}));
    ASSERT_TRUE((delta ? Ack() : World(kCluster, {}, world_.nonce())).ok());
    ASSERT_EQ(delta ? NextDelta() : NextWorld(), delta ? "Cluster -a" : "Cluster");
    ASSERT_TRUE((delta ? Delta(kEndpoints, {"a"}) : World(kEndpoints, {"a"})).ok());
    EXPECT_EQ(delta ? NextDelta() : NextWorld(), delta ? "ClusterLoadAssignment -a" : "");
  }
}

// The same for who asked in between, and whose answer was not on its way yet.
TEST_F(StreamTest, T31APromiseThatIsTakenBackIsNotAnswered) {
  stream_->SetSnapshot(Make({{kCluster, {{"a", EdsCluster("a")}}}, {kEndpoints, {{"a", "1"}, {"b", "1"}}}}));
  ASSERT_TRUE(Delta(kEndpoints, {"b"}).ok());
  ASSERT_EQ(NextDelta(), "ClusterLoadAssignment +b");
  const std::string endpoints = delta_.nonce();
  ASSERT_TRUE(Delta(kCluster).ok());
  ASSERT_EQ(NextDelta(), "Cluster +a");
  stream_->SetSnapshot(Make({{kCluster, {}}, {kEndpoints, {{"b", "1"}}}}));
  ASSERT_TRUE(Delta(kEndpoints, {"a"}).ok());  // Waits: one answer of each type at a time.
  ASSERT_TRUE(Ack().ok());
  ASSERT_EQ(NextDelta(), "Cluster -a");
  ASSERT_TRUE(Delta(kEndpoints, {}, {}, endpoints).ok());
  EXPECT_EQ(NextDelta(), "ClusterLoadAssignment -a");
}

}  // namespace
}  // namespace weir::xds
