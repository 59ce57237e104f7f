#include "mgmt-server/http/problem.h"

#include "mgmt-server/http/rest_fixture.h"

namespace weir::edge {
namespace {

TEST(Problem, HasTheMembersOfRfc9457BesideOurOwn) {
  Error error = AlreadyExists("GATEWAY_HOST_TAKEN", "shop.example.com is taken");
  error.violations.push_back({"spec.http[0].hostname", "is taken", 3, 4});
  const v2::ErrorBody body = Problem(409, error, "7f");
  EXPECT_EQ(body.type(), "tag:weir.dev,2026:error/GATEWAY_HOST_TAKEN");
  EXPECT_EQ(body.title(), "Gateway host taken");
  EXPECT_EQ(body.status(), 409);
  EXPECT_EQ(body.detail(), "shop.example.com is taken");
  EXPECT_EQ(body.instance(), "tag:weir.dev,2026:request/7f");
  EXPECT_EQ(body.code(), "ALREADY_EXISTS");
  EXPECT_EQ(body.reason(), "GATEWAY_HOST_TAKEN");
  EXPECT_EQ(body.message(), body.detail());
  EXPECT_EQ(body.request_id(), "7f");
  ASSERT_EQ(body.field_violations_size(), 1);
  EXPECT_EQ(body.field_violations(0).line(), 3);
}

using Problems = RestApi;

// Of the handler, of the screen and of the server itself.
TEST_F(Problems, AreWhatEveryRefusalIs) {
  const Answer answers[] = {Get("/v2/organizations/other"), Send("POST", "/v2/whoami", "{}", ""),
                            Send("POST", "/v2/login", std::string(20'000, ' '), "")};
  const int statuses[] = {404, 401, 413};
  for (size_t i = 0; i < std::size(answers); ++i) {
    EXPECT_EQ(answers[i].status, statuses[i]) << answers[i].text;
    EXPECT_EQ(http::FindHeader(answers[i].headers, "content-type"), "application/problem+json");
    EXPECT_EQ(answers[i].Text({"status"}), std::to_string(statuses[i]));
    EXPECT_EQ(answers[i].Text({"type"}), ProblemType(answers[i].Text({"reason"})));
    EXPECT_EQ(answers[i].Text({"instance"}), "tag:weir.dev,2026:request/" + answers[i].Text({"requestId"}));
  }
}

}  // namespace
}  // namespace weir::edge
