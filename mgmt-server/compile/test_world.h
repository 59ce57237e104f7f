#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "api/weir/mesh/v1/intent.pb.h"
#include "mgmt-server/compile/compile.h"

// For tests of this folder: a small World of one organization, and readers of what is compiled from it.
namespace weir::compile {

inline const std::string kOrg = "organizations/o";
inline const std::string kWs = "organizations/o/tenants/t/workspaces/w";
inline const std::string kGroup = kWs + "/gatewaygroups/g";
inline std::string ClusterName(std::string_view name) { return kOrg + "/clusters/" + std::string(name); }

template <typename T>
std::shared_ptr<T> From(const std::string& text) {
  auto message = std::make_shared<T>();
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, message.get())) << text;
  return message;
}
inline agent::v1::Workload Workload(const std::string& name_space, const std::string& name, const std::string& app,
                                    const std::string& address) {
  return *From<agent::v1::Workload>(fmt::format(
      "name: '{}' namespace: '{}' service_account: 'sa-{}' labels {{ key: 'app' value: '{}' }} addresses: '{}'", name,
      name_space, name, app, address));
}
inline std::string Selector(const std::string& name_space, const std::string& app) {
  return fmt::format("workload_selector {{ namespace: '{}' labels {{ key: 'app' value: '{}' }} }}", name_space, app);
}
inline std::shared_ptr<v2::Tier1Gateway> Tier1(const std::string& host, const std::string& clusters,
                                               int64_t revision = 1) {
  return From<v2::Tier1Gateway>(fmt::format(
      "metadata {{ name: 'a' revision: {} }} spec {{ {} external_servers {{ name: 's' hostname: '{}' port: 80 {} }} }}",
      revision, Selector("t1", "gw1"), host, clusters));
}
inline std::shared_ptr<v2::Gateway> Tier2(const std::string& host, int64_t revision = 1) {
  return From<v2::Gateway>(fmt::format(
      "metadata {{ name: 'b' revision: {} }} spec {{ {} http {{ name: 's' hostname: '{}' port: 80 routing {{ rules {{ "
      "route {{ service_destination {{ host: 'app/web.app.svc.cluster.local' port: 8080 }} }} }} }} }} }}",
      revision, Selector("t2", "gw2"), host));
}
inline constexpr char k7525[] = "clusters { name: 'c1' weight: 75 } clusters { name: 'c2' weight: 25 }";

inline World Demo() {
  World world;
  world.SetRoots("ROOT");
  world.Put(kOrg, From<v2::Organization>("metadata { name: 'o' } spec { domain: 'o.test' }"));
  world.Put(kWs, From<v2::Workspace>("metadata { name: 'w' } spec { namespace_selector { names: '*/*' } }"));
  world.Put(kGroup, From<v2::GatewayGroup>("metadata { name: 'g' } spec {}"));
  for (const char* name : {"edge", "c1", "c2"}) {
    world.Put(ClusterName(name),
              From<v2::Cluster>(
                  fmt::format("metadata {{ name: '{}' }} spec {{ tier1_cluster: {} locality {{ region: 'r-{}' }} }}",
                              name, std::string_view(name) == "edge", name)));
    world.SetConnected(ClusterName(name), true, {});
  }
  world.PutWorkload(ClusterName("edge"), Workload("t1", "gw-a", "gw1", "127.0.1.10"));
  world.PutWorkload(ClusterName("edge"), Workload("t1", "gw-b", "gw1", "127.0.1.11"));
  world.PutWorkload(ClusterName("c1"), Workload("t2", "gw", "gw2", "127.0.2.10"));
  world.PutWorkload(ClusterName("c2"), Workload("t2", "gw", "gw2", "127.0.3.10"));
  world.Put(kGroup + "/tier1gateways/a", Tier1("x.test", k7525));
  world.Put(kGroup + "/gateways/b", Tier2("x.test"));
  return world;
}

template <typename T>
T Read(const ClusterIntent& intent, const std::string& type, const std::string& name) {
  T message;
  const auto found = intent.find({type, name});
  EXPECT_NE(found, intent.end()) << type << " " << name;
  if (found == intent.end()) return message;
  EXPECT_TRUE(message.ParseFromString(found->second.bytes));
  return message;
}
inline std::vector<std::string> Names(const ClusterIntent& intent) {
  std::vector<std::string> names;
  for (const auto& [key, resource] : intent) names.push_back(key.type + " " + key.name);
  return names;
}

}  // namespace weir::compile
