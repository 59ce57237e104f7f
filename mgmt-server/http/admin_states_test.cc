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
    services::AdminStateEnds ends(*backends_);
    ASSERT_TRUE(ends.Pass(last + std::chrono::seconds(seconds_from_last_write)).ok());
  }
  // Of another cluster, by somebody else.
  void SetOther(v2::AdminState state) {
    const auto done = store_->Write([&](store::Txn& txn) -> Result<store::ResourcePtr> {
      const store::ResourcePtr before = txn.Get("organizations/demo-org/clusters/cluster2");
      v2::Cluster cluster;
      EXPECT_TRUE(cluster.ParseFromString(before->body));
      cluster.mutable_spec()->set_admin_state(state);
      return txn.Put({.kind = before->kind,
                      .fqn = before->fqn,
                      .body = cluster.SerializeAsString(),
                      .field_owners = before->field_owners,
                      .expected_etag = before->etag});
    });
    EXPECT_TRUE(done.ok());
  }
  // What the fleet says of a host when a cluster is lost.
  void Say(bool served_then, bool known = true) {
    fleet_.failover = [=](const auto& without) {
      v2::FailoverPlan plan;
      plan.set_host("shop.example.com");
      plan.set_gateway_cluster("edge");
      plan.set_served_now(known);
      plan.set_served_then(known && served_then);
      plan.set_doubt(known ? "" : "nothing was reported");
      for (const std::string& name : without) {
        plan.add_clusters()->set_cluster(name);
        plan.mutable_clusters(0)->set_lost(true);
      }
      return std::vector<v2::FailoverPlan>{plan};
    };
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

TEST_F(AdminStateOfClusters, IsSaidAgainWithoutLosingWhatIsNotSaid) {
  ASSERT_EQ(Post(kPath + ":drain", R"({"reason":"kernel","ttlSeconds":"60"})").status, 200);
  const std::string etag = Get(kPath).etag;
  EXPECT_THAT(Post(kPath + ":drain", "{}").text, HasSubstr("expireTime"));
  EXPECT_EQ(Get(kPath).etag, etag) << "nothing was said";
  EXPECT_THAT(Post(kPath + ":drain", R"({"reason":"disks"})").text, HasSubstr("expireTime"));
  EXPECT_THAT(Post(kPath + ":drain", R"({"ttlSeconds":"-1"})").text, Not(HasSubstr("expireTime")));
  EXPECT_EQ(Changes(), "ACTIVE, DRAINING:disks");
}

// Asked of what takes a cluster out of traffic, and of nothing else.
TEST_F(AdminStateOfClusters, LeavesTrafficOnlyWhereSomebodyIsLeft) {
  const auto reason = [&](const std::string& verb, const char* body = "{}") {
    return Post(kPath + verb, body).reason();
  };
  for (const bool known : {true, false}) {
    Say(false, known);
    const std::string refused = known ? "LAST_RECEIVER" : "HEALTH_UNKNOWN";
    EXPECT_EQ(reason(":drain"), refused);
    EXPECT_EQ(reason(":maintenance"), refused);
    EXPECT_EQ(reason(":standby"), "");
    ASSERT_EQ(reason(":drain", R"({"force":true})"), "");
    EXPECT_EQ(reason(":drain", R"({"reason":"longer","ttlSeconds":"60"})"), "") << "it takes no requests already";
    EXPECT_EQ(reason(":maintenance"), "");
    EXPECT_EQ(reason(":undo"), "") << "to the drain before";
    ASSERT_EQ(reason(":activate"), "");
    EXPECT_EQ(reason(":undo"), refused);
    ASSERT_EQ(State(), "ACTIVE");
  }
  Say(true);
  fleet_.compiled = false;
  EXPECT_EQ(reason(":drain"), "NOT_COMPILED");
  fleet_.compiled = true;
  EXPECT_EQ(reason(":drain"), "");
}

// Somebody else drains the other cluster while this drain is judged.
TEST_F(AdminStateOfClusters, AreJudgedAnewWhenAnotherLeavesMeanwhile) {
  int asked = 0;
  fleet_.failover = [&](const auto&) {
    if (++asked == 1) SetOther(v2::DRAINING);
    v2::FailoverPlan plan;
    plan.set_served_now(true);
    plan.set_served_then(asked == 1);
    return std::vector<v2::FailoverPlan>{plan};
  };
  EXPECT_EQ(Post(kPath + ":drain", "{}").reason(), "LAST_RECEIVER");
  EXPECT_EQ(asked, 2);
}

TEST_F(AdminStateOfClusters, DoNotEndWhereThatLeavesAHostAlone) {
  ASSERT_EQ(Post(kPath + ":drain", "{}").status, 200);
  ASSERT_EQ(Post(kPath + ":activate", R"({"ttlSeconds":"60"})").status, 200);
  const WallTime late = store_->Read()->Get(kFqn)->update_time + std::chrono::seconds(70);
  ManualClock hands;
  services::Backends backends(*store_, *authn_, fleet_, invariants_, stopping_, "", hands);
  services::AdminStateEnds ends(backends);
  const auto overdue = [&] {
    std::string text;
    ends.Render(text);
    return text.substr(text.rfind(' '));
  };
  Say(false);
  ASSERT_TRUE(ends.Pass(late).ok());
  EXPECT_EQ(State(), "ACTIVE");
  EXPECT_EQ(overdue(), " 1\n");
  Say(true);
  ASSERT_TRUE(ends.Pass(late).ok());
  EXPECT_EQ(State(), "ACTIVE") << "asked again only after some seconds";
  hands.Advance(services::AdminStateEnds::kAgain);
  fleet_.compiled = false;
  ASSERT_TRUE(ends.Pass(late).ok());
  EXPECT_EQ(State(), "ACTIVE") << "by what is compiled of all that is stored";
  fleet_.compiled = true;
  ASSERT_TRUE(ends.Pass(late).ok());
  EXPECT_EQ(State(), "DRAINING");
  EXPECT_EQ(overdue(), " 0\n");
  EXPECT_EQ(store_->Audit({})->back().action, "expire");
  // What takes no requests may end in whatever there was.
  Say(false);
  ASSERT_EQ(Post(kPath + ":maintenance", R"({"ttlSeconds":"60"})").status, 200);
  Expire(70);
  EXPECT_EQ(State(), "DRAINING");
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
       {std::string(R"({"ttlSeconds":"-2"})"), std::string(R"({"ttlSeconds":"31536001"})"),
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

// A drain has reached everybody when gateways of all tenants have it; whose it is that has not, who may read it learns.
TEST_F(AdminStateOfClusters, AWaitNamesNoGatewayThatTheCallerMayNotRead) {
  ASSERT_EQ(Apply(kFounding).status, 200);
  const std::string gateway =
      "organizations/demo-org/tenants/demo-tenant/workspaces/demo-ws/gatewaygroups/demo-gw-group/tier1gateways/"
      "service1-tier1";
  fleet_.applied = [&](const std::string&, int64_t) {
    v2::ResourceStatus status;
    status.set_fqn(gateway);
    status.set_state(v2::ResourceStatus::FAILED);
    status.set_reason("REJECTED");
    status.set_message("of servicea.example.com");
    return status;
  };
  const std::string ops = NewUser("ops");
  ASSERT_EQ(Post(kPath + "/accessbindings:grant",
                 R"({"role":"writer","subject":{"user":"organizations/demo-org/users/ops"}})")
                .status,
            200);
  const std::string wait = kPath + "/status?wait=applied&waitSeconds=5";
  const Answer all = Get(wait), little = Send("GET", wait, "", ops);
  EXPECT_THAT(all.text, AllOf(HasSubstr(gateway + ": of servicea.example.com"), HasSubstr("\"" + kFqn + "\"")));
  EXPECT_EQ(little.status, 200) << little.text;
  EXPECT_THAT(little.text, AllOf(HasSubstr("REJECTED"), HasSubstr("\"" + kFqn + "\""), Not(HasSubstr("demo-tenant")),
                                 Not(HasSubstr("servicea"))));
}

}  // namespace
}  // namespace weir::edge
