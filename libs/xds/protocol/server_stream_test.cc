#include "libs/xds/protocol/server_stream.h"

#include <gmock/gmock.h>
#include <google/protobuf/wrappers.pb.h>
#include <gtest/gtest.h>

#include "envoy/service/discovery/v3/discovery.pb.h"
#include "libs/xds/protocol/server_stream_fixture.h"

namespace weir::xds {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST_F(StreamTest, T1RefusesAFirstRequestWithoutANodeId) {
  DeltaDiscoveryRequest request;
  request.set_type_url(std::string(kCluster));
  EXPECT_EQ(stream_->OnRequest(request).error().reason, "NODE_MISSING");
}

TEST_F(StreamTest, T2RefusesAnEmptyTypeAndStaysSilentOnAnUnknownOne) {
  EXPECT_EQ(Delta("").error().reason, "TYPE_MISSING");
  stream_->SetSnapshot(Make({{kCluster, {{"a", "1"}}}}));
  EXPECT_TRUE(Delta("type.googleapis.com/some.Other").ok());
  EXPECT_EQ(NextDelta(), "");
}

TEST_F(StreamTest, T5EveryResponseHasANonceOfItsOwn) {
  stream_->SetSnapshot(Make({{kCluster, {{"a", "1"}}}}));
  ASSERT_TRUE(Delta(kCluster).ok());
  EXPECT_EQ(NextDelta(), "Cluster +a");
  const std::string first = delta_.nonce();
  EXPECT_EQ(delta_.resources(0).resource().type_url(), kCluster);
  ASSERT_TRUE(Ack().ok());
  stream_->SetSnapshot(Make({{kCluster, {{"a", "2"}}}}));
  EXPECT_EQ(NextDelta(), "Cluster +a");
  EXPECT_FALSE(first.empty());
  EXPECT_NE(delta_.nonce(), first);
}

TEST_F(StreamTest, T8SendsNothingAfterANackUntilTheContentChanges) {
  stream_->SetSnapshot(Make({{kCluster, {{"a", "1"}}}}));
  ASSERT_TRUE(Delta(kCluster).ok());
  EXPECT_EQ(NextDelta(), "Cluster +a");
  ASSERT_TRUE(Nack().ok());
  ASSERT_EQ(events_.size(), 1u);
  EXPECT_FALSE(events_[0].accepted);
  EXPECT_EQ(events_[0].error, "bad");
  EXPECT_EQ(events_[0].rejected_resources[0].name, "a");
  stream_->SetSnapshot(Make({{kCluster, {{"a", "1"}}}}));
  EXPECT_EQ(NextDelta(), "");
  stream_->SetSnapshot(Make({{kCluster, {{"a", "2"}}}}));
  EXPECT_EQ(NextDelta(), "Cluster +a");
}

TEST_F(StreamTest, T57SaysWhichAcknowledgedVersionsAreBeingReplaced) {
  stream_->SetSnapshot(Make({{kCluster, {{"a", "1"}, {"b", "1"}, {"c", "1"}}}}));
  ASSERT_TRUE(Delta(kCluster).ok());
  Drain();
  events_.clear();
  stream_->SetSnapshot(Make({{kCluster, {{"a", "2"}, {"c", "1"}, {"d", "1"}}}}));
  EXPECT_EQ(NextDelta(), "Cluster +a +d -b");
  ASSERT_EQ(events_.size(), 1u);
  EXPECT_EQ(events_[0].replaced, (Names{"a", "b"}));  // "d" is new, "c" stays.
  ASSERT_TRUE(Ack().ok());
  EXPECT_TRUE(events_[1].replaced.empty());
}

TEST_F(StreamTest, T12CountsOnlyTheNamedResourcesOfANackAsRejected) {
  stream_->SetSnapshot(Make({{kCluster, {{"a", "1"}, {"b", "1"}}}}));
  ASSERT_TRUE(Delta(kCluster).ok());
  NextDelta();
  DeltaDiscoveryRequest request;
  request.set_type_url(std::string(kCluster));
  request.set_response_nonce(delta_.nonce());
  request.mutable_error_detail()->set_message("b is bad");
  google::protobuf::StringValue name;
  name.set_value("b");
  request.mutable_error_detail()->add_details()->PackFrom(name);
  ASSERT_TRUE(stream_->OnRequest(request).ok());
  EXPECT_EQ(events_[0].accepted_resources[0].name, "a");
  EXPECT_EQ(events_[0].rejected_resources[0].name, "b");
  EXPECT_EQ(stream_->Acknowledged(kCluster).size(), 1u);
}

TEST_F(StreamTest, T9AnAckThatChangesNothingGetsNoResponse) {
  stream_->SetSnapshot(Make({{kCluster, {{"a", "1"}}}}));
  ASSERT_TRUE(World(kCluster).ok());
  EXPECT_EQ(NextWorld(), "Cluster 1");
  ASSERT_TRUE(World(kCluster, {}, world_.nonce()).ok());
  EXPECT_EQ(NextWorld(), "");
  EXPECT_EQ(stream_->Acknowledged(kCluster).size(), 1u);
}

TEST_F(StreamTest, T10AStaleNonceIsNotAnsweredInStateOfTheWorld) {
  stream_->SetSnapshot(Make({{kEndpoints, {{"a", "1"}, {"b", "2"}}}}));
  ASSERT_TRUE(World(kEndpoints, {"a"}).ok());
  EXPECT_EQ(NextWorld(), "ClusterLoadAssignment 1");
  ASSERT_TRUE(World(kEndpoints, {"a", "b"}, "stale").ok());
  EXPECT_EQ(NextWorld(), "");
  ASSERT_TRUE(World(kEndpoints, {"a", "b"}, world_.nonce()).ok());
  EXPECT_EQ(NextWorld(), "ClusterLoadAssignment 2");
}

TEST_F(StreamTest, T11AStaleNonceStillChangesDeltaSubscriptions) {
  stream_->SetSnapshot(Make({{kEndpoints, {{"a", "1"}, {"b", "2"}}}}));
  ASSERT_TRUE(Delta(kEndpoints, {"a"}).ok());
  EXPECT_EQ(NextDelta(), "ClusterLoadAssignment +a");
  ASSERT_TRUE(Delta(kEndpoints, {"b"}, {}, "stale").ok());
  EXPECT_EQ(NextDelta(), "") << "one un-acknowledged response at a time (T53)";
  ASSERT_TRUE(Ack().ok());
  EXPECT_EQ(NextDelta(), "ClusterLoadAssignment +b");
}

TEST_F(StreamTest, T15EmptyMeansAllOnlyBeforeAnyNameWasGiven) {
  stream_->SetSnapshot(Make({{kCluster, {{"a", "1"}, {"b", "2"}}}}));
  ASSERT_TRUE(World(kCluster, {"a"}).ok());
  EXPECT_EQ(NextWorld(), "Cluster 1");
  ASSERT_TRUE(World(kCluster, {}, world_.nonce()).ok());
  EXPECT_EQ(NextWorld(), "");
  stream_->SetSnapshot(Make({{kCluster, {{"a", "9"}, {"b", "9"}}}}));
  EXPECT_EQ(NextWorld(), "");
}

TEST_F(StreamTest, T16ALegacyWildcardStaysInDeltaAndEndsInStateOfTheWorld) {
  stream_->SetSnapshot(Make({{kCluster, {{"a", "1"}, {"b", "2"}}}}));
  ASSERT_TRUE(World(kCluster).ok());
  EXPECT_EQ(NextWorld(), "Cluster 1 2");
  ASSERT_TRUE(World(kCluster, {"a"}, world_.nonce()).ok());
  EXPECT_EQ(NextWorld(), "Cluster 1");

  Rules(EnvoyRules());
  stream_->SetSnapshot(Make({{kCluster, {{"a", "1"}, {"b", "2"}}}}));
  ASSERT_TRUE(Delta(kCluster).ok());
  EXPECT_EQ(NextDelta(), "Cluster +a +b");
  ASSERT_TRUE(Ack().ok());
  ASSERT_TRUE(Delta(kCluster, {"a"}).ok());
  EXPECT_EQ(NextDelta(), "Cluster +a");
  ASSERT_TRUE(Ack().ok());
  stream_->SetSnapshot(Make({{kCluster, {{"a", "1"}, {"b", "3"}}}}));
  EXPECT_EQ(NextDelta(), "Cluster +b");
}

TEST_F(StreamTest, T16RemovingTheStarKeepsTheNames) {
  stream_->SetSnapshot(Make({{kCluster, {{"a", "1"}, {"b", "2"}}}}));
  ASSERT_TRUE(Delta(kCluster, {"*", "a"}).ok());
  EXPECT_EQ(NextDelta(), "Cluster +a +b");
  ASSERT_TRUE(Ack().ok());
  ASSERT_TRUE(Delta(kCluster, {}, {"*"}).ok());
  stream_->SetSnapshot(Make({{kCluster, {{"a", "5"}, {"b", "5"}}}}));
  EXPECT_EQ(NextDelta(), "Cluster +a");
}

TEST_F(StreamTest, T17EmptyNeverMeansAllForRoutesEndpointsAndSecrets) {
  stream_->SetSnapshot(Make({{kRoute, {{"a", "1"}}}, {kEndpoints, {{"a", "1"}}}, {kSecret, {{"a", "1"}}}}));
  for (const auto type : {kRoute, kEndpoints, kSecret}) ASSERT_TRUE(Delta(type).ok());
  EXPECT_EQ(NextDelta(), "");
}

TEST_F(StreamTest, T18ANameAskedForAgainIsSentAgain) {
  stream_->SetSnapshot(Make({{kEndpoints, {{"a", "1"}}}}));
  ASSERT_TRUE(World(kEndpoints, {"a"}).ok());
  EXPECT_EQ(NextWorld(), "ClusterLoadAssignment 1");
  ASSERT_TRUE(World(kEndpoints, {}, world_.nonce()).ok());
  EXPECT_EQ(NextWorld(), "");
  ASSERT_TRUE(World(kEndpoints, {"a"}, world_.nonce()).ok());
  EXPECT_EQ(NextWorld(), "ClusterLoadAssignment 1");
}

TEST_F(StreamTest, T19ClustersAreSentAsAWholeAndEndpointsInParts) {
  stream_->SetSnapshot(Make({{kCluster, {{"a", "1"}, {"b", "2"}}}, {kEndpoints, {{"a", "3"}, {"b", "4"}}}}));
  ASSERT_TRUE(World(kCluster).ok());
  EXPECT_EQ(NextWorld(), "Cluster 1 2");
  ASSERT_TRUE(World(kCluster, {}, world_.nonce()).ok());
  ASSERT_TRUE(World(kEndpoints, {"a", "b"}).ok());
  EXPECT_EQ(NextWorld(), "ClusterLoadAssignment 3 4");
  ASSERT_TRUE(World(kEndpoints, {"a", "b"}, world_.nonce()).ok());
  stream_->SetSnapshot(Make({{kCluster, {{"a", "1"}}}, {kEndpoints, {{"a", "9"}}}}));
  EXPECT_EQ(NextWorld(), "Cluster 1") << "absence deletes b";
  ASSERT_TRUE(World(kCluster, {}, world_.nonce()).ok());
  EXPECT_EQ(NextWorld(), "ClusterLoadAssignment 9") << "b is not mentioned: its cluster is gone";
}

TEST_F(StreamTest, T21ASubscribedNameThatIsSubscribedAgainIsSentAgain) {
  stream_->SetSnapshot(Make({{kEndpoints, {{"a", "1"}}}}));
  ASSERT_TRUE(Delta(kEndpoints, {"a"}).ok());
  Drain();
  ASSERT_TRUE(Delta(kEndpoints, {"a"}).ok());
  EXPECT_EQ(NextDelta(), "ClusterLoadAssignment +a");
}

TEST_F(StreamTest, T22AnswersAnUnsubscribedNameThatAWildcardStillCovers) {
  stream_->SetSnapshot(Make({{kCluster, {{"a", "1"}}}}));
  ASSERT_TRUE(Delta(kCluster, {"*", "a", "none"}).ok());
  EXPECT_THAT(Drain(), ElementsAre("Cluster +a -none"));
  ASSERT_TRUE(Delta(kCluster, {}, {"a", "none", "never"}).ok());
  EXPECT_THAT(Drain(), ElementsAre("Cluster +a -none"));
}

TEST_F(StreamTest, T23SaysAtOnceThatANameIsUnknownAndSendsItWhenItComes) {
  stream_->SetSnapshot(Make({{kEndpoints, {}}}));
  ASSERT_TRUE(Delta(kEndpoints, {"a"}).ok());
  EXPECT_THAT(Drain(), ElementsAre("ClusterLoadAssignment -a"));
  stream_->SetSnapshot(Make({{kEndpoints, {{"a", "1"}}}}));
  EXPECT_THAT(Drain(), ElementsAre("ClusterLoadAssignment +a"));
  stream_->SetSnapshot(Make({{kEndpoints, {}}}));
  EXPECT_THAT(Drain(), ElementsAre("ClusterLoadAssignment -a"));
}

TEST_F(StreamTest, T24SendsOnlyTheDifferenceToWhatTheClientBringsAlong) {
  stream_->SetSnapshot(Make({{kCluster, {{"same", "1"}, {"changed", "2"}}}}));
  ASSERT_TRUE(Delta(kCluster, {}, {}, "", "", {{"same", ContentVersion("1")}, {"changed", "old"}, {"gone", "x"}}).ok());
  EXPECT_EQ(NextDelta(), "Cluster +changed");
  ASSERT_TRUE(Ack().ok());
  EXPECT_EQ(NextDelta(), "") << "routes may still name it, and have not been asked for yet";
  clock_.Advance(std::chrono::seconds(5));
  ASSERT_TRUE(stream_->Tick().ok());
  EXPECT_EQ(NextDelta(), "Cluster -gone");
  ASSERT_FALSE(events_.empty());
  EXPECT_EQ(events_[0].accepted_resources.size(), 3u) << "what it has counts as acknowledged";
}

// A route of before may name a Cluster that is gone, whenever the client asks for routes and whatever became of them
// since.
TEST_F(StreamTest, T24WhatAClientBroughtGoesInBreakOrderThoughItWasWishedInAnother) {
  stream_->SetSnapshot(
      Make({{kCluster, {{"new", "1"}}}, {kRoute, {{"r", "new"}}}, {kListener, {}}, {kVirtualHost, {}}}));
  ASSERT_TRUE(Delta(kCluster, {}, {}, "", "", {{"new", ContentVersion("1")}, {"old", "x"}}).ok());
  stream_->SetSnapshot(Make({{kCluster, {{"new", "1"}}}, {kRoute, {}}, {kListener, {}}, {kVirtualHost, {}}}));
  for (const auto type : {kEndpoints, kListener, kVirtualHost}) ASSERT_TRUE(Delta(type, {"*"}).ok());
  ASSERT_TRUE(Delta(kRoute, {"*"}, {}, "", "", {{"r", "names old"}}).ok());
  std::string sent;
  for (std::string next = NextDelta(); !next.empty(); next = NextDelta()) sent += next + ";";
  EXPECT_NE(sent.find("RouteConfiguration -r"), std::string::npos) << sent;
  EXPECT_EQ(sent.find("Cluster -old"), std::string::npos) << sent;
}

// That it was sent anew meanwhile changes nothing: a route of before may still name it.
TEST_F(StreamTest, T24WhatAClientBroughtIsNotTakenAwayBeforeItHasAskedForAllTypes) {
  stream_->SetSnapshot(Make({{kCluster, {{"c", "2"}}}}));
  ASSERT_TRUE(Delta(kCluster, {}, {}, "", "", {{"c", ContentVersion("1")}}).ok());
  EXPECT_EQ(NextDelta(), "Cluster +c");
  ASSERT_TRUE(Ack().ok());
  stream_->SetSnapshot(Make({{kCluster, {}}}));
  EXPECT_EQ(NextDelta(), "");
  clock_.Advance(std::chrono::seconds(5));
  ASSERT_TRUE(stream_->Tick().ok());
  EXPECT_EQ(NextDelta(), "Cluster -c");
}

TEST_F(StreamTest, T25AnswersTheFirstWildcardEvenWithNothing) {
  stream_->SetSnapshot(Make({{kCluster, {}}}));
  ASSERT_TRUE(Delta(kCluster).ok());
  EXPECT_EQ(NextDelta(), "Cluster");
  ASSERT_TRUE(Ack().ok());
  EXPECT_EQ(NextDelta(), "");
}

TEST_F(StreamTest, T26RemembersNamesThatDoNotExistYetInStateOfTheWorld) {
  stream_->SetSnapshot(Make({{kRoute, {}}}));
  ASSERT_TRUE(World(kRoute, {"r"}).ok());
  EXPECT_EQ(NextWorld(), "");
  stream_->SetSnapshot(Make({{kRoute, {{"r", "1"}}}}));
  EXPECT_EQ(NextWorld(), "RouteConfiguration 1");
}

TEST_F(StreamTest, T29AddsInOrderAndWaitsForEachAck) {
  for (const auto type : {kVirtualHost, kRoute, kListener, kCluster}) ASSERT_TRUE(Delta(type, {"*"}).ok());
  ASSERT_TRUE(Delta(kEndpoints, {"c"}).ok());
  stream_->SetSnapshot(Make({{kCluster, {{"c", EdsCluster("c")}}},
                             {kEndpoints, {{"c", "1"}}},
                             {kListener, {{"l", "1"}}},
                             {kRoute, {{"r", "1"}}},
                             {kVirtualHost, {{"r/h", "1"}}}}));
  EXPECT_EQ(NextDelta(), "Cluster +c");
  const std::string clusters = delta_.nonce();
  EXPECT_EQ(NextDelta(), "ClusterLoadAssignment +c") << "T31: the cluster is warm, and acknowledged, only with them";
  ASSERT_TRUE(Ack().ok());
  EXPECT_EQ(NextDelta(), "") << "T30: sent is not acknowledged";
  ASSERT_TRUE(Delta(kCluster, {}, {}, clusters).ok());
  EXPECT_THAT(Drain(), ElementsAre("Listener +l", "RouteConfiguration +r", "VirtualHost +r/h"));
}

// T30: longer than the 15 s for which Envoy waits for endpoints before it calls a Cluster warm without them.
TEST_F(StreamTest, T30AClusterMayTake20SecondsToGetWarm) {
  for (const auto type : {kRoute, kCluster}) ASSERT_TRUE(Delta(type, {"*"}).ok());
  stream_->SetSnapshot(Make({{kCluster, {{"c", "1"}}}, {kRoute, {{"r", "1"}}}}));
  NextDelta();
  clock_.Advance(std::chrono::milliseconds(19'900));
  ASSERT_TRUE(stream_->Tick().ok());
  EXPECT_EQ(NextDelta(), "");
}

// T52: what was wished later is nothing to wait for, or a stream of changes would starve the routes.
TEST_F(StreamTest, T52ARouteWaitsOnlyForTheClustersThatCameWithItOrBefore) {
  for (const auto type : {kRoute, kCluster}) ASSERT_TRUE(Delta(type, {"*"}).ok());
  std::map<std::string, std::string> clusters, routes;
  std::string flying;
  for (int i = 1; i <= 20; ++i) {
    clusters["c" + std::to_string(i)] = "1";
    routes["r" + std::to_string(i)] = "to c" + std::to_string(i);
    stream_->SetSnapshot(Make({{kCluster, clusters}, {kRoute, routes}}));
    ASSERT_TRUE(flying.empty() || Delta(kCluster, {}, {}, flying).ok());  // Of the change before.
    ASSERT_EQ(NextDelta(), "Cluster +c" + std::to_string(i));
    flying = delta_.nonce();
    const std::string route = NextDelta();
    if (i == 1) {
      ASSERT_EQ(route, "");
      continue;
    }
    ASSERT_EQ(route, "RouteConfiguration +r" + std::to_string(i - 1)) << "its cluster is acknowledged";
    ASSERT_TRUE(Ack().ok());
  }
}

TEST_F(StreamTest, T52ARemovalWaitsOnlyForTheRoutesThatCameWithItOrBefore) {
  for (const auto type : {kRoute, kCluster}) ASSERT_TRUE(Delta(type, {"*"}).ok());
  stream_->SetSnapshot(Make({{kCluster, {{"a", "1"}, {"b", "1"}}}, {kRoute, {{"r", "to a"}}}}));
  Drain();
  stream_->SetSnapshot(Make({{kCluster, {{"b", "1"}}}, {kRoute, {{"r", "to b"}}}}));
  EXPECT_EQ(NextDelta(), "RouteConfiguration +r");
  stream_->SetSnapshot(Make({{kCluster, {{"b", "1"}}}, {kRoute, {{"r", "to b"}, {"s", "to b"}}}}));
  EXPECT_EQ(NextDelta(), "") << "the cluster may still be in use";
  ASSERT_TRUE(Ack().ok());
  EXPECT_EQ(NextDelta(), "Cluster -a") << "another route that is on its way is nothing to it";
}

TEST_F(StreamTest, T29RemovesInReverseAndTheClusterLast) {
  for (const auto type : {kVirtualHost, kRoute, kListener, kCluster, kEndpoints}) ASSERT_TRUE(Delta(type, {"*"}).ok());
  stream_->SetSnapshot(Make({{kCluster, {{"c", EdsCluster("c")}, {"old", "1"}}},
                             {kEndpoints, {{"c", "1"}, {"old", "1"}}},
                             {kListener, {{"l", "1"}}},
                             {kRoute, {{"r", "1"}}},
                             {kVirtualHost, {{"r/h", "old"}}}}));
  Drain();
  stream_->SetSnapshot(Make({{kCluster, {{"c", EdsCluster("c")}, {"new", "1"}}},
                             {kEndpoints, {{"c", "1"}, {"new", "1"}}},
                             {kListener, {{"l", "1"}}},
                             {kRoute, {{"r", "1"}}},
                             {kVirtualHost, {{"r/h", "new"}}}}));
  EXPECT_THAT(Drain(), ElementsAre("Cluster +new", "ClusterLoadAssignment +new", "VirtualHost +r/h", "Cluster -old",
                                   "ClusterLoadAssignment -old"));
}

TEST_F(StreamTest, T29KeepsARemovedClusterInTheWorldUntilRoutesAreAcknowledged) {
  stream_->SetSnapshot(Make({{kCluster, {{"a", "A"}}}, {kRoute, {{"r", "to A"}}}}));
  ASSERT_TRUE(World(kCluster).ok());
  EXPECT_EQ(NextWorld(), "Cluster A");
  ASSERT_TRUE(World(kCluster, {}, world_.nonce()).ok());
  ASSERT_TRUE(World(kRoute, {"r"}).ok());
  EXPECT_EQ(NextWorld(), "RouteConfiguration to A");
  ASSERT_TRUE(World(kRoute, {"r"}, world_.nonce()).ok());
  stream_->SetSnapshot(Make({{kCluster, {{"b", "B"}}}, {kRoute, {{"r", "to B"}}}}));
  EXPECT_EQ(NextWorld(), "Cluster A B");
  ASSERT_TRUE(World(kCluster, {}, world_.nonce()).ok());
  EXPECT_EQ(NextWorld(), "RouteConfiguration to B");
  EXPECT_EQ(NextWorld(), "");
  ASSERT_TRUE(World(kRoute, {"r"}, world_.nonce()).ok());
  EXPECT_EQ(NextWorld(), "Cluster B");
}

TEST_F(StreamTest, T30GoesOnAfterATimeoutWhenTheAckNeverComes) {
  for (const auto type : {kRoute, kListener}) ASSERT_TRUE(Delta(type, {"*"}).ok());
  stream_->SetSnapshot(Make({{kListener, {{"l", "1"}}}, {kRoute, {{"r", "1"}}}}));
  EXPECT_EQ(NextDelta(), "Listener +l");
  clock_.Advance(std::chrono::milliseconds(4900));
  ASSERT_TRUE(stream_->Tick().ok());
  EXPECT_EQ(NextDelta(), "");
  ASSERT_TRUE(stream_->NextDeadline().has_value());
  clock_.Advance(std::chrono::milliseconds(200));
  ASSERT_TRUE(stream_->Tick().ok());
  EXPECT_EQ(NextDelta(), "RouteConfiguration +r");
}

TEST_F(StreamTest, T30ANackHoldsLaterTypesUntilTheTimeout) {
  for (const auto type : {kRoute, kCluster}) ASSERT_TRUE(Delta(type, {"*"}).ok());
  stream_->SetSnapshot(Make({{kCluster, {{"c", "1"}}}, {kRoute, {{"r", "1"}}}}));
  NextDelta();
  ASSERT_TRUE(Nack().ok());
  EXPECT_EQ(NextDelta(), "");
  clock_.Advance(std::chrono::seconds(6));
  ASSERT_TRUE(stream_->Tick().ok());
  EXPECT_EQ(NextDelta(), "RouteConfiguration +r");
}

TEST_F(StreamTest, T30ANackThatNamesTheBadHoldsNobody) {
  for (const auto type : {kRoute, kCluster}) ASSERT_TRUE(Delta(type, {"*"}).ok());
  stream_->SetSnapshot(Make({{kCluster, {{"bad", "1"}, {"good", "1"}}}, {kRoute, {{"r", "1"}}}}));
  NextDelta();
  DeltaDiscoveryRequest nack;
  nack.set_type_url(std::string(kCluster));
  nack.set_response_nonce(delta_.nonce());
  google::protobuf::StringValue name;
  name.set_value("bad");
  nack.mutable_error_detail()->add_details()->PackFrom(name);
  ASSERT_TRUE(stream_->OnRequest(nack).ok());
  EXPECT_EQ(NextDelta(), "RouteConfiguration +r");
}

// What a client refuses to give up it still has.
TEST_F(StreamTest, T12ARefusedRemovalIsNotDone) {
  stream_->SetSnapshot(Make({{kCluster, {{"a", "1"}, {"b", "1"}}}}));
  ASSERT_TRUE(Delta(kCluster).ok());
  Drain();
  stream_->SetSnapshot(Make({{kCluster, {{"a", "1"}}}}));
  EXPECT_EQ(NextDelta(), "Cluster -b");
  events_.clear();
  ASSERT_TRUE(Nack().ok());
  ASSERT_EQ(events_.size(), 1u);
  EXPECT_FALSE(events_[0].accepted);
  EXPECT_THAT(events_[0].removed, IsEmpty());
  EXPECT_TRUE(stream_->Acknowledged(kCluster).contains("b"));
}

TEST_F(StreamTest, APeersWordsAreCutAndEscapedWhereTheyEnter) {
  stream_->SetSnapshot(Make({{kCluster, {{"a", "1"}}}}));
  DeltaDiscoveryRequest first;
  first.set_type_url(std::string(kCluster));
  first.mutable_node()->set_id("n\x1b[2J" + std::string(10'000, 'n'));
  first.mutable_node()->set_user_agent_name("evil\a\n");
  ASSERT_TRUE(stream_->OnRequest(first).ok());
  EXPECT_TRUE(stream_->node()->id.starts_with("n\\x1b[2Jn"));
  EXPECT_LE(stream_->node()->id.size(), kMostNodeTextBytes);
  EXPECT_EQ(stream_->node()->user_agent, "evil\\x07\\x0a");
  NextDelta();
  DeltaDiscoveryRequest nack;
  nack.set_type_url(std::string(kCluster));
  nack.set_response_nonce(delta_.nonce());
  nack.mutable_error_detail()->set_message("no\x1b]0;title\a\r\n" + std::string(5'000'000, 'x'));
  ASSERT_TRUE(stream_->OnRequest(nack).ok());
  EXPECT_TRUE(events_.back().error.starts_with("no\\x1b]0;title\\x07\\x0d\\x0axx"));
  EXPECT_LE(events_.back().error.size(), kMostErrorBytes);
}

TEST_F(StreamTest, NamesThatAreAskedForAreBounded) {
  ServerRules rules = EnvoyRules();
  rules.max_names = 3;
  Rules(rules);
  ASSERT_TRUE(Delta(kEndpoints, {"a", "b"}).ok());
  ASSERT_TRUE(Delta(kEndpoints, {"c"}).ok());
  EXPECT_EQ(Delta(kEndpoints, {"d"}).error().reason, "TOO_MANY_NAMES");
  EXPECT_EQ(Delta(kRoute, {std::string(1025, 'n')}).error().reason, "NAME_TOO_LONG");
  Rules(rules);
  EXPECT_EQ(World(kEndpoints, {"a", "b", "c", "d"}).error().reason, "TOO_MANY_NAMES");
}

// T49: gRPC's limit is for gRPC's clients.
TEST_F(StreamTest, T49EnvoyAndOursGetWhatFitsTheirsAndTheRestIsRefusedWithAReason) {
  ServerRules rules = EnvoyRules();
  rules.max_response_bytes = 1000;
  rules.max_large_response_bytes = 10'000;
  const auto first = [&](std::string_view type, const char* agent, Names names) {
    Rules(rules);
    stream_->SetSnapshot(Make({{kRoute, {{"r", std::string(5'000, 'r')}, {"s", std::string(20'000, 's')}}},
                               {kCluster, {{"a", std::string(600, 'a')}, {"b", std::string(600, 'b')}}}}));
    events_.clear();
    DiscoveryRequest request;
    request.mutable_node()->set_id("n");
    request.mutable_node()->set_user_agent_name(agent);
    request.set_type_url(std::string(type));
    for (const auto& name : names) request.add_resource_names(name);
    EXPECT_TRUE(stream_->OnRequest(request).ok());
    const std::string sent = NextWorld();
    std::string refused;
    for (const AckEvent& event : events_) {
      for (const auto& resource : event.rejected_resources) refused += resource.name + " ";
      EXPECT_EQ(event.accepted, event.error.empty());
    }
    return std::to_string(sent.size()) + " refused " + refused;
  };
  EXPECT_EQ(first(kRoute, "envoy", {"r", "s"}), std::to_string(19 + 5'000) + " refused s ");
  EXPECT_EQ(first(kRoute, "gRPC C-core linux", {"r", "s"}), "0 refused r s ");
  EXPECT_EQ(first(kCluster, "envoy", {}), std::to_string(8 + 1 + 1200) + " refused ");
  EXPECT_EQ(first(kCluster, "gRPC C-core linux", {}), std::to_string(8 + 600) + " refused b ")
      << "what fits is sent, what does not is said";
}

TEST_F(StreamTest, T36AnUnknownNameDoesNotHoldTheRest) {
  stream_->SetSnapshot(Make({{kEndpoints, {{"a", "1"}}}}));
  ASSERT_TRUE(World(kEndpoints, {"a", "unknown"}).ok());
  EXPECT_EQ(NextWorld(), "ClusterLoadAssignment 1");
}

TEST_F(StreamTest, T45RefreshesATtlWithoutTheBody) {
  stream_->SetSnapshot(Make({{kCluster, {{"a", "1"}}}}, std::chrono::seconds(15)));
  ASSERT_TRUE(Delta(kCluster).ok());
  Drain();
  clock_.Advance(std::chrono::seconds(5));
  ASSERT_TRUE(stream_->Tick().ok());
  EXPECT_EQ(NextDelta(), "Cluster ~a");
  EXPECT_EQ(delta_.resources(0).ttl().seconds(), 15);
  EXPECT_EQ(delta_.resources(0).version(), ContentVersion("1"));
}

TEST_F(StreamTest, T48DoesNotAnswerBeforeItsSourcesAreIn) {
  ASSERT_TRUE(Delta(kCluster).ok());
  EXPECT_EQ(NextDelta(), "");
  stream_->SetSnapshot(Make({{kEndpoints, {}}}));
  EXPECT_EQ(NextDelta(), "") << "a type that is absent is not loaded";
  stream_->SetSnapshot(Make({{kEndpoints, {}}, {kCluster, {}}}));
  EXPECT_EQ(NextDelta(), "Cluster");
}

TEST_F(StreamTest, T49SplitsWhatMayBeSplitAndRefusesTheRest) {
  ServerRules rules = EnvoyRules();
  rules.max_response_bytes = 1000;
  Rules(std::move(rules));
  stream_->SetSnapshot(Make(
      {{kEndpoints, {{"a", std::string(600, 'a')}, {"b", std::string(600, 'b')}, {"c", std::string(2000, 'c')}}}}));
  ASSERT_TRUE(World(kEndpoints, {"a", "b", "c"}).ok());
  EXPECT_EQ(NextWorld(), "ClusterLoadAssignment " + std::string(600, 'a'));
  ASSERT_TRUE(World(kEndpoints, {"a", "b", "c"}, world_.nonce()).ok());
  EXPECT_EQ(NextWorld(), "ClusterLoadAssignment " + std::string(600, 'b'));
  ASSERT_TRUE(World(kEndpoints, {"a", "b", "c"}, world_.nonce()).ok());
  EXPECT_EQ(NextWorld(), "");
  EXPECT_EQ(events_.back().accepted_resources.size() + events_.back().rejected_resources.size(), 1u);
}

TEST_F(StreamTest, T53CoalescesToTheNewestWhileOneIsUnanswered) {
  stream_->SetSnapshot(Make({{kCluster, {{"a", "1"}}}}));
  ASSERT_TRUE(Delta(kCluster).ok());
  EXPECT_EQ(NextDelta(), "Cluster +a");
  for (int i = 2; i < 50; ++i) {
    stream_->SetSnapshot(Make({{kCluster, {{"a", std::to_string(i)}}}}));
    DeltaDiscoveryResponse none;
    ASSERT_FALSE(stream_->Next(&none));
  }
  ASSERT_TRUE(Ack().ok());
  EXPECT_EQ(NextDelta(), "Cluster +a");
  EXPECT_EQ(delta_.resources(0).resource().value(), "49");
  ASSERT_TRUE(Ack().ok());
  EXPECT_EQ(NextDelta(), "");
  EXPECT_TRUE(stream_->AllAnswered());
}

TEST_F(StreamTest, HeartbeatsAreSentEvery3SecondsAndThreeMissedAreDeath) {
  ASSERT_TRUE(Delta(kHeartbeat, {"*"}).ok());
  EXPECT_EQ(NextDelta(), "Heartbeat +heartbeat");
  ASSERT_TRUE(Ack().ok());
  clock_.Advance(std::chrono::seconds(3));
  ASSERT_TRUE(stream_->Tick().ok());
  EXPECT_EQ(NextDelta(), "Heartbeat +heartbeat");
  for (int i = 0; i < 2; ++i) {
    clock_.Advance(std::chrono::seconds(3));
    ASSERT_TRUE(stream_->Tick().ok());
    EXPECT_EQ(NextDelta(), "");
  }
  clock_.Advance(std::chrono::seconds(3));
  EXPECT_EQ(stream_->Tick().error().reason, "HEARTBEAT_MISSED");
}

}  // namespace
}  // namespace weir::xds
