#include "mgmt-server/services/admin_states.h"

#include "mgmt-server/http/rest_fixture.h"

namespace weir::edge {
namespace {

const std::string kFqn = "organizations/demo-org/clusters/cluster1";
const std::string kPath = "/v2/" + kFqn;

class AdminStateOfClusters : public RestApi {
 protected:
  void SetUp() override {
    RestApi::SetUp();
    ASSERT_EQ(Apply(kSurroundings).status, 200);
  }
  std::string State() { return Get(kPath).Text({"spec", "adminState"}); }
  // "ACTIVE, STANDBY:dear": each with its reason.
  std::string Changes() {
    std::string text;
    const document::Node body = Get(kPath).body;
    const document::Node* state = body.Find("state");
    const document::Node* list = state == nullptr ? nullptr : state->Find("adminChanges");
    if (list == nullptr) return text;
    for (const auto& each : list->items) {
      const auto* reason = each.Find("reason");
      const auto* name = each.Find("state");  // ACTIVE, too.
      text += (text.empty() ? "" : ", ") + (name ? name->text : "?") + (reason ? ":" + reason->text : "");
    }
    return text;
  }
  // What ends by then, whichever server looks.
  void Expire(int64_t seconds_from_last_write) {
    const WallTime last = store_->Read()->Get(kFqn)->update_time;
    ASSERT_TRUE(services::ExpireAdminStates(*store_, last + std::chrono::seconds(seconds_from_last_write)).ok());
  }
};

TEST_F(AdminStateOfClusters, HasAReasonAnAuthorAndAnEnd) {
  ASSERT_EQ(Post(kPath + ":standby", R"({"reason":"dear"})").Text({"spec", "adminState"}), "STANDBY");
  const Answer drained = Post(kPath + ":drain", R"({"reason":"kernel","ttlSeconds":"7200"})");
  ASSERT_EQ(drained.status, 200) << drained.text;
  EXPECT_EQ(Changes(), "ACTIVE, STANDBY:dear, DRAINING:kernel");
  EXPECT_THAT(drained.text, HasSubstr(R"("author":"organizations/demo-org/users/admin")"));
  EXPECT_EQ(store_->GetRevision(store_->Read()->revision())->message, "kernel");
  // Said anew: replaced, and nothing more to go back to.
  EXPECT_EQ(Post(kPath + ":drain", R"({"reason":"still","ttlSeconds":"60"})").status, 200);
  EXPECT_EQ(Changes(), "ACTIVE, STANDBY:dear, DRAINING:still");
  Expire(50);
  EXPECT_EQ(State(), "DRAINING");
  Expire(70);
  EXPECT_EQ(State(), "STANDBY");
  EXPECT_EQ(Changes(), "ACTIVE, STANDBY:dear");
  const auto audit = store_->Audit({});
  EXPECT_EQ(audit->back().action, "expire");
  EXPECT_EQ(audit->back().principal, "");
  const int64_t revision = store_->Read()->revision();
  Expire(9'000'000);
  EXPECT_EQ(store_->Read()->revision(), revision) << "nothing else ends";
}

TEST_F(AdminStateOfClusters, IsUndoneUntilADocumentSaysOtherwise) {
  ASSERT_EQ(Post(kPath + ":standby", "{}").status, 200);
  ASSERT_EQ(Post(kPath + ":maintenance", R"({"ttlSeconds":"60"})").Text({"spec", "adminState"}), "MAINTENANCE");
  EXPECT_EQ(Post(kPath + ":undo", "{}").Text({"spec", "adminState"}), "STANDBY");
  EXPECT_EQ(store_->Audit({})->back().action, "undo");
  EXPECT_EQ(Post(kPath + ":undo", "{}").Text({"spec", "adminState"}), "ACTIVE");
  EXPECT_EQ(Post(kPath + ":undo", "{}").reason(), "NOTHING_TO_UNDO");
  ASSERT_EQ(Post(kPath + ":maintenance", R"({"ttlSeconds":"60"})").status, 200);
  const Answer put =
      Send("PUT", kPath, R"({"spec":{"adminState":"STANDBY"}})", admin_, {{"If-Match", Get(kPath).etag}});
  ASSERT_EQ(put.status, 200) << put.text;
  EXPECT_EQ(Changes(), "");
  EXPECT_EQ(Post(kPath + ":undo", "{}").reason(), "NOTHING_TO_UNDO");
  Expire(3600);
  EXPECT_EQ(State(), "STANDBY");
  // Nor do they come back with the state that they were about.
  ASSERT_EQ(Post(kPath + ":maintenance", R"({"ttlSeconds":"60"})").status, 200);
  for (const char* state : {"ACTIVE", "MAINTENANCE"}) {
    const std::string body = fmt::format(R"({{"spec":{{"adminState":"{}"}}}})", state);
    ASSERT_EQ(Send("PUT", kPath, body, admin_, {{"If-Match", Get(kPath).etag}}).status, 200);
  }
  EXPECT_EQ(Post(kPath + ":undo", "{}").reason(), "NOTHING_TO_UNDO");
  Expire(3600);
  EXPECT_EQ(State(), "MAINTENANCE");
}

TEST_F(AdminStateOfClusters, IsNotSetByAnOrderThatCannotBeFollowed) {
  for (const std::string& body :
       {std::string(R"({"ttlSeconds":"-1"})"), std::string(R"({"ttlSeconds":"31536001"})"),
        R"({"reason":")" + std::string(513, 'x') + R"("})", std::string(R"({"reason":"a\nb"})")}) {
    const Answer refused = Post(kPath + ":drain", body);
    EXPECT_EQ(refused.status, 400) << refused.text;
    EXPECT_THAT(refused.text, HasSubstr(body.substr(2, 6)));
  }
  EXPECT_EQ(Changes(), "");
  const Answer unsaid = Apply(R"({"apiVersion": "api.weir.dev/v2", "kind": "Cluster",
    "metadata": {"name": "cluster1", "organization": "demo-org"}, "spec": {"capacity": {}}})");
  EXPECT_THAT(unsaid.text, HasSubstr("spec.capacity.requestsPerSecond"));
  const std::string eve = NewUser("eve");
  for (const char* verb : {":undo", ":standby", ":maintenance", ":drain"}) {
    EXPECT_EQ(Send("POST", kPath + verb, "{}", eve).status, 404) << verb;
  }
}

}  // namespace
}  // namespace weir::edge
