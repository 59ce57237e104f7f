#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "libs/xds/protocol/server_stream.h"

// One stream for tests, asked and read by hand.
namespace weir::xds {

using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;
using envoy::service::discovery::v3::DiscoveryRequest;
using envoy::service::discovery::v3::DiscoveryResponse;
using Names = std::vector<std::string>;

inline std::string EdsCluster(const std::string& name, int timeout = 1) {
  envoy::config::cluster::v3::Cluster cluster;
  cluster.set_name(name);
  cluster.set_type(envoy::config::cluster::v3::Cluster::EDS);
  cluster.mutable_connect_timeout()->set_seconds(timeout);
  return cluster.SerializeAsString();
}

using Content = std::map<std::string_view, std::map<std::string, std::string>>;
inline SnapshotPtr Make(const Content& content, Duration ttl = Duration{0}) {
  auto snapshot = std::make_shared<Snapshot>();
  for (const auto& [type, resources] : content) {
    auto map = std::make_shared<Resources>();
    for (const auto& [name, value] : resources) (*map)[name] = MakeResource(name, value, ttl);
    snapshot->types[std::string(type)] = std::move(map);
  }
  return snapshot;
}

class StreamTest : public testing::Test {
 protected:
  void Rules(ServerRules rules) {
    stream_ = std::make_unique<ServerStream>(std::make_shared<ServerRules>(std::move(rules)), clock_,
                                             [this](const AckEvent& event) { events_.push_back(event); });
  }
  void SetUp() override { Rules(EnvoyRules()); }

  Status Delta(std::string_view type, const Names& add = {}, const Names& drop = {}, const std::string& nonce = "",
               const std::string& error = "", const std::map<std::string, std::string>& have = {}) {
    DeltaDiscoveryRequest request;
    request.mutable_node()->set_id("n");
    request.mutable_node()->add_client_features(std::string(kFeatureHeartbeat));
    request.set_type_url(std::string(type));
    for (const auto& name : add) request.add_resource_names_subscribe(name);
    for (const auto& name : drop) request.add_resource_names_unsubscribe(name);
    for (const auto& [name, version] : have) (*request.mutable_initial_resource_versions())[name] = version;
    request.set_response_nonce(nonce);
    if (!error.empty()) request.mutable_error_detail()->set_message(error);
    return stream_->OnRequest(request);
  }
  Status World(std::string_view type, const Names& names = {}, const std::string& nonce = "",
               const std::string& error = "") {
    DiscoveryRequest request;
    request.mutable_node()->set_id("n");
    request.set_type_url(std::string(type));
    for (const auto& name : names) request.add_resource_names(name);
    request.set_response_nonce(nonce);
    if (!error.empty()) request.mutable_error_detail()->set_message(error);
    return stream_->OnRequest(request);
  }
  // "" = nothing to send; else the short type with + and - names, as "Cluster +a -b".
  std::string NextDelta() {
    DeltaDiscoveryResponse next;
    if (!stream_->Next(&next)) return "";
    delta_ = next;
    std::string text = delta_.type_url().substr(delta_.type_url().rfind('.') + 1);
    for (const auto& r : delta_.resources()) text += (r.has_resource() ? " +" : " ~") + r.name();
    for (const auto& name : delta_.removed_resources()) text += " -" + name;
    return text;
  }
  std::string NextWorld() {
    DiscoveryResponse next;
    if (!stream_->Next(&next)) return "";
    world_ = next;
    std::string text = world_.type_url().substr(world_.type_url().rfind('.') + 1);
    for (const auto& any : world_.resources()) text += " " + any.value();
    return text;
  }
  Status Ack() { return Delta(delta_.type_url(), {}, {}, delta_.nonce()); }
  Status Nack() { return Delta(delta_.type_url(), {}, {}, delta_.nonce(), "bad"); }
  // Answers everything until nothing is due.
  Names Drain() {
    Names all;
    for (std::string text = NextDelta(); !text.empty(); text = NextDelta()) {
      all.push_back(text);
      EXPECT_TRUE(Ack().ok());
    }
    return all;
  }

  ManualClock clock_;
  std::unique_ptr<ServerStream> stream_;
  std::vector<AckEvent> events_;
  DeltaDiscoveryResponse delta_;
  DiscoveryResponse world_;
};

}  // namespace weir::xds
