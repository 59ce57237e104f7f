#include "mgmt-server/http/rest.h"

#include "mgmt-server/http/rest_fixture.h"
#include "mgmt-server/http/routes.h"

namespace weir::edge {
namespace {

TEST_F(RestApi, CreatesReadsUpdatesAndDeletesATenant) {
  Answer created = Post("/v2/organizations/demo-org/tenants", R"({"metadata":{"name":"t","displayName":"T"}})");
  ASSERT_EQ(created.status, 200) << created.text;
  EXPECT_EQ(created.Text({"metadata", "fqn"}), "organizations/demo-org/tenants/t");
  EXPECT_EQ(created.Text({"metadata", "organization"}), "demo-org");
  EXPECT_EQ(created.Text({"metadata", "uid"}).size(), 36u);
  const std::string version = created.Text({"metadata", "resourceVersion"});
  EXPECT_EQ(created.etag, "\"" + version + "\"");

  EXPECT_EQ(Get("/v2/organizations/demo-org/tenants/t").text, created.text);
  EXPECT_THAT(Get("/v2/organizations/demo-org/tenants").text, HasSubstr("\"displayName\":\"T\""));

  Answer updated = Send("PUT", "/v2/organizations/demo-org/tenants/t", R"({"metadata":{"name":"t","displayName":"U"}})",
                        admin_, {{"If-Match", created.etag}});
  ASSERT_EQ(updated.status, 200) << updated.text;
  EXPECT_EQ(updated.Text({"metadata", "displayName"}), "U");
  EXPECT_NE(updated.etag, created.etag);

  const Answer stale = Send("DELETE", "/v2/organizations/demo-org/tenants/t", "", admin_, {{"If-Match", created.etag}});
  EXPECT_EQ(stale.reason(), "ETAG_MISMATCH");
  EXPECT_EQ(stale.status, 412);
  EXPECT_EQ(Send("DELETE", "/v2/organizations/demo-org/tenants/t", "", admin_).status, 200);
  EXPECT_EQ(Get("/v2/organizations/demo-org/tenants/t").status, 404);
}

TEST_F(RestApi, RefusesAnUpdateWithAWrongOrMissingEtag) {
  ASSERT_EQ(Post("/v2/organizations/demo-org/tenants", R"({"metadata":{"name":"t"}})").status, 200);
  const std::string path = "/v2/organizations/demo-org/tenants/t";
  Answer wrong = Send("PUT", path, R"({"metadata":{"name":"t","resourceVersion":"nonsense"}})", admin_);
  EXPECT_EQ(wrong.status, 409) << wrong.text;
  EXPECT_EQ(wrong.reason(), "ETAG_MISMATCH");
  EXPECT_EQ(Send("PUT", path, R"({"metadata":{"name":"t"}})", admin_).reason(), "ETAG_REQUIRED");
}

TEST_F(RestApi, NamesEveryMistakeOfABodyAtOnce) {
  const std::string path = "/v2/organizations/demo-org/tenants";
  EXPECT_EQ(Post(path, "{\"metadata\":").status, 400);
  EXPECT_EQ(Post(path, R"({"metadata":{"name":"a"},"metadata":{"name":"b"}})").status, 400);
  Answer unknown = Post(path, R"({"metadata":{"name":"a","colour":"red"},"shape":1})");
  EXPECT_EQ(unknown.status, 400);
  EXPECT_THAT(unknown.text, HasSubstr("metadata.colour"));
  EXPECT_THAT(unknown.text, HasSubstr("\"shape\""));
  EXPECT_THAT(unknown.text, HasSubstr("\"line\":1"));
  EXPECT_FALSE(unknown.Text({"requestId"}).empty());
  EXPECT_EQ(Post(path, R"({"metadata":{"name":"Not a label"}})").status, 400);
  EXPECT_EQ(Post(path, R"({"metadata":{"name":"a","organization":"other"}})").status, 400);
}

TEST_F(RestApi, NamesWhatCannotBeReadAndWhatIsWrongWithTheRestAtOnce) {
  Answer answer = Post("/v2/organizations/demo-org/clusters",
                       R"({"metadata":{"name":"Bad","colour":"red"},"spec":{"locality":{"zone":"z"},"network":7}})");
  EXPECT_EQ(answer.status, 400);
  for (const char* field : {"metadata.colour", "metadata.name", "spec.locality.region", "spec.network"}) {
    EXPECT_THAT(answer.text, HasSubstr("\"" + std::string(field) + "\"")) << answer.text;
  }
  ASSERT_EQ(Apply(kSurroundings).status, 200);
  std::string wrong = kFounding;
  wrong.replace(wrong.find("port: 80"), 8, "port: eighty");
  wrong.replace(wrong.find("servicea.example.com"), 20, "UPPER.example.com");
  wrong.replace(wrong.find("weight: 25"), 10, "wieght: 25");
  wrong.replace(wrong.find("  name: service1-tier1"), 22, "  name: Service1      ");
  answer = Apply(wrong);
  EXPECT_EQ(answer.status, 400);
  for (const char* field : {"metadata.name", "spec.externalServers[0].port", "spec.externalServers[0].hostname",
                            "spec.externalServers[0].clusters[1].wieght"}) {
    EXPECT_THAT(answer.text, HasSubstr("\"" + std::string(field) + "\"")) << answer.text;
  }
  EXPECT_EQ(answer.text.find("externalServers[0].port"), answer.text.rfind("externalServers[0].port"));
  EXPECT_EQ(Send("POST", "/v2/login", R"({"usre":"x"})", "").status, 400);
}

TEST_F(RestApi, NamesTheMissingParent) {
  Answer answer = Post("/v2/organizations/demo-org/tenants/nobody/workspaces",
                       R"({"metadata":{"name":"w"},"spec":{"namespaceSelector":{"names":["*/n"]}}})");
  EXPECT_EQ(answer.status, 404) << answer.text;
  EXPECT_EQ(answer.reason(), "PARENT_MISSING");
  EXPECT_THAT(answer.text, HasSubstr("organizations/demo-org/tenants/nobody"));
}

TEST_F(RestApi, AnswersUnknownPathsAndMethodsAsJson) {
  EXPECT_EQ(Get("/v2/nothing").reason(), "NO_ROUTE");
  EXPECT_EQ(Get("/v2/nothing").status, 404);
  EXPECT_EQ(Send("PATCH", "/v2/organizations/demo-org", "{}", admin_).status, 405);
  EXPECT_EQ(Get("/v2/organizations/demo-org/tenants?colour=red").status, 400);
  EXPECT_EQ(Get("/v2/organizations/demo-org/tenants?pageSize=0x").status, 400);
  EXPECT_EQ(Send("GET", "/healthz", "", "").status, 200);
}

TEST_F(RestApi, AsksForAToken) {
  Answer answer = Send("GET", "/v2/whoami", "", "");
  EXPECT_EQ(answer.status, 401);
  EXPECT_EQ(Send("GET", "/v2/whoami", "", "made-up").status, 401);
  EXPECT_EQ(Get("/v2/whoami").Text({"fqn"}), "organizations/demo-org/users/admin");
  EXPECT_EQ(Send("POST", "/v2/logout", "", admin_).status, 200);
  EXPECT_EQ(Get("/v2/whoami").status, 401);
}

TEST_F(RestApi, ShowsAStrangerNothingAndAReaderWhatIsMissing) {
  ASSERT_EQ(Post("/v2/organizations/demo-org/tenants", R"({"metadata":{"name":"t"}})").status, 200);
  ASSERT_EQ(Post("/v2/organizations/demo-org/tenants", R"({"metadata":{"name":"secret"}})").status, 200);
  const std::string eve = NewUser("eve");
  Answer hidden = Send("GET", "/v2/organizations/demo-org/tenants/secret", "", eve);
  Answer absent = Send("GET", "/v2/organizations/demo-org/tenants/absent", "", eve);
  EXPECT_EQ(hidden.status, 404);
  EXPECT_EQ(absent.status, 404);
  EXPECT_EQ(hidden.Text({"message"}).size(), absent.Text({"message"}).size());
  EXPECT_EQ(Send("GET", "/v2/organizations/demo-org/tenants", "", eve).status, 404);

  Answer granted = Post("/v2/organizations/demo-org/tenants/t/accessbindings:grant",
                        R"({"role":"rbac/reader","subject":{"user":"organizations/demo-org/users/eve"}})");
  ASSERT_EQ(granted.status, 200) << granted.text;
  Answer read = Send("GET", "/v2/organizations/demo-org/tenants/t", "", eve);
  EXPECT_EQ(read.status, 200);
  Answer list = Send("GET", "/v2/organizations/demo-org/tenants?pageSize=1", "", eve);
  EXPECT_EQ(list.status, 200);
  EXPECT_THAT(list.text, HasSubstr("tenants/t\""));
  EXPECT_THAT(list.text, Not(HasSubstr("secret")));
  EXPECT_THAT(list.text, Not(HasSubstr("nextPageToken")));
  Answer refused = Send("DELETE", "/v2/organizations/demo-org/tenants/t", "", eve);
  EXPECT_EQ(refused.status, 403) << refused.text;
  EXPECT_EQ(refused.reason(), "RIGHT_MISSING");
}

TEST_F(RestApi, AppliesTheFoundingDocumentAsItStands) {
  Answer around = Apply(kSurroundings);
  ASSERT_EQ(around.status, 200) << around.text;
  Answer applied = Apply(kFounding);
  ASSERT_EQ(applied.status, 200) << applied.text;
  EXPECT_THAT(applied.text, HasSubstr("CREATED"));
  Answer again = Apply(kFounding);
  EXPECT_THAT(again.text, HasSubstr("UNCHANGED"));
  EXPECT_THAT(again.text, Not(HasSubstr("revision\":")));
  Answer stored =
      Get("/v2/organizations/demo-org/tenants/demo-tenant/workspaces/demo-ws/gatewaygroups/demo-gw-group/"
          "tier1gateways/service1-tier1");
  EXPECT_EQ(stored.status, 200);
  EXPECT_THAT(stored.text, HasSubstr("\"weight\":75"));
  std::string half = kFounding;
  half.replace(half.find("75"), 2, "50");
  half.replace(half.find("weight: 25") + 8, 2, "50");
  EXPECT_THAT(Apply(half).text, HasSubstr("UPDATED"));
}

TEST_F(RestApi, RefusesToTakeOverWhatAnotherManagerApplied) {
  ASSERT_EQ(Apply(kSurroundings).status, 200);
  ASSERT_EQ(Apply(kFounding, "ci").status, 200);
  std::string changed = kFounding;
  changed.replace(changed.find("75"), 2, "74");
  Answer conflict = Apply(changed, "person");
  EXPECT_EQ(conflict.status, 409) << conflict.text;
  EXPECT_EQ(conflict.reason(), "FIELD_CONFLICT");
  EXPECT_THAT(conflict.text, HasSubstr("ci of organizations/demo-org/users/admin"));
  EXPECT_THAT(conflict.text, HasSubstr("\"line\":"));
  EXPECT_EQ(Apply(changed, "person", true).status, 200);
  EXPECT_EQ(Apply(kFounding, "ci").status, 409);
}

TEST_F(RestApi, RefusesAllDocumentsWhenOneIsWrong) {
  Answer wrong = Apply(std::string(kSurroundings) + "---\n" + kFounding + "  colour: red\n");
  EXPECT_EQ(wrong.status, 400);
  EXPECT_THAT(wrong.text, HasSubstr("spec.colour"));
  EXPECT_THAT(wrong.text, HasSubstr("\"line\":50"));
  EXPECT_EQ(Get("/v2/organizations/demo-org/tenants/demo-tenant").status, 404);
}

TEST_F(RestApi, FindsWhatIsWrongBetweenResources) {
  Answer parentless = Apply(kFounding);
  EXPECT_EQ(parentless.reason(), "PARENT_MISSING") << parentless.text;
  ASSERT_EQ(Apply(kSurroundings).status, 200);
  ASSERT_EQ(Apply(kFounding).status, 200);
  std::string twin = kFounding;
  twin.replace(twin.find("service1-tier1"), 14, "twin");
  Answer taken = Apply(twin);
  EXPECT_EQ(taken.reason(), "GATEWAY_HOST_TAKEN") << taken.text;
  EXPECT_THAT(taken.text, HasSubstr("spec.externalServers[0].hostname"));
  std::string unknown_cluster = kFounding;
  unknown_cluster.replace(unknown_cluster.find("cluster2"), 8, "cluster9");
  Answer missing = Apply(unknown_cluster);
  EXPECT_EQ(missing.reason(), "CLUSTER_MISSING") << missing.text;
  EXPECT_THAT(missing.text, HasSubstr("\"line\":23"));
  Answer overlap = Apply(R"({"apiVersion": "api.weir.dev/v2", "kind": "Workspace",
    "metadata": {"name": "other", "organization": "demo-org", "tenant": "demo-tenant"},
    "spec": {"namespaceSelector": {"names": ["cluster1/t1"]}}})");
  EXPECT_EQ(overlap.reason(), "NAMESPACE_TAKEN") << overlap.text;
  Answer in_use = Send("DELETE", "/v2/organizations/demo-org/clusters/cluster1", "", admin_);
  EXPECT_EQ(in_use.reason(), "CLUSTER_IN_USE") << in_use.text;
  Answer children = Send("DELETE", "/v2/organizations/demo-org/tenants/demo-tenant", "", admin_);
  EXPECT_EQ(children.reason(), "HAS_CHILDREN");
  EXPECT_EQ(Send("DELETE", "/v2/organizations/demo-org/tenants/demo-tenant?cascade=true", "", admin_).status, 200);
  EXPECT_EQ(Apply(kSurroundings).status, 200);
}

TEST_F(RestApi, GivesAJoinTokenOfACluster) {
  ASSERT_EQ(Apply(kSurroundings).status, 200);
  Answer token = Post("/v2/organizations/demo-org/clusters/cluster1:createJoinToken", "{}");
  EXPECT_EQ(token.status, 200) << token.text;
  EXPECT_THAT(token.Text({"token"}), HasSubstr("weir-join-1."));
  EXPECT_EQ(Post("/v2/organizations/demo-org/clusters/nothing:createJoinToken", "{}").status, 404);
}

TEST_F(RestApi, ForgetsFactsAndTokensOfADeletedClusterInTheSameRevision) {
  const std::string path = "/v2/organizations/demo-org/clusters/cluster1";
  ASSERT_EQ(Apply(kSurroundings).status, 200);
  ASSERT_EQ(Post(path + ":createJoinToken", "{}").status, 200);
  const std::string uid = store_->Read()->Get("organizations/demo-org/clusters/cluster1")->uid;
  ASSERT_TRUE(store_
                  ->Write([&](store::Txn& txn) {
                    return txn.ApplyFacts({.cluster_uid = uid,
                                           .full = true,
                                           .workloads = {{"n/w", "body"}},
                                           .services = {},
                                           .removed_workloads = {},
                                           .removed_services = {},
                                           .agent_sequence = 1,
                                           .hash = "h"});
                  })
                  .ok());
  ASSERT_NE(store_->Read()->Facts(uid), nullptr);
  ASSERT_EQ(Send("DELETE", path, "", admin_).status, 200);
  const store::ViewPtr view = store_->Read();
  EXPECT_EQ(view->Facts(uid), nullptr);
  view->ForEachJoinToken([&](const store::JoinToken& token) { EXPECT_NE(token.cluster_uid, uid); });
}

TEST_F(RestApi, RevokesAMembershipAndKeepsItsGenerationWhateverDocumentsSay) {
  const std::string path = "/v2/organizations/demo-org/clusters/cluster1";
  const std::string fqn = "organizations/demo-org/clusters/cluster1";
  ASSERT_EQ(Apply(kSurroundings).status, 200);
  ASSERT_EQ(Post(path + ":createJoinToken", "{}").status, 200);
  Answer revoked = Post(path + ":revoke", "{}");
  ASSERT_EQ(revoked.status, 200) << revoked.text;
  EXPECT_EQ(revoked.Text({"state", "generation"}), "1");
  const std::string uid = store_->Read()->Get(fqn)->uid;
  store_->Read()->ForEachJoinToken([&](const store::JoinToken& token) { EXPECT_NE(token.cluster_uid, uid); });
  EXPECT_EQ(store_->Audit({})->back().action, "revoke");
  EXPECT_EQ(store_->Audit({})->back().principal, "organizations/demo-org/users/admin");

  const std::string etag = store_->Read()->Get(fqn)->etag;
  EXPECT_EQ(Apply(kSurroundings).status, 200);
  EXPECT_EQ(store_->Read()->Get(fqn)->etag, etag);  // The same document changes nothing.
  EXPECT_EQ(Apply(R"({"apiVersion": "api.weir.dev/v2", "kind": "Cluster",
                      "metadata": {"name": "cluster1", "organization": "demo-org", "description": "d"},
                      "spec": {"network": "n"}, "state": {"generation": "7"}})")
                .status,
            200);
  EXPECT_EQ(Post(path + ":drain", "{}").status, 200);
  const Answer read = Get(path);
  EXPECT_EQ(read.Text({"state", "generation"}), "1");
  EXPECT_EQ(Send("PUT", path, read.text, admin_).status, 200);
  EXPECT_EQ(Get(path).Text({"state", "generation"}), "1");
  EXPECT_EQ(Post(path + ":revoke", "{}").Text({"state", "generation"}), "2");
}

