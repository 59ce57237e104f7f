#include <gmock/gmock.h>
#include <google/protobuf/wrappers.pb.h>
#include <gtest/gtest.h>

#include "envoy/service/discovery/v3/discovery.pb.h"
#include "libs/xds/protocol/server_stream.h"

namespace weir::xds {
namespace {

using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;
using testing::ElementsAre;

SnapshotPtr Clusters(const std::vector<std::string>& names) {
  auto snapshot = std::make_shared<Snapshot>();
  auto resources = std::make_shared<Resources>();
  for (const std::string& name : names) (*resources)[name] = MakeResource(name, "1");
  snapshot->types[std::string(kCluster)] = std::move(resources);
  return snapshot;
}

// T12: of what a refused answer took away, only what is named stays.
TEST(ServerStreamNack, OfRemovalsOnlyTheNamedOnesAreRefused) {
  ManualClock clock;
  std::vector<AckEvent> events;
  ServerStream stream(std::make_shared<ServerRules>(EnvoyRules()), clock,
                      [&](const AckEvent& event) { events.push_back(event); });
  stream.SetSnapshot(Clusters({"a", "b", "c"}));
  DeltaDiscoveryRequest request;
  request.mutable_node()->set_id("n");
  request.set_type_url(std::string(kCluster));
  ASSERT_TRUE(stream.OnRequest(request).ok());
  DeltaDiscoveryResponse response;
  ASSERT_TRUE(stream.Next(&response));
  request.set_response_nonce(response.nonce());
  ASSERT_TRUE(stream.OnRequest(request).ok());

  stream.SetSnapshot(Clusters({"c"}));
  clock.Advance(std::chrono::minutes(1));
  ASSERT_TRUE(stream.Tick().ok());
  response.Clear();
  ASSERT_TRUE(stream.Next(&response));
  ASSERT_EQ(response.removed_resources_size(), 2);
  events.clear();
  request.set_response_nonce(response.nonce());
  request.mutable_error_detail()->set_message("b is needed");
  google::protobuf::StringValue name;
  name.set_value("b");
  request.mutable_error_detail()->add_details()->PackFrom(name);
  ASSERT_TRUE(stream.OnRequest(request).ok());
  ASSERT_EQ(events.size(), 1u);
  EXPECT_FALSE(events[0].accepted);
  EXPECT_THAT(events[0].removed, ElementsAre("a"));
  const auto held = stream.Acknowledged(kCluster);
  EXPECT_TRUE(held.contains("b"));
  EXPECT_FALSE(held.contains("a"));
}

// T24: what a client has is what it says of what it asks for; the rest it may claim and is not believed.
TEST(ServerStreamBrought, CountsOnlyWhatIsAskedFor) {
  ManualClock clock;
  std::vector<AckEvent> events;
  ServerStream stream(std::make_shared<ServerRules>(EnvoyRules()), clock,
                      [&](const AckEvent& event) { events.push_back(event); });
  stream.SetSnapshot(Clusters({"a", "b"}));
  DeltaDiscoveryRequest request;
  request.mutable_node()->set_id("n");
  request.set_type_url(std::string(kCluster));
  request.add_resource_names_subscribe("a");
  (*request.mutable_initial_resource_versions())["a"] = MakeResource("a", "1")->version;
  (*request.mutable_initial_resource_versions())["b"] = MakeResource("b", "1")->version;
  ASSERT_TRUE(stream.OnRequest(request).ok());
  ASSERT_EQ(events.size(), 1u);
  ASSERT_EQ(events[0].accepted_resources.size(), 1u);
  EXPECT_EQ(events[0].accepted_resources[0].name, "a");
  EXPECT_EQ(stream.Acknowledged(kCluster).size(), 1u);
  DeltaDiscoveryResponse response;
  EXPECT_FALSE(stream.Next(&response));  // It has all that it asks for.
}

// The time at which what was brought may be removed without waiting for types that are never asked for.
TEST(ServerStreamBrought, GraceEndsByItself) {
  ManualClock clock;
  const auto rules = std::make_shared<ServerRules>(EnvoyRules());
  ServerStream stream(rules, clock, [](const AckEvent&) {});
  EXPECT_EQ(stream.NextDeadline(), std::nullopt);  // Nobody is there.
  stream.SetSnapshot(Clusters({"a"}));
  DeltaDiscoveryRequest request;
  request.mutable_node()->set_id("n");
  request.set_type_url(std::string(kCluster));
  request.add_resource_names_subscribe("*");
  (*request.mutable_initial_resource_versions())["a"] = MakeResource("a", "1")->version;
  (*request.mutable_initial_resource_versions())["gone"] = "1";
  ASSERT_TRUE(stream.OnRequest(request).ok());
  DeltaDiscoveryResponse response;
  ASSERT_TRUE(stream.Next(&response));  // All is asked for, so something is said, and nothing taken away yet.
  EXPECT_TRUE(response.resources().empty() && response.removed_resources().empty());
  request.Clear();
  request.set_type_url(std::string(kCluster));
  request.set_response_nonce(response.nonce());
  ASSERT_TRUE(stream.OnRequest(request).ok());
  EXPECT_FALSE(stream.Next(&response));
  ASSERT_EQ(stream.NextDeadline(), clock.Now() + rules->ack_timeout);
  clock.Advance(rules->ack_timeout);
  ASSERT_TRUE(stream.Tick().ok());
  ASSERT_TRUE(stream.Next(&response));
  EXPECT_THAT(response.removed_resources(), ElementsAre("gone"));
  request.set_response_nonce(response.nonce());
  ASSERT_TRUE(stream.OnRequest(request).ok());
  EXPECT_EQ(stream.NextDeadline(), std::nullopt);
}

}  // namespace
}  // namespace weir::xds
