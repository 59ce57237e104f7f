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