// To write a cluster is less than to become it: its agent signs its identities.
TEST_F(RestApi, JoinTokensAndRevocationsNeedARightOfTheirOwn) {
  ASSERT_EQ(Apply(kSurroundings).status, 200);
  const std::string path = "/v2/organizations/demo-org/clusters/cluster1";
  const std::string eve = NewUser("eve");
  const auto grant = [&](const std::string& role) {
    return Post(path + "/accessbindings:grant",
                R"({"role":"rbac/)" + role + R"(","subject":{"user":"organizations/demo-org/users/eve"}})")
        .status;
  };
  ASSERT_EQ(grant("editor"), 200);
  EXPECT_EQ(Send("POST", path + ":drain", "{}", eve).status, 200);
  for (const char* verb : {":createJoinToken", ":revoke"}) {
    const Answer refused = Send("POST", path + verb, "{}", eve);
    EXPECT_EQ(refused.status, 403) << refused.text;
    EXPECT_THAT(refused.text, HasSubstr("cluster.join"));
  }
  ASSERT_EQ(grant("admin"), 200);
  for (const char* verb : {":createJoinToken", ":revoke"}) EXPECT_EQ(Send("POST", path + verb, "{}", eve).status, 200);
}

TEST_F(RestApi, SweepsJoinTokensThatExpiredLongAgo) {
  ASSERT_EQ(Apply(kSurroundings).status, 200);
  ASSERT_TRUE(store_
                  ->Write([&](store::Txn& txn) -> Status {
                    WEIR_TRY(txn.PutJoinToken({"old", "c", txn.now(), txn.now() - std::chrono::hours(25), true}));
                    return txn.PutJoinToken({"new", "c", txn.now(), txn.now() - std::chrono::hours(1), false});
                  })
                  .ok());
  ASSERT_EQ(Post("/v2/organizations/demo-org/clusters/cluster1:createJoinToken", "{}").status, 200);
  EXPECT_EQ(store_->Read()->FindJoinToken("old"), nullptr);
  EXPECT_NE(store_->Read()->FindJoinToken("new"), nullptr);  // Whoever tries it is told that it has expired.
}

