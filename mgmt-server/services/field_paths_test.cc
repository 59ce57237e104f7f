#include "mgmt-server/services/field_paths.h"

#include <gtest/gtest.h>

#include "api/weir/v2/tier1_gateway.pb.h"

namespace weir::services {
namespace {

TEST(FieldPaths, CopyOneMapEntryAndLeaveTheOthers) {
  v2::Tier1Gateway from;
  v2::Tier1Gateway to;
  (*from.mutable_metadata()->mutable_labels())["app.kubernetes.io/name"] = "new";
  (*to.mutable_metadata()->mutable_labels())["app.kubernetes.io/name"] = "old";
  (*to.mutable_metadata()->mutable_labels())["other"] = "stays";
  ASSERT_TRUE(CopyPath(from, to, "metadata.labels.app.kubernetes.io/name"));
  EXPECT_EQ(to.metadata().labels().at("app.kubernetes.io/name"), "new");
  EXPECT_EQ(to.metadata().labels().at("other"), "stays");
  ASSERT_TRUE(CopyPath(from, to, "metadata.labels.other"));
  EXPECT_EQ(to.metadata().labels().count("other"), 0u);
}

TEST(FieldPaths, CopyListsAsAWhole) {
  v2::Tier1Gateway from;
  v2::Tier1Gateway to;
  from.mutable_spec()->add_external_servers()->set_name("a");
  to.mutable_spec()->add_external_servers()->set_name("b");
  to.mutable_spec()->add_external_servers()->set_name("c");
  to.mutable_spec()->mutable_workload_selector()->set_namespace_("n");
  ASSERT_TRUE(CopyPath(from, to, "spec.externalServers"));
  ASSERT_EQ(to.spec().external_servers_size(), 1);
  EXPECT_EQ(to.spec().external_servers(0).name(), "a");
  EXPECT_EQ(to.spec().workload_selector().namespace_(), "n");
  EXPECT_FALSE(CopyPath(from, to, "spec.nothing"));
}

}  // namespace
}  // namespace weir::services
