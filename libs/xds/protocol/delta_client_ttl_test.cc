#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "envoy/service/discovery/v3/discovery.pb.h"
#include "libs/xds/protocol/delta_client.h"

// What ends by itself, what a response must not be, and what the next stream says of it.

namespace weir::xds {
namespace {

using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

class DeltaTtlTest : public testing::Test {
 protected:
  DeltaTtlTest() { client_.SubscribeAll(std::string(kListener)); }

  void Add(const std::string& name, const std::string& value, int64_t ttl = 0) {
    auto* resource = response_.add_resources();
    resource->set_name(name);
    resource->set_version(value);
    if (ttl > 0) resource->mutable_ttl()->set_seconds(ttl);
    if (value.empty()) return;  // T45: heard of again, without a body.
    resource->mutable_resource()->set_type_url(std::string(kListener));
    resource->mutable_resource()->set_value(value);
  }
  // Sends what was added; what is offered then, accepted.
  std::vector<std::string> Offer() {
    response_.set_type_url(std::string(kListener));
    response_.set_nonce(std::to_string(++nonce_));
    EXPECT_TRUE(client_.OnResponse(response_).ok());
    response_.Clear();
    const auto update = client_.TakeUpdate();
    if (!update) return {};
    EXPECT_TRUE(client_.Accept(update->id).ok());
    return update->changed;
  }
  bool Has(const std::string& name) { return client_.Accepted()->Find(kListener, name) != nullptr; }

