#include "libs/xds/protocol/delta_client.h"

#include <gmock/gmock.h>
#include <google/protobuf/wrappers.pb.h>
#include <gtest/gtest.h>

#include "envoy/service/discovery/v3/discovery.pb.h"

namespace weir::xds {
namespace {

using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;
using testing::ElementsAre;
using testing::IsEmpty;
using Names = std::vector<std::string>;

class DeltaClientTest : public testing::Test {
 protected:
  DeltaClientTest() : client_(Named("n"), clock_) { client_.SubscribeAll(std::string(kListener)); }

  static Node Named(const char* id) {
    Node node;
    node.id = id;
    return node;
  }
  void Connect() {
    client_.OnConnected();
    first_ = Request();
  }
  DeltaDiscoveryRequest Request() {
    DeltaDiscoveryRequest request;
    EXPECT_TRUE(client_.Next(&request));
    return request;
  }
  struct Sent {
    std::string name, value, version;
  };
  void Respond(const std::vector<Sent>& resources, const Names& removed = {}) {
    DeltaDiscoveryResponse response;
    response.set_type_url(std::string(kListener));
    response.set_nonce(std::to_string(++nonce_));
    for (const Sent& sent : resources) {
      auto* resource = response.add_resources();
      resource->set_name(sent.name);
      resource->set_version(sent.version);
      resource->mutable_resource()->set_type_url(std::string(kListener));
      resource->mutable_resource()->set_value(sent.value);
    }
    for (const std::string& name : removed) response.add_removed_resources(name);
    ASSERT_TRUE(client_.OnResponse(response).ok());
  }
  std::string Value(const std::string& name) {
    const Resource* found = client_.Accepted()->Find(kListener, name);
    return found == nullptr ? "none" : found->value;
  }
  static Names NamesIn(const DeltaDiscoveryRequest& nack) {
    Names names;
    for (const auto& detail : nack.error_detail().details()) {
      google::protobuf::StringValue name;
      EXPECT_TRUE(detail.UnpackTo(&name));
      names.push_back(name.value());
    }
    return names;
  }

