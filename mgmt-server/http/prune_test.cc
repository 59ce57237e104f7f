#include "mgmt-server/http/change_set_fixture.h"

// Pruning: what a manager applied and names no longer goes, and nothing else.
namespace weir::edge::plans {
namespace {

class PruneTest : public ChangeSetTest {
 protected:
  static v2::ApplyDocumentsRequest Request(const std::string& documents, std::vector<std::string> scopes = {}) {
    v2::ApplyDocumentsRequest request;
    request.set_documents(documents);
    request.mutable_prune();
    for (std::string& scope : scopes) request.mutable_prune()->add_scopes(std::move(scope));
    return request;
  }
  Answer Applied(const v2::ApplyDocumentsRequest& request, const std::string& token = "") {
    return Send("POST", "/v2/documents:apply", document::ToJson(request), token.empty() ? admin_ : token);
  }
  // "+x -y =z: why", of what is not unchanged, without the places.
  std::vector<std::string> Pruned(const Answer& answer) {
    std::vector<std::string> lines;
    const auto response = Read<v2::ApplyDocumentsResponse>(answer);
    for (const auto& item : response.items()) {
      const std::string name(resource::LastName(item.fqn()));
      if (item.outcome() == v2::AppliedDocument::DELETED) lines.push_back("-" + name);
      if (item.outcome() == v2::AppliedDocument::KEPT) lines.push_back("=" + name + ": " + item.message());
    }
    std::sort(lines.begin(), lines.end());
    return lines;
  }
};

TEST_F(PruneTest, DeletesWhatTheManagerNoLongerNamesInOneWrite) {
  Store(Tier1("a", "a.test", kBoth) + Tier1("b", "b.test", kBoth) + Tier1("u", "u.test", kBoth, "u"));
  v2::ApplyDocumentsRequest request = Request(Tier1("a", "b.test", kBoth));  // Takes over the host, too.
  v2::PlanRequest asked;
  asked.set_documents(request.documents());
  asked.mutable_prune();
  const v2::PlanResponse plan = Plan(asked);
  EXPECT_THAT(plan.prune_scopes(), ElementsAre(kGroup));
  ASSERT_EQ(plan.items_size(), 2) << plan.DebugString();
  EXPECT_EQ(plan.items(1).outcome(), v2::PlannedDocument::DELETED);
  EXPECT_EQ(plan.items(1).fqn(), std::string(kGroup) + "/tier1gateways/b");

  request.set_dry_run(true);
  EXPECT_THAT(Pruned(Applied(request)), ElementsAre("-b"));
  EXPECT_TRUE(Has("tier1gateways/b"));
  request.set_dry_run(false);
  request.set_plan(plan.plan());
  request.set_message("b goes");
  const int64_t before = store_->Read()->revision();
  EXPECT_THAT(Pruned(Applied(request)), ElementsAre("-b"));
  EXPECT_EQ(store_->Read()->revision(), before + 1);
  EXPECT_FALSE(Has("tier1gateways/b"));
  EXPECT_NE(store_->Read()->Get("organizations/demo-org/tenants/u/workspaces/w/gatewaygroups/g/tier1gateways/u"),
            nullptr);
  EXPECT_THAT(Get("/v2/revisions?pageSize=1").text, HasSubstr("b goes"));
}

TEST_F(PruneTest, APlanIsStaleWhenSomethingElseWouldGo) {
  Store(Tier1("a", "a.test", kBoth) + Tier1("b", "b.test", kBoth));
  v2::PlanRequest asked;
  asked.set_documents(Tier1("a", "a.test", kBoth));
  asked.mutable_prune();
  v2::ApplyDocumentsRequest request = Request(asked.documents());
  request.set_plan(Plan(asked).plan());
  Store(Tier1("c", "c.test", kBoth));
  EXPECT_EQ(Applied(request).reason(), "PLAN_STALE");
  EXPECT_TRUE(Has("tier1gateways/b") && Has("tier1gateways/c"));
  v2::ApplyDocumentsRequest other = request;
  other.mutable_prune()->add_scopes(kTenant);
  EXPECT_THAT(Applied(other).text, HasSubstr("are others than those of the plan"));
}

TEST_F(PruneTest, KeepsWhatIsNotTheManagersAloneAndSaysWhy) {
  std::string guarded = Tier1("guarded", "g.test", kBoth);
  guarded.replace(guarded.find("name: guarded"), 13, "name: guarded, deletionProtection: true");
  Store(Tier1("a", "a.test", kBoth) + Tier1("shared", "s.test", kBoth) + guarded + Tier1("mine", "m.test", kBoth));
  std::string labelled = Tier1("shared", "s.test", kBoth);
  labelled.replace(labelled.find("name: shared"), 12, "name: shared, labels: {team: x}");
  ASSERT_EQ(Apply(labelled, "other").status, 200);
  ASSERT_EQ(Apply(Tier1("theirs", "t.test", kBoth), "other").status, 200);
  const std::string tom = Grant("tom", "rbac/admin", kTenant);
  ASSERT_EQ(Apply(Tier1("toms", "toms.test", kBoth), "", false, tom).status, 200);
  ASSERT_EQ(
      Post("/v2/" + std::string(kGroup) + "/tier1gateways",
           R"({"metadata":{"name":"by-hand"},"spec":{"workloadSelector":{"namespace":"t-edge","labels":{"app":"t1"}},)"
           R"("externalServers":[{"name":"s","hostname":"h.test","port":80,"clusters":[{"name":"c1","weight":1}]}]}})")
          .status,
      200);
  EXPECT_THAT(Pruned(Applied(Request(Tier1("a", "a.test", kBoth)))),
              ElementsAre("-mine", "=guarded: is protected against deletion (metadata.deletionProtection)",
                          "=shared: fields of it belong to \"other of organizations/demo-org/users/admin\""));
  for (const char* name : {"guarded", "shared", "theirs", "toms", "by-hand"}) {
    EXPECT_TRUE(Has(std::string("tier1gateways/") + name)) << name;
  }
}

TEST_F(PruneTest, WhatHoldsSomethingThatStaysStays) {
  Store(Meta("GatewayGroup", "full", ", tenant: t, workspace: w") + "---\n" +
        Meta("GatewayGroup", "bare", ", tenant: t, workspace: w"));
  std::string inside = Tier1("inside", "i.test", kBoth);
  inside.replace(inside.find("group: g"), 8, "group: full");
  ASSERT_EQ(Apply(inside, "other").status, 200);
  const std::string documents = Tenancy("t");  // Workspace and group g stay named.
  EXPECT_THAT(Pruned(Applied(Request(documents))),
              ElementsAre("-bare",
                          "=full: holds organizations/demo-org/tenants/t/workspaces/w/gatewaygroups/full/"
                          "tier1gateways/inside, which stays"));
  // What a document is put into is not pruned from under it, either.
  EXPECT_THAT(Pruned(Applied(Request(Tier1("new", "n.test", kBoth), {kTenant}))),
              ElementsAre(HasSubstr("=full: holds"), HasSubstr("=g: holds"), HasSubstr("=w: holds")));
}

TEST_F(PruneTest, TheScopeIsWhatDocumentsSayButNeverAnOrganization) {
  const auto scopes = [&](const std::string& documents) {
    v2::PlanRequest request;
    request.set_documents(documents);
    request.mutable_prune();
    const auto plan = Plan(request);
    return std::vector<std::string>(plan.prune_scopes().begin(), plan.prune_scopes().end());
  };
  EXPECT_THAT(scopes(Tenancy("t") + Tier1("a", "a.test", kBoth)), ElementsAre(kTenant));
  EXPECT_THAT(scopes(Tier1("a", "a.test", kBoth) + Cluster("c1", "locality: {region: eu}")), ElementsAre(kGroup));
  EXPECT_THAT(Applied(Request(Cluster("c1", "locality: {region: eu}"))).text, HasSubstr("prune.scopes"));
  EXPECT_NE(store_->Read()->Get("organizations/demo-org/clusters/c2"), nullptr);
  EXPECT_THAT(Pruned(Applied(Request(Tenancy("t") + Tenancy("u") + Cluster("c1", "locality: {region: eu}"),
                                     {"organizations/demo-org"}))),
              ElementsAre("-c2", "-edge"));
  EXPECT_THAT(Applied(Request(Tenancy("t"), {std::string(kGroup) + "/tier1gateways/a"})).text,
              HasSubstr("holds nothing that could be pruned"));
  EXPECT_EQ(Applied(Request(Tenancy("t"), {"organizations/demo-org/tenants/nil"})).status, 404);
}

TEST_F(PruneTest, NoDocumentPrunesNothingUnlessThatIsSaid) {
  Store(Tier1("a", "a.test", kBoth));
  for (const std::string documents : {"", "# nothing\n", "apiVersion: v1\nkind: List\nitems: []\n"}) {
    const Answer refused = Applied(Request(documents, {kGroup}));
    EXPECT_EQ(refused.status, 400) << documents << refused.text;
  }
  EXPECT_EQ(Applied(Request("kind: [", {kGroup})).status, 400);
  EXPECT_TRUE(Has("tier1gateways/a"));
  v2::ApplyDocumentsRequest request = Request("");
  request.mutable_prune()->set_allow_empty(true);
  EXPECT_THAT(Applied(request).text, HasSubstr("nothing says what they are"));
  request.mutable_prune()->add_scopes(kGroup);
  EXPECT_THAT(Pruned(Applied(request)), ElementsAre("-a"));
}

TEST_F(PruneTest, RightsAreAskedAndWhatIsNotReadIsNotNamed) {
  const std::string tom = Grant("tom", "rbac/admin", kTenant);
  ASSERT_EQ(Apply(Tier1("a", "a.test", kBoth) + Tier1("b", "b.test", kBoth), "", false, tom).status, 200);
  const Answer revoked = Post(std::string("/v2/") + kTenant + "/accessbindings:revoke",
                              R"({"role":"rbac/admin","subject":{"user":"organizations/demo-org/users/tom"}})");
  ASSERT_EQ(revoked.status, 200);
  for (const char* name : {"a", "b"}) {
    ASSERT_EQ(Post("/v2/" + std::string(kGroup) + "/tier1gateways/" + name + "/accessbindings:revoke",
                   R"({"role":"rbac/admin","subject":{"user":"organizations/demo-org/users/tom"}})")
                  .status,
              200);
  }
  ASSERT_EQ(Post(std::string("/v2/") + kTenant + "/accessbindings:grant",
                 R"({"role":"rbac/writer","subject":{"user":"organizations/demo-org/users/tom"}})")
                .status,
            200);
  EXPECT_THAT(Pruned(Applied(Request(Tier1("a", "a.test", kBoth)), tom)), ElementsAre("=b: you may not delete it"));
  EXPECT_TRUE(Has("tier1gateways/b"));
  EXPECT_EQ(Applied(Request(Tier1("a", "a.test", kBoth), {"organizations/demo-org/tenants/u"}), tom).status, 404);
}

TEST_F(PruneTest, ApplyDeletesWhatIsNamed) {
  Store(Tier1("a", "a.test", kBoth) + Tier2("b", "a.test"));
  v2::ApplyDocumentsRequest request;
  request.add_deletions(std::string(kTenant) + "/workspaces/w");
  EXPECT_THAT(Applied(request).text, HasSubstr("HAS_CHILDREN"));
  request.set_cascade(true);
  EXPECT_EQ(Pruned(Applied(request)).size(), 4u);
  EXPECT_EQ(store_->Read()->Get(std::string(kTenant) + "/workspaces/w"), nullptr);
}

}  // namespace
}  // namespace weir::edge::plans
