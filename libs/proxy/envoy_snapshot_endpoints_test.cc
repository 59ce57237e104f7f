#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "libs/proxy/envoy_snapshot.h"

namespace weir::proxy {
namespace {

template <typename Message>
EnvoyResource Resource(const std::string& name, const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return {"type.googleapis.com/" + Message::descriptor()->full_name(), name, message.SerializeAsString()};
}
std::string Endpoint(const std::string& address, const std::string& port) {
  return "lb_endpoints { endpoint { address { socket_address { address: '" + address + "' port_value: " + port +
         " } } } } ";
}

TEST(EnvoySnapshotEndpoints, OneBadTakesNoGoodOneAlong) {
  const auto set = Resource<::envoy::config::cluster::v3::Cluster>(
      "set",
      "name: 'set' type: EDS eds_cluster_config { eds_config { ads {} resource_api_version: V3 } } "
      "connect_timeout { seconds: 1 }");
  const std::string good = Endpoint("127.0.2.10", "15443") + Endpoint("127.0.2.11", "15443");
  const std::pair<const char*, const char*> bad[] = {
      {"not-an-ip", "15443"},        {"", "15443"},           {"127.0.2.12\\n", "15443"}, {"/tmp/x", "15443"},
      {"127.0.2.12\\000x", "15443"}, {"127.0.2.12", "70000"}, {"127.0.2.12", "0"}};
  for (const auto& [address, port] : bad) {
    const auto endpoints = Resource<::envoy::config::endpoint::v3::ClusterLoadAssignment>(
        "set",
        "cluster_name: 'set' endpoints { locality { sub_zone: 'cluster1' } metadata { filter_metadata { "
        "key: 'dev.weir' value { fields { key: 'drained' value { bool_value: true } } } } } " +
            Endpoint(address, port) + good + "}");
    const auto built = BuildSnapshot(std::vector{set, endpoints}, "1");
    ASSERT_TRUE(built.ok()) << built.error().ToString();
    const auto destination = built->snapshot->destination_sets.find("set");
    ASSERT_NE(destination, built->snapshot->destination_sets.end()) << address << ":" << port;
    ASSERT_EQ(destination->second->localities.size(), 1u);
    EXPECT_EQ(destination->second->localities[0].endpoints.size(), 2u) << address << ":" << port;
    EXPECT_TRUE(destination->second->localities[0].drained) << "a drain needs nothing from the cluster that is drained";
  }
}

TEST(EnvoyManifest, NamesOnlyFieldsThatExist) {
  std::string_view text = EnvoyManifest();
  const auto* pool = google::protobuf::DescriptorPool::generated_pool();
  size_t lines = 0;
  while (!text.empty()) {
    const std::string line(text.substr(0, text.find('\n')));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const std::string field = line.substr(0, line.find(' '));
    EXPECT_NE(pool->FindFieldByName(field), nullptr) << field;
    const std::string rest = line.substr(field.size() + 1);
    EXPECT_TRUE(rest == "supported" || rest.starts_with("ignored ")) << line;
    ++lines;
  }
  EXPECT_GT(lines, 100u);
}

}  // namespace
}  // namespace weir::proxy
