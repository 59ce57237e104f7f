#include "mgmt-server/http/rest.h"
#include "mgmt-server/http/rest_fixture.h"

namespace weir::edge {
namespace {

using ::testing::HasSubstr;

TEST_F(RestApi, AdoptsNoStateUnseenUnlessByForce) {
  const std::string path = "/v2/serverstate:adopt";
  v2::HeldCluster one;
  one.set_cluster("organizations/demo-org/clusters/one");
  const struct {
    const char* what;
    bool held, away;
    const char* body;
    const char* answer;  // A part of it.
    bool adopted;
  } cases[] = {
      {"look, nothing known", false, true, "{}", "clusters/gone", false},
      {"nobody is held", false, false, R"({"confirm":true})", "nothing to decide", false},
      {"nobody who is here is held", false, true, R"({"confirm":true,"force":true})", "clusters/gone is not connected",
       false},
      {"one is away", true, true, R"({"confirm":true})", "CLUSTERS_AWAY", false},
      {"one is away, by force", true, true, R"({"confirm":true,"force":true})", "clusters/gone", true},
      {"all are here", true, false, R"({"confirm":true})", "clusters/one", true},
  };
  for (const auto& c : cases) {
    fleet_.held.clear();
    fleet_.away.clear();
    if (c.held) fleet_.held.push_back(one);
    if (c.away) fleet_.away.emplace_back("organizations/demo-org/clusters/gone");
    const size_t before = store_->Read()->lineages().size();
    const Answer answer = Post(path, c.body);
    EXPECT_THAT(answer.text, HasSubstr(c.answer)) << c.what;
    EXPECT_EQ(store_->Read()->lineages().size(), before + (c.adopted ? 1 : 0)) << c.what;
  }
}

// Whose write may or may not be stored must hear that, and what to do; what is ours he may look up.
TEST_F(RestApi, SaysWhatTheCallerMustDoAndNamesTheCallOtherwise) {
  const std::string method = "weir.v2.ServerState.AdoptState";
  methods_->Add<v2::AdoptStateRequest, v2::AdoptStateResponse>(
      method, [](auto&, const auto&) { return Unknown("COMMIT_UNKNOWN", "read it again before you repeat it"); });
  EXPECT_THAT(Post("/v2/serverstate:adopt", "{}").Text({"message"}), HasSubstr("read it again"));
  methods_->Add<v2::AdoptStateRequest, v2::AdoptStateResponse>(
      method, [](auto&, const auto&) { return Internal("OURS", "a secret of the store"); });
  const Answer ours = Post("/v2/serverstate:adopt", "{}");
  const std::string id = ours.Text({"requestId"});
  EXPECT_FALSE(id.empty()) << ours.text;
  EXPECT_THAT(ours.Text({"message"}), HasSubstr("request id " + id));
}

}  // namespace
}  // namespace weir::edge