TEST_F(RestApi, DeletesAnOrganizationWithItsAdministratorsButNeverTheLastOneOfTheRest) {
  ASSERT_EQ(Post("/v2/organizations", R"({"metadata":{"name":"other"}})").status, 200);
  ASSERT_EQ(Post("/v2/organizations/other/users", R"({"metadata":{"name":"bob"}})").status, 200);
  const std::string grant = "/v2/organizations/other/accessbindings:";
  ASSERT_EQ(Post(grant + "grant", R"({"role":"admin","subject":{"user":"organizations/other/users/bob"}})").status,
            200);
  ASSERT_EQ(
      Post(grant + "revoke", R"({"role":"admin","subject":{"user":"organizations/demo-org/users/admin"}})").status,
      200);
  EXPECT_EQ(Send("DELETE", "/v2/organizations/other/users/bob", "", admin_).reason(), "LAST_ADMIN");
  EXPECT_EQ(Send("DELETE", "/v2/organizations/other?cascade=true", "", admin_).status, 200);
  EXPECT_EQ(Get("/v2/organizations/other/users/bob").status, 404);
}

TEST_F(RestApi, KeepsOneSettingOfAnOrganization) {
  const std::string parent = "/v2/organizations/demo-org/settings";
  Answer created = Post(parent, R"({"metadata":{"name":"defaults"},"spec":{"failoverSettings":{"mode":"ORDERED",
    "regionalFailover":[{"from":"eu","to":"us"}],"failoverPriority":["vendor=a"]}}})");
  ASSERT_EQ(created.status, 200) << created.text;
  EXPECT_EQ(created.Text({"metadata", "fqn"}), "organizations/demo-org/settings/defaults");
  EXPECT_EQ(created.Text({"spec", "failoverSettings", "mode"}), "ORDERED");
  Answer second = Post(parent, R"({"metadata":{"name":"more"},"spec":{}})");
  EXPECT_EQ(second.status, 400) << second.text;
  EXPECT_EQ(second.reason(), "ONLY_ONE");
  EXPECT_EQ(Get(parent + "/more").status, 404);
  EXPECT_THAT(Get(parent).text, HasSubstr("settings/defaults"));
  Answer wrong = Send("PUT", parent + "/defaults",
                      R"({"spec":{"failoverSettings":{"regionalFailover":[{"from":"eu","to":"eu"}]}}})", admin_,
                      {{"If-Match", created.etag}});
  EXPECT_THAT(wrong.text, HasSubstr("spec.failoverSettings.regionalFailover[0]"));
  Answer updated = Send("PUT", parent + "/defaults", R"({"spec":{}})", admin_, {{"If-Match", created.etag}});
  EXPECT_EQ(updated.status, 200) << updated.text;
  const std::string eve = NewUser("eve");
  EXPECT_EQ(Send("GET", parent + "/defaults", "", eve).status, 404);
  EXPECT_EQ(Send("DELETE", parent + "/defaults", "", eve).status, 404);
  EXPECT_EQ(Send("DELETE", parent + "/defaults", "", admin_).status, 200);
  EXPECT_EQ(Post(parent, R"({"metadata":{"name":"more"},"spec":{}})").status, 200);
}

