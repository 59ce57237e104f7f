#include "cli/server_fixture.h"

namespace weir::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(CommandLine, WatchesWhatIsThereAndEndsInItsTime) {
  ASSERT_EQ(Run({"watch", "clusters", "--timeout", "1"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("ADDED"));
  EXPECT_THAT(output_, HasSubstr("organizations/acme/clusters/c1\n"));
  EXPECT_THAT(output_, Not(HasSubstr("tenants/t")));
  ASSERT_EQ(Run({"get", "t1", "-w", "--timeout", "1"}), kExitUsage) << "of watch only";
  ASSERT_EQ(Run({"watch", "clusters,workspaces", "--timeout", "1", "-o", "name"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("organizations/acme/tenants/t/workspaces/w\n"));
  ASSERT_EQ(Run({"watch", "cluster", "c1", "--timeout", "1", "-o", "json"}), kExitOk) << error_;
  EXPECT_THAT(output_,
              HasSubstr("{\"type\":\"ADDED\",\"kind\":\"Cluster\",\"fqn\":\"organizations/acme/clusters/c1\""));
  EXPECT_EQ(std::count(output_.begin(), output_.end(), '\n'), 1);
  ASSERT_EQ(Run({"watch", "organizations/acme/tenants/t", "--only-changes", "--timeout", "1"}), kExitOk) << error_;
  EXPECT_EQ(output_, "");
  EXPECT_EQ(Run({"watch", "unicorns", "--timeout", "1"}), kExitRefused);
  EXPECT_EQ(Run({"watch"}), kExitUsage);
}

TEST_F(CommandLine, SaysWhatTenantsTake) {
  ASSERT_EQ(Run({"quota"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("3 of 50000"));
  ASSERT_EQ(Apply("apiVersion: api.weir.dev/v2\nkind: OrganizationSetting\nmetadata: {name: s, organization: acme}\n"
                  "spec: {tenantQuotas: {t: {objects: 4}}}\n"),
            kExitOk)
      << error_;
  ASSERT_EQ(Run({"quota", "t"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("3 of 4"));
  EXPECT_EQ(Run({"quota", "none"}), kExitRefused);
}

}  // namespace
}  // namespace weir::cli
