#include "libs/resource/field_paths.h"

#include <gtest/gtest.h>

#include "api/weir/v2/tier1_gateway.pb.h"

namespace weir::resource {
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

TEST(Beyond, KeepsWhatDoesNotFollowFromUnreadFields) {
  const std::vector<FieldViolation> unread = {
      {"spec.a.b", "wrong type", 1, 1}, {"spec.list[2]", "nothing", 2, 2}, {"spec.colour", "unknown", 3, 3}};
  const auto left = WithoutConsequences(unread, {{"spec.a.b", "required", 0, 0},
                                                 {"spec.a", "needs one", 0, 0},
                                                 {"spec.a.b.c", "required", 0, 0},
                                                 {"spec.a.bc", "kept", 0, 0},
                                                 {"spec.list[7].x", "moved", 0, 0},
                                                 {"metadata.name", "kept", 0, 0},
                                                 {"metadata.name", "kept", 0, 0}});
  ASSERT_EQ(left.size(), 2u);
  EXPECT_EQ(left[0].field, "spec.a.bc");
  EXPECT_EQ(left[1].field, "metadata.name");
}

}  // namespace
}  // namespace weir::resource
