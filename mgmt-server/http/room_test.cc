#include "mgmt-server/http/rest_fixture.h"
#include "mgmt-server/services/writes.h"

// How much may be stored, and how much goes in one write.
namespace weir::edge {
namespace {

TEST_F(RestApi, ALargeDeletionLetsOthersWriteBetween) {
  ASSERT_EQ(Apply(kSurroundings).status, 200);
  constexpr size_t kGroups = services::Writes::kMostOfDeletion + 100;
  std::string groups;
  for (size_t i = 0; i < kGroups; ++i) {
    groups += fmt::format(
        "---\napiVersion: gateway.weir.dev/v2\nkind: GatewayGroup\nmetadata: {{name: g{}, organization: demo-org, "
        "tenant: demo-tenant, workspace: demo-ws}}\n",
        i);
  }
  ASSERT_EQ(Apply(groups).status, 200);
  const std::string tenant = "/v2/organizations/demo-org/tenants/demo-tenant";
  const int64_t before = store_->Read()->revision();
  EXPECT_EQ(Send("DELETE", tenant + "?cascade=true&resourceVersion=made-up", "", admin_).reason(), "ETAG_MISMATCH");
  EXPECT_EQ(store_->Read()->revision(), before);
  const std::string etag = Get(tenant).etag;
  EXPECT_EQ(Send("DELETE", tenant + "?cascade=true", "", admin_, {{"If-Match", etag}}).status, 200);
  EXPECT_EQ(store_->Read()->revision(), before + 2) << "in two writes";
  EXPECT_EQ(Get(tenant).status, 404);
  store_->Read()->ForEach("organizations/demo-org/tenants/demo-tenant", "", [](const store::ResourcePtr& left) {
    ADD_FAILURE() << left->fqn;
    return false;
  });
  EXPECT_EQ(Apply(kSurroundings).status, 200);
}

class SmallRestApi : public RestApi {
 protected:
  void SetUp() override {
    bounds_ = {.of_tenant = 10, .of_organization = 40};
    RestApi::SetUp();
  }
  Answer AddGroup(const std::string& tenant, const std::string& name) {
    return Apply("apiVersion: gateway.weir.dev/v2\nkind: GatewayGroup\nmetadata: {name: " + name +
                 ", organization: demo-org, tenant: " + tenant + ", workspace: demo-ws}\n");
  }
};

// Each resource has its bindings, which count too.
TEST_F(SmallRestApi, ATenantStoresNoMoreThanItsShare) {
  ASSERT_EQ(Apply(kSurroundings).status, 200);  // A workspace and a group of the tenant.
  Answer last;
  int groups = 1;
  while ((last = AddGroup("demo-tenant", "more" + std::to_string(groups))).status == 200) ++groups;
  EXPECT_EQ(last.status, 429);
  EXPECT_EQ(last.reason(), "TOO_MANY_RESOURCES");
  EXPECT_THAT(last.text, HasSubstr("organizations/demo-org/tenants/demo-tenant holds 10"));
  EXPECT_EQ(store_->Read()->CountBelow("organizations/demo-org/tenants/demo-tenant"), 11u);  // Of the tenant: its own.
  EXPECT_EQ(AddGroup("demo-tenant", "more1").status, 200) << "what is there may be changed";
  const std::string tenants = "/v2/organizations/demo-org/tenants";
  int made = 0;
  while ((last = Post(tenants, R"({"metadata":{"name":"t)" + std::to_string(made) + R"("}})")).status == 200) ++made;
  EXPECT_GT(made, 5) << "one full tenant leaves room to others";
  EXPECT_EQ(last.reason(), "TOO_MANY_RESOURCES");
  EXPECT_THAT(last.text, HasSubstr("organizations/demo-org holds 40"));
  ASSERT_EQ(Send("DELETE", tenants + "/t0", "", admin_).status, 200);
  EXPECT_EQ(Post(tenants, R"({"metadata":{"name":"again"}})").status, 200);
}

}  // namespace
}  // namespace weir::edge
