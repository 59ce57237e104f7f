#include "libs/resource/conflicts.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "api/weir/v2/gateway_group.pb.h"
#include "api/weir/v2/tier1_gateway.pb.h"
#include "api/weir/v2/workspace.pb.h"

namespace weir::resource {
namespace {

using ::testing::IsEmpty;

v2::NamespaceSelector Names(const std::vector<std::string>& names) {
  v2::NamespaceSelector selector;
  for (const std::string& name : names) selector.add_names(name);
  return selector;
}

v2::Tier1Gateway Tier1() {
  v2::Tier1Gateway gateway;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      R"(metadata { name: "a" } spec {
         workload_selector { namespace: "t1" labels { key: "app" value: "gw" } }
         external_servers { name: "s" hostname: "a.example.com" port: 80 tls {}
           clusters { name: "c1" weight: 75 } clusters { name: "c2" weight: 25 } } })",
      &gateway));
  return gateway;
}
GatewayForm Form(const v2::Tier1Gateway& gateway) { return FormOf(std::make_shared<const v2::Tier1Gateway>(gateway)); }

TEST(HostConflicts, ArisesOnlyWhereWorkloadsCanBeShared) {
  auto mine = Tier1();
  auto theirs = mine;
  v2::Workspace workspace;
  *workspace.mutable_spec()->mutable_namespace_selector() = Names({"*/*"});
  v2::GatewayGroup group;
  const GatewayInScope a{"a", Form(mine), &workspace, &group};
  const auto with = [&](const v2::Tier1Gateway& other) {
    return HostConflicts(a, {"b", Form(other), &workspace, &group});
  };
  auto conflicts = with(theirs);
  ASSERT_EQ(conflicts.size(), 1u);
  EXPECT_EQ(conflicts[0].field, "spec.externalServers[0].hostname");
  EXPECT_THAT(HostConflicts(a, a), IsEmpty());
  (*theirs.mutable_spec()->mutable_workload_selector()->mutable_labels())["zone"] = "z";
  EXPECT_EQ(with(theirs).size(), 1u);  // A workload may carry both labels.
  (*theirs.mutable_spec()->mutable_workload_selector()->mutable_labels())["app"] = "other";
  EXPECT_THAT(with(theirs), IsEmpty());
  theirs = mine;
  theirs.mutable_spec()->mutable_external_servers(0)->set_port(81);
  EXPECT_THAT(with(theirs), IsEmpty());
  theirs = mine;
  v2::Workspace east, west;
  *east.mutable_spec()->mutable_namespace_selector() = Names({"east/*"});
  *west.mutable_spec()->mutable_namespace_selector() = Names({"west/*"});
  EXPECT_THAT(HostConflicts({"a", Form(mine), &east, &group}, {"b", Form(theirs), &west, &group}), IsEmpty());
}

}  // namespace
}  // namespace weir::resource