TEST_F(RestApi, AppliesSettingsOfBothDialects) {
  const std::string text = R"(kind: OrganizationSetting
metadata: {name: defaults, organization: demo-org}
spec:
  failoverSettings:
    regionalFailover: [{from: eu, to: us}]
)";
  Answer applied = Apply("apiVersion: api.tsb.tetrate.io/v2\n" + text);
  ASSERT_EQ(applied.status, 200) << applied.text;
  EXPECT_THAT(Apply("apiVersion: api.weir.dev/v2\n" + text).text, HasSubstr("UNCHANGED"));
  Answer unserved = Apply("apiVersion: api.tsb.tetrate.io/v2\n" + text +
                          "    topologyChoice: CLUSTER\n  networkSettings: {networkReachability: {a: b}}\n");
  EXPECT_EQ(unserved.reason(), "NOT_SERVED_YET") << unserved.text;
  EXPECT_THAT(unserved.text, HasSubstr("spec.failoverSettings.topologyChoice"));
  EXPECT_THAT(unserved.text, HasSubstr("spec.networkSettings"));
}

TEST_F(RestApi, DrainsAndActivatesAClusterWhateverDocumentsSay) {
  ASSERT_EQ(Apply(kSurroundings).status, 200);
  const std::string path = "/v2/organizations/demo-org/clusters/cluster1";
  const auto stored = [&] { return store_->Read()->Get("organizations/demo-org/clusters/cluster1"); };
  Answer drained = Post(path + ":drain", "{}");
  ASSERT_EQ(drained.status, 200) << drained.text;
  EXPECT_EQ(drained.Text({"spec", "adminState"}), "DRAINING");
  const int64_t revision = stored()->revision;
  EXPECT_EQ(Post(path + ":drain", "{}").status, 200);
  EXPECT_EQ(stored()->revision, revision);  // Nothing changed, nothing is pushed.
  auto audit = store_->Audit({});
  ASSERT_TRUE(audit.ok());
  EXPECT_EQ(audit->back().action, "drain");
  EXPECT_EQ(audit->back().revision, revision);

  // Unset keeps it: applied again, applied by another, updated with the etag.
  EXPECT_EQ(Apply(kSurroundings).status, 200);
  EXPECT_EQ(Apply(R"({"apiVersion": "api.weir.dev/v2", "kind": "Cluster",
    "metadata": {"name": "cluster1", "organization": "demo-org"}, "spec": {"network": "n"}})",
                  "ci")
                .status,
            200);
  EXPECT_EQ(Get(path).Text({"spec", "adminState"}), "DRAINING");
  EXPECT_EQ(Send("PUT", path, R"({"spec":{"network":"m"}})", admin_, {{"If-Match", Get(path).etag}}).status, 200);
  EXPECT_EQ(Get(path).Text({"spec", "adminState"}), "DRAINING");
  // Said, it is what another set.
  Answer conflict = Apply(R"({"apiVersion": "api.weir.dev/v2", "kind": "Cluster",
    "metadata": {"name": "cluster1", "organization": "demo-org"}, "spec": {"adminState": "ACTIVE"}})",
                          "ci");
  EXPECT_EQ(conflict.reason(), "FIELD_CONFLICT") << conflict.text;

  const std::string eve = NewUser("eve");
  EXPECT_EQ(Send("POST", path + ":activate", "{}", eve).status, 404);
  ASSERT_EQ(Post("/v2/organizations/demo-org/clusters/cluster1/accessbindings:grant",
                 R"({"role":"reader","subject":{"user":"organizations/demo-org/users/eve"}})")
                .status,
            200);
  EXPECT_EQ(Send("POST", path + ":activate", "{}", eve).status, 403);
  EXPECT_EQ(Post(path + ":activate", "{}").Text({"spec", "adminState"}), "ACTIVE");
  EXPECT_EQ(Post("/v2/organizations/demo-org/clusters/nothing:drain", "{}").status, 404);
}