  ManualClock clock_;
  DeltaClient client_;
  DeltaDiscoveryRequest first_;
  int nonce_ = 0;
};

// istiod says none; another may say the same for everything.
TEST_F(DeltaClientTest, ComparesBytesNeverVersions) {
  for (const char* version : {"", "always the same"}) {
    Connect();
    for (const char* value : {"1", "2", "3"}) {
      Respond({{"l", value, version}});
      const auto update = client_.TakeUpdate();
      ASSERT_TRUE(update) << value;
      EXPECT_THAT(update->changed, ElementsAre("l"));
      ASSERT_TRUE(client_.Accept(update->id).ok());
      EXPECT_EQ(Value("l"), value);
      EXPECT_FALSE(Request().has_error_detail());
    }
  }
}

TEST_F(DeltaClientTest, TheSameBytesByAnotherVersionAreAcknowledgedAndNotOffered) {
  Connect();
  Respond({{"l", "1", "v1"}});
  ASSERT_TRUE(client_.Accept(client_.TakeUpdate()->id).ok());
  Request();
  Respond({{"l", "1", "v2"}});
  EXPECT_FALSE(client_.TakeUpdate());
  EXPECT_FALSE(Request().has_error_detail());
  Connect();
  EXPECT_EQ(first_.initial_resource_versions().at("l"), "v2");
}

// Who says on which versions it runs must hear of each of them, alone or beside a change.
TEST_F(DeltaClientTest, AnotherVersionOfTheSameBytesIsOfferedToWhoAsksForIt) {
  client_.OfferRenamed();
  Connect();
  Respond({{"l", "1", "v1"}, {"m", "1", "v1"}});
  ASSERT_TRUE(client_.Accept(client_.TakeUpdate()->id).ok());
  Request();
  Respond({{"l", "1", "v2"}});
  auto update = client_.TakeUpdate();
  ASSERT_TRUE(update);
  EXPECT_THAT(update->changed, IsEmpty());
  EXPECT_THAT(update->renamed, ElementsAre("l"));
  EXPECT_EQ(update->view->Find(kListener, "l")->version, "v2");
  ASSERT_TRUE(client_.Accept(update->id).ok());
  EXPECT_FALSE(Request().has_error_detail());
  Respond({{"l", "1", "v3"}, {"m", "2", "v3"}});
  update = client_.TakeUpdate();
  ASSERT_TRUE(update);
  EXPECT_THAT(update->changed, ElementsAre("m"));
  EXPECT_THAT(update->renamed, ElementsAre("l"));
  ASSERT_TRUE(client_.Accept(update->id).ok());
  EXPECT_FALSE(Request().has_error_detail());
  Respond({{"l", "1", "v3"}});  // The same again, as after a question: nothing differs.
  EXPECT_FALSE(client_.TakeUpdate());
}

TEST_F(DeltaClientTest, AnOfferOfABrokenStreamIsNeverAppliedLater) {
  Connect();
  Respond({{"l", "1", "v1"}});
  client_.OnDisconnected();
  EXPECT_FALSE(client_.TakeUpdate());
  Connect();
  EXPECT_FALSE(client_.TakeUpdate());
  EXPECT_THAT(first_.initial_resource_versions(), IsEmpty());
  EXPECT_EQ(Value("l"), "none");
}

TEST_F(DeltaClientTest, AnOfferTakenFromABrokenStreamStaysAndIsSaidToTheNext) {
  Connect();
  Respond({{"l", "1", "v1"}});
  const auto update = client_.TakeUpdate();
  client_.OnDisconnected();
  client_.OnConnected();
  DeltaDiscoveryRequest early;
  EXPECT_FALSE(client_.Next(&early)) << "nobody knows yet what this client has";
  ASSERT_TRUE(client_.Accept(update->id).ok());
  EXPECT_EQ(Request().initial_resource_versions().at("l"), "v1");
  EXPECT_FALSE(client_.Next(&early)) << "an answer of the old stream is nothing to the new one";
}

TEST_F(DeltaClientTest, ABadOneAmongManyIsNamedAndTheOthersAreTaken) {
  Connect();
  Respond({{"a", "1", ""}, {"bad", "1", ""}, {"c", "1", ""}});
  const auto update = client_.TakeUpdate();
  ASSERT_TRUE(client_.Reject(update->id, "no", {"bad"}).ok());
  EXPECT_THAT(NamesIn(Request()), ElementsAre("bad"));
  EXPECT_EQ(Value("a") + Value("bad") + Value("c"), "1none1");
}

TEST_F(DeltaClientTest, WhatIsHeldIsKeptButNotCalledRunningUntilItIsAcceptedAgain) {
  Connect();
  Respond({{"a", "1", "v"}, {"taken", "1", "v"}});
  ASSERT_TRUE(client_.Reject(client_.TakeUpdate()->id, "port", {}, {"taken"}).ok());
  EXPECT_THAT(NamesIn(Request()), ElementsAre("taken"));
  EXPECT_EQ(Value("taken"), "1") << "for last-good, and for the next try";
  Connect();
  EXPECT_EQ(first_.initial_resource_versions().size(), 1u);
  Respond({{"taken", "1", "v"}});
  auto again = client_.TakeUpdate();
  ASSERT_TRUE(again) << "the same bytes are offered again";
  ASSERT_TRUE(client_.Reject(again->id, "port", {}, {"taken"}).ok());
  Request();
  client_.Resubscribe(std::string(kListener), {"taken"});
  const auto asked = Request();
  EXPECT_THAT(Names(asked.resource_names_subscribe().begin(), asked.resource_names_subscribe().end()),
              ElementsAre("taken"));
  Respond({{"taken", "1", "v"}});
  again = client_.TakeUpdate();
  ASSERT_TRUE(again);
  ASSERT_TRUE(client_.Accept(again->id).ok());
  EXPECT_FALSE(Request().has_error_detail());
  Connect();
  EXPECT_EQ(first_.initial_resource_versions().size(), 2u);
}

}  // namespace
}  // namespace weir::xds
