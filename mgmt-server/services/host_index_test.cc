#include "mgmt-server/services/host_index.h"

#include <gmock/gmock.h>

namespace weir::services {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(HostIndex, FindsWhatMeetsInOneTenant) {
  const std::string ours = "organizations/o/tenants/a", theirs = "organizations/o/tenants/b";
  const auto in = [](const std::string& tenant, const std::string& name) {
    return tenant + "/workspaces/w/gatewaygroups/g/gateways/" + name;
  };
  HostIndex index;
  for (const std::string& tenant : {ours, theirs}) {
    index.Add("a.example.com", in(tenant, "exact"));
    index.Add("*.example.com", in(tenant, "pattern"));
    index.Add("*.com", in(tenant, "wide"));
    index.Add("example.org", in(tenant, "other"));
  }
  EXPECT_THAT(index.Meeting("a.example.com", ours),
              ElementsAre(in(ours, "exact"), in(ours, "pattern"), in(ours, "wide")));
  EXPECT_THAT(index.Meeting("*.example.com", theirs),
              ElementsAre(in(theirs, "exact"), in(theirs, "pattern"), in(theirs, "wide")));
  EXPECT_THAT(index.Meeting("*.org", ours), ElementsAre(in(ours, "other")));
  EXPECT_THAT(index.Meeting("b.net", ours), IsEmpty());
  EXPECT_THAT(index.Meeting("a.example.com", "organizations/o/tenants/c"), IsEmpty());
  EXPECT_THAT(index.Of("example.org"), ElementsAre(in(ours, "other"), in(theirs, "other")));
}

}  // namespace
}  // namespace weir::services