TEST_F(RestApi, WaitsForTheRevisionThatIsStored) {
  ASSERT_EQ(Apply(kSurroundings).status, 200);
  std::string asked;
  int64_t at = 0;
  fleet_.applied = [&](const std::string& fqn, int64_t revision) {
    asked = fqn;
    at = revision;
    v2::ResourceStatus status;
    status.set_fqn(fqn);
    status.set_state(v2::ResourceStatus::READY);
    return status;
  };
  const std::string path = "/v2/organizations/demo-org/clusters/cluster1";
  Answer status = Get(path + "/status?wait=applied&waitSeconds=5");
  EXPECT_EQ(status.Text({"state"}), "READY") << status.text;
  EXPECT_EQ(asked, "organizations/demo-org/clusters/cluster1");
  EXPECT_EQ(at, store_->Read()->Get(asked)->revision);
  Answer wrong = Get(path + "/status?wait=soon&waitSeconds=301");
  EXPECT_EQ(wrong.status, 400);
  EXPECT_THAT(wrong.text, HasSubstr("waitSeconds"));
}

TEST_F(RestApi, ShowsTrafficOnlyOfGatewaysThatTheCallerMayRead) {
  ASSERT_EQ(Apply(kSurroundings).status, 200);
  ASSERT_EQ(Apply(kFounding).status, 200);
  const std::string source =
      "organizations/demo-org/tenants/demo-tenant/workspaces/demo-ws/gatewaygroups/demo-gw-group/tier1gateways/"
      "service1-tier1";
  fleet_.traffic = [&](const std::string&, const std::string& host) {
    std::vector<v2::HostTraffic> items(host.empty() || host == "servicea.example.com" ? 2 : 0);
    for (auto& item : items) item.set_host("servicea.example.com");
    if (!items.empty()) items[0].set_source(source);
    if (!items.empty()) items[1].set_source("organizations/demo-org/tenants/demo-tenant/deleted");
    return items;
  };
  fleet_.health = [&](const std::string&, const std::string& host) {
    std::vector<v2::HostHealth> items(host == "servicea.example.com" ? 1 : 0);
    for (auto& item : items) item.set_source(source);
    return items;
  };
  fleet_.serving = [&](const std::string&, const std::string& host) {
    return host == "silent.example.com" ? std::vector<std::string>{source} : std::vector<std::string>{};
  };
  const std::string all = "/v2/organizations/demo-org/traffic";
  const std::string health = "/v2/organizations/demo-org/health?host=";
  Answer seen = Get(all);
  ASSERT_EQ(seen.status, 200) << seen.text;
  EXPECT_EQ(seen.body.Find("items")->items.size(), 1u);
  EXPECT_EQ(Get(all + "?host=ServiceA.example.com").body.Find("items")->items.size(), 1u);
  EXPECT_EQ(Get(all + "?host=none.example.com").status, 200);
  EXPECT_EQ(Get("/v2/organizations/absent/traffic?host=x").status, 404);
  EXPECT_EQ(Get(health + "servicea.example.com").status, 200);
  EXPECT_EQ(Get(health + "silent.example.com").status, 200);
  EXPECT_EQ(Get(health + "none.example.com").reason(), "HOST_UNKNOWN");
  EXPECT_EQ(Get("/v2/organizations/demo-org/health").status, 400);

  const std::string eve = NewUser("eve");
  EXPECT_EQ(Send("GET", all, "", eve).status, 404);
  Answer hidden = Send("GET", health + "servicea.example.com", "", eve);
  EXPECT_EQ(hidden.reason(), "HOST_UNKNOWN");
  ASSERT_EQ(Post("/v2/organizations/demo-org/tenants/demo-tenant/accessbindings:grant",
                 R"({"role":"reader","subject":{"user":"organizations/demo-org/users/eve"}})")
                .status,
            200);
  EXPECT_EQ(Send("GET", all, "", eve).body.Find("items")->items.size(), 1u);
  EXPECT_EQ(Send("GET", health + "servicea.example.com", "", eve).status, 200);
}

TEST(Routes, ServeEveryMethodOfTheApi) {
  const RouteTable routes(PublicServices());
  std::vector<std::string> allowed;
  auto match = routes.Find("GET", "/v2/organizations/o/tenants/status", &allowed);
  ASSERT_TRUE(match.ok());
  EXPECT_EQ(match->route->method->name(), "GetTenant");
  match = routes.Find("GET", "/v2/organizations/o/tenants/t/status", &allowed);
  ASSERT_TRUE(match.ok());
  EXPECT_EQ(match->route->method->name(), "GetStatus");
  EXPECT_EQ(match->bindings.at(0).second, "organizations/o/tenants/t");
  match = routes.Find("POST", "/v2/organizations/o/tenants/t/accessbindings:grant", &allowed);
  ASSERT_TRUE(match.ok());
  EXPECT_EQ(match->route->method->name(), "GrantAccess");
  EXPECT_EQ(match->bindings.at(0).second, "organizations/o/tenants/t/accessbindings");
  match = routes.Find("GET", "/v2/organizations/o%2Ftenants", &allowed);
  EXPECT_FALSE(match.ok());
}

}  // namespace
}  // namespace weir::edge
