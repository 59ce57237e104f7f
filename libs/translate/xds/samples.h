#pragma once

// A small edge and a small cluster, for the tests of this folder.

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "api/weir/agent/v1/discovery.pb.h"
#include "libs/base/sha256.h"
#include "libs/translate/xds/envoy.h"
#include "libs/translate/xds/translator.h"

namespace weir::translate::samples {

using namespace envoy_v3;  // NOLINT: the vocabulary of the tests.

inline constexpr NodeProfile kOurs{.vhds = true, .stock_envoy = false};
inline constexpr NodeProfile kStock{.vhds = false, .stock_envoy = true};

template <typename Message>
Message Text(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

template <typename Message>
void Put(const std::string& text, Intent* intent) {
  const Message message = Text<Message>(text);
  const std::string bytes = Bytes(message);
  const Status status = UpsertIntent("type.googleapis.com/" + Message::descriptor()->full_name(), message.name(),
                                     Sha256Hex(bytes).substr(0, 16), bytes, intent);
  ASSERT_TRUE(status.ok()) << status.error().ToString();
}

inline Facts MakeFacts(const std::string& text) { return FactsFrom(Text<v1::Discovery>(text)); }

inline Facts Edge() {
  return MakeFacts(R"(workloads { name: "t1" namespace: "edge" labels { key: "app" value: "t1" } addresses: "127.0.1.10"
                                  ports { key: 80 value: 18080 } })");
}

inline Intent EdgeIntent() {
  Intent intent;
  Put<mesh::v1::Listener>(R"(name: "edge/app=t1/80" port: 80 tier: TIER1
                             selector { namespace: "edge" labels { key: "app" value: "t1" } })",
                          &intent);
  Put<mesh::v1::Host>(R"(name: "edge/app=t1/80/shop.example" hostname: "shop.example" listener: "edge/app=t1/80"
    routes { name: "web/0" match { exact: "/old" } match { prefix: "/older/" } redirect { authority: "new.example" code: 308 } }
    routes { name: "web/1" match { prefix: "/ping" } direct_response { status: 204 } }
    routes { name: "web/2" destination_set: "set" })",
                      &intent);
  Put<mesh::v1::DestinationSet>(R"(name: "set" hostname: "shop.example"
    clusters { cluster: "c1" weight: 75 endpoints: "c1/shop.example" region: "eu" }
    clusters { cluster: "c2" weight: 25 endpoints: "c2/shop.example" region: "us" }
    clusters { cluster: "c3" weight: 0 endpoints: "c3/shop.example" })",
                                &intent);
  Put<mesh::v1::ServiceEndpoints>(
      R"(name: "c1/shop.example" cluster: "c1" hostname: "shop.example" trust_domain: "c1.weir"
    endpoints { address: "127.0.2.10" port: 15443 spiffe_id: "spiffe://c1.weir/ns/in/sa/t2" })",
      &intent);
  Put<mesh::v1::ServiceEndpoints>(
      R"(name: "c2/shop.example" cluster: "c2" hostname: "shop.example" trust_domain: "c2.weir"
    endpoints { address: "127.0.3.10" port: 15443 spiffe_id: "spiffe://c2.weir/ns/in/sa/t2" })",
      &intent);
  Put<mesh::v1::TrustBundle>(R"(name: "weir" root_pem: "ROOT")", &intent);
  return intent;
}

inline Facts InCluster() {
  return MakeFacts(R"(
    workloads { name: "t2" namespace: "in" labels { key: "app" value: "t2" } addresses: "127.0.2.10" service_account: "t2" }
    workloads { name: "pod1" namespace: "shop" labels { key: "app" value: "web" } addresses: "127.0.2.21" ports { key: 80 value: 8080 } }
    workloads { name: "pod2" namespace: "shop" labels { key: "app" value: "web" } addresses: "127.0.2.22" ports { key: 80 value: 8080 } }
    services { name: "web" namespace: "shop" ports: 80 selector { key: "app" value: "web" } })");
}

inline Intent InClusterIntent() {
  Intent intent;
  Put<mesh::v1::Listener>(R"(name: "in/app=t2/80" port: 80 tier: TIER2
    selector { namespace: "in" labels { key: "app" value: "t2" } })",
                          &intent);
  Put<mesh::v1::Host>(
      R"(name: "in/app=t2/80/shop.example" hostname: "shop.example" listener: "in/app=t2/80" on_mesh: true
    allowed_callers: "spiffe://edge.weir/ns/edge/sa/default"
    routes { name: "web/0" destination_set: "local" timeout { seconds: 3 } })",
      &intent);
  Put<mesh::v1::DestinationSet>(R"(name: "local" hostname: "shop.example"
    service { namespace: "shop" host: "web.shop.svc.cluster.local" port: 80 })",
                                &intent);
  return intent;
}

inline ClusterIdentity Identity(const std::string& cluster) { return {cluster, cluster + ".weir", "ROOT"}; }

template <typename Message>
Message Get(const NodeConfig& config, std::string_view url, const std::string& name) {
  const EnvoyResource* resource = config.Find(url, name);
  Message message;
  if (resource == nullptr) {
    ADD_FAILURE() << url << " " << name << " is missing";
    return message;
  }
  EXPECT_TRUE(message.ParseFromString(resource->resource->value));
  return message;
}

inline std::vector<std::string> Names(const NodeConfig& config, std::string_view url) {
  std::vector<std::string> names;
  for (const auto& [name, resource] : config.types.find(url)->second) names.push_back(name);
  return names;
}

}  // namespace weir::translate::samples
