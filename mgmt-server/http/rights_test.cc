#include "mgmt-server/http/rest_fixture.h"

namespace weir::edge {
namespace {

// The right before the names: else whoever is signed in could ask for the clusters of every organization.
TEST_F(RestApi, WhoMayNotAskForFailoverLearnsOfNoCluster) {
  ASSERT_EQ(Apply(kSurroundings).status, 200);
  const std::string failover = "/v2/organizations/demo-org/failover?without=";
  EXPECT_EQ(Get(failover + "cluster1").status, 200);
  EXPECT_EQ(Get(failover + "none").status, 400);
  const std::string eve = NewUser("eve");
  const Answer known = Send("GET", failover + "cluster1", "", eve);
  const Answer unknown = Send("GET", failover + "none", "", eve);
  EXPECT_EQ(known.status, 404) << known.text;
  EXPECT_EQ(unknown.status, 404) << unknown.text;
  EXPECT_EQ(known.Text({"message"}), unknown.Text({"message"}));
}

std::string WorkspaceDocument(const std::string& name, const std::string& more = "") {
  return "---\napiVersion: api.weir.dev/v2\nkind: Workspace\nmetadata: {name: " + name +
         ", organization: demo-org, tenant: t}\nspec: {namespaceSelector: {names: [\"*/" + name + "\"" + more + "]}}\n";
}
std::string GatewayDocument(const std::string& workspace, const std::string& server) {
  return "---\napiVersion: gateway.weir.dev/v2\nkind: Gateway\nmetadata: {name: shop, organization: demo-org, tenant: "
         "t, "
         "workspace: " +
         workspace + ", group: g}\nspec:\n  workloadSelector: {namespace: " + workspace +
         ", labels: {app: gw}}\n  http:\n  - name: " + server +
         "\n    hostname: shop.example.com\n    port: 80\n    routing: {rules: [{route: {serviceDestination: {host: " +
         workspace + "/web.x, port: 80}}}]}\n";
}

TEST_F(RestApi, AnEditorOfOneWorkspaceTakesNothingOfANeighbour) {
  std::string documents = "apiVersion: api.weir.dev/v2\nkind: Tenant\nmetadata: {name: t, organization: demo-org}\n";
  for (const char* name : {"a1", "a2"}) {
    documents +=
        WorkspaceDocument(name) +
        "---\napiVersion: gateway.weir.dev/v2\nkind: GatewayGroup\nmetadata: {name: g, organization: demo-org, "
        "tenant: t, workspace: " +
        name + "}\n";
  }
  const Answer made = Apply(documents + GatewayDocument("a2", "s"));
  ASSERT_EQ(made.status, 200) << made.text;
  const std::string mal = NewUser("mal");
  ASSERT_EQ(Post("/v2/organizations/demo-org/tenants/t/workspaces/a1/accessbindings:grant",
                 R"({"role":"editor","subject":{"user":"organizations/demo-org/users/mal"}})")
                .status,
            200);
  const Answer host = Apply(GatewayDocument("a1", "s"), "", false, mal);
  EXPECT_EQ(host.reason(), "HOST_TAKEN_BY_ANOTHER_WORKSPACE") << host.text;
  EXPECT_THAT(host.text, Not(HasSubstr("workspaces/a2")));
  const Answer wider = Apply(WorkspaceDocument("a1", ", \"*/db\""), "", true, mal);
  EXPECT_EQ(wider.status, 404) << wider.text;
  EXPECT_THAT(wider.text, HasSubstr("needs the right write on organizations/demo-org/tenants/t"));
  // Who may write both may let both answer, and what is stored may be changed otherwise.
  EXPECT_EQ(Apply(GatewayDocument("a1", "s")).status, 200);
  const Answer renamed = Apply(GatewayDocument("a1", "renamed"), "", true, mal);
  EXPECT_EQ(renamed.status, 200) << renamed.text;
}

// Who made a user may set its password, until it may more than he: to become it would be to become that.
TEST_F(RestApi, NobodySetsThePasswordOfWhoMayMoreThanHe) {
  const std::string users = "/v2/organizations/demo-org/users";
  const std::string ann = NewUser("ann");
  const auto grant = [&](const std::string& where, const std::string& role, const std::string& user) {
    return Post("/v2/organizations/demo-org" + where + "/accessbindings:grant",
                R"({"role":")" + role + R"(","subject":{"user":"organizations/demo-org/users/)" + user + "\"}}")
        .status;
  };
  ASSERT_EQ(grant("", "creator", "ann"), 200);
  ASSERT_EQ(Send("POST", users, R"({"metadata":{"name":"puppet"},"spec":{}})", ann).status, 200);
  const auto set = [&](const std::string& token) {
    const Answer answer = Send("POST", users + "/puppet:setPassword", R"({"password":"strings-to-pull"})", token);
    return answer.status == 200 ? "" : answer.reason();
  };
  EXPECT_EQ(set(ann), "");
  ASSERT_EQ(grant("", "creator", "puppet"), 200);
  EXPECT_EQ(set(ann), "") << "what she holds too";
  ASSERT_EQ(Post("/v2/organizations/demo-org/tenants", R"({"metadata":{"name":"t"}})").status, 200);
  ASSERT_EQ(grant("/tenants/t", "writer", "puppet"), 200);
  EXPECT_EQ(set(ann), "USER_EXCEEDS_OWN") << "a right more, somewhere";
  EXPECT_EQ(set(admin_), "");
  ASSERT_EQ(grant("/tenants/t", "writer", "ann"), 200);
  EXPECT_EQ(set(ann), "");
  // The roles of the installation stand in no document and count too.
  ASSERT_EQ(grant("", "admin", "ann"), 200);
  EXPECT_EQ(Send("POST", users + "/admin:setPassword", R"({"password":"strings-to-pull"})", ann).reason(),
            "USER_EXCEEDS_OWN");
}

TEST_F(RestApi, OnesOwnPasswordIsSetWithTheOldOne) {
  const std::string path = "/v2/organizations/demo-org/users/eve:setPassword";
  std::string eve = NewUser("eve");
  const auto set = [&](const std::string& body, const std::string& token) {
    const Answer answer = Send("POST", path, body, token);
    return answer.status == 200 ? "" : answer.reason();
  };
  EXPECT_EQ(set(R"({"password":"another-password"})", eve), "OLD_PASSWORD_MISSING");
  EXPECT_EQ(set(R"({"password":"another-password","oldPassword":"a-wrong-password"})", eve), "OLD_PASSWORD_WRONG");
  eve = Login("eve", "a-long-password");  // Nothing was set.
  EXPECT_EQ(set(R"({"password":"another-password","oldPassword":"a-long-password"})", eve), "");
  EXPECT_EQ(Send("GET", "/v2/whoami", "", eve).status, 401);
  eve = Login("eve", "another-password");
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(set(R"({"password":"mine-from-now-on","oldPassword":"a-guess"})", eve), "OLD_PASSWORD_WRONG");
  }
  const std::string right = R"({"password":"mine-from-now-on","oldPassword":"another-password"})";
  const Answer slowed = Send("POST", path, right, eve);
  EXPECT_EQ(slowed.reason(), "TOO_MANY_ATTEMPTS") << slowed.text;
  EXPECT_NE(http::FindHeader(slowed.headers, "Retry-After"), "");
  EXPECT_EQ(set(R"({"password":"set-by-somebody-else"})", admin_), "");  // Who may says who eve is.
  // An administrator's own token is no more than anybody's.
  EXPECT_EQ(Post("/v2/organizations/demo-org/users/admin:setPassword", R"({"password":"another-password"})").reason(),
            "OLD_PASSWORD_MISSING");
}

}  // namespace
}  // namespace weir::edge
