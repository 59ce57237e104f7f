#include "mgmt-server/http/watch_fixture.h"
#include "mgmt-server/services/quotas.h"
#include "tests/support/real_time.h"

namespace weir::edge {
namespace {

TEST(TenantOf, IsWhatANameLiesIn) {
  EXPECT_EQ(services::TenantOf("organizations/o/tenants/t"), "organizations/o/tenants/t");
  EXPECT_EQ(services::TenantOf("organizations/o/tenants/t/workspaces/w"), "organizations/o/tenants/t");
  EXPECT_EQ(services::TenantOf("organizations/o/tenants/t/accessbindings"), "organizations/o/tenants/t");
  for (const char* none : {"", "organizations/o", "organizations/o/clusters/c", "organizations/o/accessbindings"}) {
    EXPECT_EQ(services::TenantOf(none), "") << none;
  }
}

class QuotaTest : public WatchTest {
 protected:
  static std::string Workspace(const std::string& name) {
    return R"({"metadata":{"name":")" + name + R"("},"spec":{"namespaceSelector":{"names":["*/)" + name + R"("]}}})";
  }
  Answer Set(const std::string& quotas, const std::string& token = "") {
    return Apply(
        "apiVersion: api.weir.dev/v2\nkind: OrganizationSetting\nmetadata: {name: s, organization: "
        "demo-org}\nspec: {" +
            quotas + "}\n",
        "", true, token);
  }
};

TEST_F(QuotaTest, RefusesWhatIsMoreAndNeverWhatIsThere) {
  MakeTenant("t");
  MakeTenant("u");
  const std::string in_t = kTenants + "/t/workspaces", in_u = kTenants + "/u/workspaces";
  EXPECT_EQ(Set("tenantQuota: {objects: 3}, tenantQuotas: {u: {objects: 1}}").status, 200);
  for (const char* name : {"a", "b", "c"}) EXPECT_EQ(Post(in_t, Workspace(name)).status, 200);
  const Answer more = Post(in_t, Workspace("d"));
  EXPECT_EQ(more.status, 429);
  EXPECT_EQ(more.reason(), "QUOTA_EXCEEDED");
  EXPECT_THAT(more.text, HasSubstr("the quota objects of organizations/demo-org/tenants/t is reached: 3 of 3"));
  EXPECT_EQ(Post(in_u, Workspace("x")).status, 200);
  EXPECT_EQ(Post(in_u, Workspace("y")).reason(), "QUOTA_EXCEEDED");
  // Lowered below what is there: all of it stays and can be changed, and deleted.
  EXPECT_EQ(Set("tenantQuota: {objects: 1}").status, 200);
  EXPECT_EQ(Rename("t", "still mine").empty(), false);
  EXPECT_EQ(Send("DELETE", in_t + "/a", "", admin_).status, 200);
  EXPECT_EQ(Post(in_t, Workspace("a")).reason(), "QUOTA_EXCEEDED");
  const Answer use = Get(kTenants + "/t:quota");
  EXPECT_EQ(use.Text({"objects", "used"}), "2") << use.text;
  EXPECT_EQ(use.Text({"objects", "limit"}), "1");
  EXPECT_EQ(use.Text({"watches", "limit"}), "200");
  EXPECT_EQ(Send("GET", kTenants + "/t:quota", "", NewUser("eve")).status, 404);
}

TEST_F(QuotaTest, OfWatchesOfATenant) {
  MakeTenant("t");
  EXPECT_EQ(Set("tenantQuotas: {t: {watches: 2}}").status, 200);
  v2::WatchRequest request = Everything(false);
  request.set_parent("organizations/demo-org/tenants/t");
  auto first = std::make_unique<Reader>(*methods_, admin_, request);
  const Reader second(*methods_, admin_, request);
  EXPECT_FALSE(first->refused() || second.refused());
  EXPECT_EQ(Reader(*methods_, admin_, request).refused()->reason, "QUOTA_EXCEEDED");
  EXPECT_EQ(Get(kTenants + "/t:quota").Text({"watches", "used"}), "2");
  EXPECT_FALSE(Reader(*methods_, admin_, Everything(false)).refused()) << "of the whole organization";
  first.reset();
  EXPECT_TRUE(Eventually([&] { return !Reader(*methods_, admin_, request).refused(); }));
}

TEST_F(QuotaTest, OnlyAnAdministratorOfTheOrganizationSetsThem) {
  const std::string ann = NewUser("ann");
  const auto grant = [&](const std::string& role) {
    return Post("/v2/organizations/demo-org/accessbindings:grant",
                R"({"role":")" + role + R"(","subject":)" + User("ann") + "}")
        .status;
  };
  ASSERT_EQ(grant("editor"), 200);
  EXPECT_EQ(Set("expiredIdentityGrace: 60s", ann).status, 200);
  const Answer refused = Set("expiredIdentityGrace: 60s, tenantQuota: {objects: 5}", ann);
  EXPECT_EQ(refused.status, 403) << refused.text;
  EXPECT_THAT(refused.text, HasSubstr("set-policy"));
  EXPECT_EQ(Set("expiredIdentityGrace: 60s, tenantQuota: {objects: 5}").status, 200);
  EXPECT_EQ(Set("expiredIdentityGrace: 90s, tenantQuota: {objects: 5}", ann).status, 200) << "what is set he may keep";
  EXPECT_EQ(Set("expiredIdentityGrace: 90s, tenantQuota: {objects: 6}", ann).status, 403);
  EXPECT_EQ(Send("DELETE", "/v2/organizations/demo-org/settings/s", "", ann).status, 403) << "that lifts them";
  ASSERT_EQ(grant("admin"), 200);
  EXPECT_EQ(Set("tenantQuota: {objects: 6}", ann).status, 200);
  EXPECT_EQ(Set("tenantQuota: {objects: -1}").status, 400);
  EXPECT_EQ(Set("tenantQuotas: {Not_A_Name: {objects: 1}}").status, 400);
}

}  // namespace
}  // namespace weir::edge