  ManualClock clock_;
  DeltaClient client_{[] {
                        Node node;
                        node.id = "n";
                        return node;
                      }(),
                      clock_};
  DeltaDiscoveryResponse response_;
  int nonce_ = 0;
};

TEST_F(DeltaTtlTest, WhatIsNotHeardOfAgainEnds) {
  client_.OnConnected();
  Add("lasts", "v");
  Add("ends", "v", 10);
  Add("later", "v", 20);
  EXPECT_THAT(Offer(), ElementsAre("lasts", "ends", "later"));
  EXPECT_EQ(client_.NextDeadline(), clock_.Now() + seconds(10));
  clock_.Advance(seconds(10) - Duration(1));
  client_.Tick();
  EXPECT_FALSE(client_.TakeUpdate());
  clock_.Advance(Duration(1));
  client_.Tick();
  const auto update = client_.TakeUpdate();
  ASSERT_TRUE(update);
  EXPECT_TRUE(update->expired);
  EXPECT_EQ(update->type_url, kListener);
  EXPECT_THAT(update->removed, ElementsAre("ends"));
  EXPECT_TRUE(Has("ends"));
  ASSERT_TRUE(client_.Accept(update->id).ok());
  EXPECT_FALSE(Has("ends"));
  EXPECT_TRUE(Has("lasts") && Has("later"));
  client_.Tick();
  EXPECT_FALSE(client_.TakeUpdate());  // Said once.
  EXPECT_EQ(client_.NextDeadline(), clock_.Now() + seconds(10));
}

TEST_F(DeltaTtlTest, WhatIsHeardOfAgainLivesOn) {
  client_.OnConnected();
  Add("a", "v", 10);
  Offer();
  clock_.Advance(seconds(6));
  Add("a", "", 10);
  EXPECT_THAT(Offer(), IsEmpty());
  clock_.Advance(seconds(6));
  client_.Tick();
  EXPECT_FALSE(client_.TakeUpdate());
  EXPECT_TRUE(Has("a"));
  // An end that waits is none when it is heard of meanwhile.
  clock_.Advance(seconds(5));
  client_.Tick();
  Add("a", "", 10);
  EXPECT_THAT(Offer(), IsEmpty());
  EXPECT_FALSE(client_.TakeUpdate());
  EXPECT_TRUE(Has("a"));
  // A promise that is made for good has no end.
  Add("a", "w");
  Offer();
  EXPECT_EQ(client_.NextDeadline(), std::nullopt);
}

// Whoever cannot do without it keeps it for another of its lifetimes.
TEST_F(DeltaTtlTest, AnEndThatIsRefusedComesAgain) {
  client_.OnConnected();
  Add("a", "v", 10);
  Offer();
  for (int i = 0; i < 2; ++i) {
    clock_.Advance(seconds(10));
    client_.Tick();
    const auto update = client_.TakeUpdate();
    ASSERT_TRUE(update) << i;
    ASSERT_TRUE(client_.Reject(update->id, "needed").ok());
    EXPECT_TRUE(Has("a"));
    EXPECT_EQ(client_.NextDeadline(), clock_.Now() + seconds(10));
  }
}

TEST_F(DeltaTtlTest, AnEndOutlivesItsStream) {
  client_.OnConnected();
  Add("a", "v", 10);
  Offer();
  clock_.Advance(seconds(10));
  client_.Tick();
  client_.OnDisconnected();
  const auto update = client_.TakeUpdate();
  ASSERT_TRUE(update);
  ASSERT_TRUE(client_.Accept(update->id).ok());
  EXPECT_FALSE(Has("a"));
}

TEST_F(DeltaTtlTest, RefusesAResponseThatContradictsItself) {
  client_.OnConnected();
  DeltaDiscoveryRequest request;
  while (client_.Next(&request)) {
  }
  Add("a", "1");
  Add("a", "2");  // T14
  EXPECT_THAT(Offer(), IsEmpty());
  ASSERT_TRUE(client_.Next(&request));
  EXPECT_EQ(request.error_detail().message(), "duplicate resource a");
  Add("a", "1");
  response_.mutable_resources(0)->mutable_resource()->set_type_url(std::string(kCluster));  // T5
  EXPECT_THAT(Offer(), IsEmpty());
  ASSERT_TRUE(client_.Next(&request));
  EXPECT_NE(request.error_detail().message(), "");
  EXPECT_FALSE(Has("a"));
}

// By its origin the next server is told from one that was set back.
TEST_F(DeltaTtlTest, TellsTheNextStreamWhereItsStateIsFrom) {
  client_.OnConnected();
  Add("a", "v");
  response_.set_system_version_info("history/7");
  Offer();
  EXPECT_EQ(client_.Accepted()->origin, "history/7");
  Add("b", "v");
  Offer();  // Says nothing: what was said stands.
  EXPECT_EQ(client_.Accepted()->origin, "history/7");
  client_.OnDisconnected();
  client_.OnConnected();
  DeltaDiscoveryRequest request;
  ASSERT_TRUE(client_.Next(&request));
  EXPECT_EQ(request.node().metadata().fields().at(std::string(kOriginKey)).string_value(), "history/7");
  EXPECT_EQ(request.initial_resource_versions().size(), 2u);
}

// T29: else the server would answer routes before it knows that Cluster resources are wanted too.
TEST_F(DeltaTtlTest, AsksInMakeOrderWhateverTheOrderOfTheSubscriptions) {
  for (const std::string_view url : {kVirtualHost, kRoute, kEndpoints, kSecret, kCluster}) {
    client_.SubscribeAll(std::string(url));
  }
  client_.OnConnected();
  std::vector<std::string> asked;
  DeltaDiscoveryRequest request;
  while (client_.Next(&request)) asked.push_back(request.type_url());
  EXPECT_THAT(asked, ElementsAre(kSecret, kCluster, kEndpoints, kListener, kRoute, kVirtualHost));
}

// What is asked for while a stream stands is said on it, and whole on the next one.
TEST_F(DeltaTtlTest, SaysASubscriptionOnce) {
  client_.OnConnected();
  DeltaDiscoveryRequest request;
  while (client_.Next(&request)) {
  }
  client_.Subscribe(std::string(kListener), {"a", "b"});
  client_.Unsubscribe(std::string(kListener), {"b"});
  client_.OnDisconnected();
  client_.OnConnected();
  ASSERT_TRUE(client_.Next(&request));
  EXPECT_THAT(request.resource_names_subscribe(), ElementsAre("*", "a"));
  EXPECT_FALSE(client_.Next(&request));
  client_.Subscribe(std::string(kListener), {"c"});
  ASSERT_TRUE(client_.Next(&request));
  EXPECT_THAT(request.resource_names_subscribe(), ElementsAre("c"));
  EXPECT_FALSE(client_.Next(&request));
}

TEST_F(DeltaTtlTest, AnUnsubscriptionBeforeItsStreamIsNotSaid) {
  client_.Subscribe(std::string(kListener), {"a", "b"});
  client_.Unsubscribe(std::string(kListener), {"b", "never asked for"});
  client_.OnConnected();
  DeltaDiscoveryRequest request;
  ASSERT_TRUE(client_.Next(&request));
  EXPECT_THAT(request.resource_names_subscribe(), ElementsAre("*", "a"));
  EXPECT_FALSE(client_.Next(&request));
  // Asked for and not any more, before it was said: nothing is left of it but that.
  client_.Subscribe(std::string(kListener), {"c"});
  client_.Unsubscribe(std::string(kListener), {"c"});
  ASSERT_TRUE(client_.Next(&request));
  EXPECT_THAT(request.resource_names_subscribe(), IsEmpty());
  EXPECT_THAT(request.resource_names_unsubscribe(), ElementsAre("c"));
  EXPECT_FALSE(client_.Next(&request));
}

TEST_F(DeltaTtlTest, RefusesAResponseThatCannotBeAnswered) {
  client_.OnConnected();
  response_.set_type_url(std::string(kListener));
  EXPECT_EQ(client_.OnResponse(response_).error().reason, "NONCE_MISSING");
  response_.Clear();
  response_.set_nonce("1");
  EXPECT_EQ(client_.OnResponse(response_).error().reason, "TYPE_MISSING");
  response_.set_type_url("type.googleapis.com/never.asked.For");  // T27
  EXPECT_TRUE(client_.OnResponse(response_).ok());
  EXPECT_FALSE(client_.TakeUpdate());
}

// A decision is about the update that was taken, not about whichever waits.
TEST_F(DeltaTtlTest, NoDecisionHitsAnotherUpdate) {
  client_.OnConnected();
  EXPECT_EQ(client_.Accept(0).error().reason, "UPDATE_UNKNOWN");
  EXPECT_EQ(client_.Reject(0, "no").error().reason, "UPDATE_UNKNOWN");
  Add("a", "v");
  response_.set_type_url(std::string(kListener));
  response_.set_nonce("1");
  ASSERT_TRUE(client_.OnResponse(response_).ok());
  const auto update = client_.TakeUpdate();
  ASSERT_TRUE(update);
  EXPECT_EQ(client_.Accept(update->id + 1).error().reason, "UPDATE_UNKNOWN");
  EXPECT_EQ(client_.Reject(update->id + 1, "no").error().reason, "UPDATE_UNKNOWN");
  EXPECT_FALSE(Has("a"));
  EXPECT_FALSE(client_.TakeUpdate());  // It waits for its decision.
  ASSERT_TRUE(client_.Accept(update->id).ok());
  EXPECT_TRUE(Has("a"));
  EXPECT_EQ(client_.Accept(update->id).error().reason, "UPDATE_UNKNOWN");
}

}  // namespace
}  // namespace weir::xds
