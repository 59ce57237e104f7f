#include "mgmt-server/fleet/effect.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

namespace weir::fleet {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

template <typename T>
void Put(compile::World& world, const std::string& fqn, const std::string& text) {
  auto message = std::make_shared<T>();
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, message.get())) << text;
  world.Put(fqn, message);
}

TEST(GatewaysTouched, AreThoseWhoseIntentTheWriteMayChange) {
  const std::string workspace = "organizations/o/tenants/t/workspaces/w";
  const std::string group = workspace + "/gatewaygroups/g";
  const std::string entry = group + "/tier1gateways/entry";
  const std::string ingress = group + "/gateways/ingress";
  compile::World world;
  for (const std::string organization : {"organizations/o", "organizations/p"}) {
    Put<v2::Organization>(world, organization, "spec { domain: 'd.example' }");
    Put<v2::Cluster>(world, organization + "/clusters/c1", "spec {}");
  }
  Put<v2::Workspace>(world, workspace, "spec { namespace_selector { names: '*/*' } }");
  Put<v2::GatewayGroup>(world, group, "spec {}");
  Put<v2::Tier1Gateway>(world, entry, R"(spec { workload_selector { namespace: 'n' labels { key: 'a' value: 'b' } }
    external_servers { name: 's' hostname: 'a.example' port: 80 clusters { name: 'c1' } } })");
  Put<v2::Gateway>(world, ingress, R"(spec { workload_selector { namespace: 'n' labels { key: 'a' value: 'c' } }
    http { name: 's' hostname: 'a.example' port: 80 routing { rules {
      route { service_destination { host: 'n/s.n.svc' port: 80 } } } } } })");
  EXPECT_THAT(GatewaysTouched(world, entry), ElementsAre(entry));
  EXPECT_THAT(GatewaysTouched(world, "organizations/o/clusters/c1"), ElementsAre(entry));
  EXPECT_THAT(GatewaysTouched(world, "organizations/p/clusters/c1"), IsEmpty());
  EXPECT_THAT(GatewaysTouched(world, "organizations/o/clusters/c2"), IsEmpty());
  EXPECT_THAT(GatewaysTouched(world, "organizations/o/settings/s"), ElementsAre(entry));
  EXPECT_THAT(GatewaysTouched(world, workspace), ElementsAre(ingress, entry));
  EXPECT_THAT(GatewaysTouched(world, group), ElementsAre(ingress, entry));
  EXPECT_THAT(GatewaysTouched(world, "organizations/o/tenants/t"), IsEmpty());
}

}  // namespace
}  // namespace weir::fleet
