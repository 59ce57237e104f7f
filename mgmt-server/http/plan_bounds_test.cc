#include "mgmt-server/http/plan_fixture.h"
#include "mgmt-server/services/planning.h"

// Whom a plan tells what, how long it holds, and what it may cost.
namespace weir::edge::plans {
namespace {

TEST_F(PlanTest, IsStaleWhenItWouldDoAnotherThing) {
  Store(Tier1("a", "a.test", kBoth) + Tier2("b", "a.test"));
  const std::string documents = Tier1("a", "a.test", "{name: c1, weight: 1}");
  const std::string plan = Plan(documents).plan();
  EXPECT_THAT(ApplyPlan(documents + Tier1("z", "z.test", kBoth), plan).text, HasSubstr("PLAN_STALE"));
  EXPECT_THAT(ApplyPlan(documents, "nonsense").text, HasSubstr("INVALID_REQUEST"));
  Store(Tier1("other", "other.test", kBoth));  // Does not matter.
  EXPECT_EQ(ApplyPlan(documents, plan, "", true).status, 200);
  Store(Tier1("a", "a.test", "{name: c1, weight: 50}, {name: c2, weight: 50}"));
  const int64_t revision = store_->Read()->revision();
  const Answer stale = ApplyPlan(documents, plan);
  EXPECT_EQ(stale.status, 400) << stale.text;
  EXPECT_THAT(stale.text, HasSubstr("PLAN_STALE"));
  EXPECT_THAT(stale.text, HasSubstr("tier1gateways/a (revision"));
  EXPECT_EQ(store_->Read()->revision(), revision);
  EXPECT_EQ(ApplyPlan(documents, Plan(documents).plan()).status, 200);
}

TEST_F(PlanTest, IsStaleWhenWhatItWouldSendChangesThoughTheDocumentsDoNot) {
  Store(Tier1("a", "a.test", kBoth) + Tier2("b", "a.test"));
  const std::string documents = Tier1("a", "a.test", "{name: c1, weight: 5}, {name: c2, weight: 1}");
  const std::string plan = Plan(documents).plan();
  Store(Cluster("c2", "locality: {region: asia}"));
  EXPECT_THAT(ApplyPlan(documents, plan).text, HasSubstr("clusters/c2 (revision"));
}

// What only the time of the write adds is no other thing.
TEST_F(PlanTest, TheTimeOfAKeyMakesNoPlanStale) {
  const std::string account =
      "apiVersion: api.weir.dev/v2\nkind: ServiceAccount\nmetadata: {name: ci, organization: demo-org}\nspec:\n  "
      "keys:\n"
      "  - id: one\n    publicKey: {kty: EC, crv: P-256, x: f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU, "
      "y: x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0}\n";
  const std::string plan = Plan(account).plan();
  ASSERT_NE(plan, "");
  const Answer applied = ApplyPlan(account, plan);
  EXPECT_EQ(applied.status, 200) << applied.text;
  EXPECT_NE(store_->Read()->Get("organizations/demo-org/serviceaccounts/ci"), nullptr);
}

TEST_F(PlanTest, ATenantSeesNothingOfAnother) {
  Store(Tier1("a", "a.test", kBoth));
  const std::string user = Grant("tom", "rbac/admin", kTenant);
  ASSERT_EQ(Apply(Tier2("b", "a.test"), "", false, user).status, 200);
  // u's tier 1 turns to the gateways of t: t may not read it.
  Store(Meta("Tier1Gateway", "spy", In("u")) +
        "spec:\n  workloadSelector: {namespace: u-edge, labels: {app: t1}}\n  externalServers:\n"
        "  - {name: s, hostname: a.test, port: 80, tenant: t, clusters: [{name: c1, weight: 1}]}\n");
  v2::PlanRequest request;
  request.add_deletions(std::string(kGroup) + "/gateways/b");
  const v2::PlanResponse all = Plan(request), own = Plan(request, user);
  EXPECT_THAT(all.DebugString(), HasSubstr("u-edge"));
  EXPECT_THAT(own.DebugString(), Not(HasSubstr("u-edge")));
  EXPECT_THAT(own.DebugString(), Not(HasSubstr("tenants/u")));
  EXPECT_THAT(own.DebugString(), HasSubstr("a.test"));
  // The host's callers are not t's to read: that it changes is said, and nothing of how.
  const v2::PlanResponse changed = Plan(Tier2("b", "a.test", "t", 9090), user);
  bool some = false;
  for (const auto& cluster : changed.clusters()) {
    for (const auto& one : cluster.intent()) some |= one.type() == "DestinationSet" && !one.hidden();
  }
  EXPECT_TRUE(some) << changed.DebugString();
  EXPECT_THAT(changed.DebugString(), Not(HasSubstr("u-edge")));
  // What is missing and what may not be read are one answer.
  v2::PlanRequest foreign;
  foreign.add_deletions("organizations/demo-org/tenants/u/workspaces/w/gatewaygroups/g/tier1gateways/spy");
  v2::PlanRequest missing;
  missing.add_deletions("organizations/demo-org/tenants/u/workspaces/w/gatewaygroups/g/tier1gateways/nil");
  const Answer a = Refused(foreign, user), b = Refused(missing, user);
  EXPECT_EQ(a.status, 404);
  EXPECT_EQ(b.status, 404);
  EXPECT_EQ(a.Text({"reason"}), b.Text({"reason"}));
}

// A tier-2 host of t that u's tier 1 calls, too: that it changes is said, and not how.
TEST_F(PlanTest, WhatIsMadeOfOthersObjectsTooIsNamedOnly) {
  const std::string user = Grant("tom", "rbac/admin", kTenant);
  ASSERT_EQ(Apply(Tier1("a", "a.test", kBoth) + Tier2("b", "a.test"), "", false, user).status, 200);
  Store(Meta("Tier1Gateway", "spy", In("u")) +
        "spec:\n  workloadSelector: {namespace: u-edge, labels: {app: t1}}\n  externalServers:\n"
        "  - {name: s, hostname: a.test, port: 80, tenant: t, clusters: [{name: c1, weight: 1}]}\n");
  v2::PlanRequest request;
  request.add_deletions(std::string(kGroup) + "/tier1gateways/a");
  std::map<std::string, std::pair<bool, int>> c1;  // Hidden, fields.
  const v2::PlanResponse own = Plan(request, user);
  for (const auto& cluster : own.clusters()) {
    if (cluster.cluster() != "c1") continue;
    for (const auto& one : cluster.intent()) c1[one.type()] = {one.hidden(), one.fields_size()};
    for (const auto& one : cluster.gateways(0).resources())
      c1["Envoy " + one.type()] = {one.hidden(), one.fields_size()};
  }
  EXPECT_EQ(c1.at("Host"), std::pair(true, 0));
  EXPECT_EQ(c1.at("Envoy Listener"), std::pair(true, 0));
  EXPECT_THAT(Plan(request).DebugString(), HasSubstr("allowedCallers"));
}

TEST_F(PlanTest, AStalePlanNamesOnlyWhatTheCallerMayRead) {
  const std::string user = Grant("tom", "rbac/admin", kTenant);
  ASSERT_EQ(Apply(Tier2("b", "a.test"), "", false, user).status, 200);
  const std::string documents = Tier2("b", "a.test", "t", 9090);
  const std::string plan = Plan(documents, user).plan();
  Store(Tier1("foreign", "u.test", kBoth, "u"));
  ASSERT_EQ(Apply(Tier2("b", "a.test", "t", 7070), "", false, user).status, 200);
  const Answer stale = ApplyPlan(documents, plan, user);
  EXPECT_THAT(stale.text, HasSubstr("gateways/b (revision"));
  EXPECT_THAT(stale.text, Not(HasSubstr("foreign")));
}

TEST_F(PlanTest, WhatTheCallerMayNotReadMakesNoPlanStale) {
  const std::string user = Grant("tom", "rbac/admin", kTenant);
  ASSERT_EQ(Apply(Tier2("b", "a.test"), "", false, user).status, 200);
  const std::string documents = Tier2("b", "a.test", "t", 9090);
  const std::string plan = Plan(documents, user).plan();
  Store(Meta("Tier1Gateway", "spy", In("u")) +
        "spec:\n  workloadSelector: {namespace: u-edge, labels: {app: t1}}\n  externalServers:\n"
        "  - {name: s, hostname: a.test, port: 80, tenant: t, clusters: [{name: c1, weight: 1}]}\n");
  EXPECT_EQ(ApplyPlan(documents, plan, user).status, 200);
  // Nor is a cluster named where only others turn to his gateways.
  v2::PlanRequest request;
  request.add_deletions(std::string(kGroup) + "/gateways/b");
  EXPECT_THAT(Plan(request).DebugString(), HasSubstr("\"edge\""));
  EXPECT_THAT(Plan(request, user).DebugString(), Not(HasSubstr("\"edge\"")));
}

TEST_F(PlanTest, NobodyAppliesThePlanOfAnother) {
  const std::string documents = Tier2("b", "a.test");
  EXPECT_THAT(ApplyPlan(documents, Plan(documents).plan(), Grant("tom", "rbac/admin", kTenant)).text,
              HasSubstr("caller are others"));
}

TEST_F(PlanTest, NeedsTheRightsThatApplyingNeeds) {
  Store(Tier1("a", "a.test", kBoth));
  const std::string reader = Grant("rita", "rbac/reader", kTenant);
  v2::PlanRequest request;
  request.set_documents(Tier1("a", "a.test", "{name: c1, weight: 1}"));
  EXPECT_EQ(Refused(request, reader).status, 403);
}

TEST_F(PlanTest, AnAnswerIsBounded) {
  std::string documents;
  for (int i = 0; i < 1500; ++i) {
    documents += Tier1(fmt::format("g{}", i), fmt::format("{}-{}.test", std::string(55, 'a'), i), kBoth);
  }
  const Answer answer = Post("/v2/documents:plan", [&] {
    v2::PlanRequest request;
    request.set_documents(documents);
    return document::ToJson(request);
  }());
  ASSERT_EQ(answer.status, 200) << answer.text;
  EXPECT_LT(answer.text.size(), 2u << 20);
  v2::PlanResponse plan;
  std::vector<FieldViolation> violations;
  const auto body = document::ParseOne(answer.text, {.bytes = 2u << 20}, document::Syntax::kJson);
  ASSERT_TRUE(body.ok());
  document::ToMessage(*body, plan, violations);
  EXPECT_EQ(plan.findings_size(), 200);
  EXPECT_EQ(plan.more_findings(), 1300);
  EXPECT_EQ(plan.clusters(0).added(), 1500 * 4 + 1);
  EXPECT_LT(plan.clusters(0).ByteSizeLong(), 900u << 10);
  EXPECT_LT(plan.clusters(0).intent_size(), plan.clusters(0).added());
  EXPECT_GT(plan.clusters(0).gateways(0).added(), plan.clusters(0).gateways(0).resources_size());
}

TEST_F(PlanTest, DeletionsAreBounded) {
  v2::PlanRequest request;
  for (int i = 0; i < 1001; ++i) request.add_deletions(fmt::format("{}/tier1gateways/g{}", kGroup, i));
  EXPECT_THAT(Refused(request).text, HasSubstr("at most 1000"));
  for (int begin = 0; begin < 2500; begin += 500) {  // Each brings bindings along.
    std::string documents;
    for (int i = begin; i < begin + 500; ++i) {
      documents += Meta("GatewayGroup", fmt::format("many{}", i), ", tenant: t, workspace: w") + "---\n";
    }
    Store(documents);
  }
  request.clear_deletions();
  request.add_deletions(std::string(kTenant) + "/workspaces/w");
  request.set_cascade(true);
  EXPECT_THAT(Refused(request).text, HasSubstr("PLAN_TOO_LARGE"));
}

// While plans wait for the writer, whom another one holds.
TEST_F(PlanTest, PlansInWorkAreBoundedByPrincipal) {
  const std::string other = Grant("tom", "rbac/admin", kTenant);
  std::atomic<bool> held = false, release = false;
  std::thread writer([&] {
    const Status done = store_->Write([&](store::Txn&) -> Status {
      held = true;
      while (!release) std::this_thread::yield();
      return {};
    });
    EXPECT_TRUE(done.ok());
  });
  while (!held) std::this_thread::yield();
  v2::PlanRequest request;
  request.set_documents(Tier1("a", "a.test", kBoth));
  std::atomic<int> refused = 0, planned = 0;
  std::vector<std::thread> plans;
  for (size_t i = 0; i < services::Planning::kMostOfOne + 1; ++i) {
    plans.emplace_back([&] {
      services::CallContext call;
      call.principal = authn_->Authenticate(admin_).value();
      const auto answer = methods_->CallAs(
          *v2::PlanRequest::descriptor()->file()->FindServiceByName("Plans")->FindMethodByName("Plan"), call, request);
      if (answer.ok())
        ++planned;
      else if (answer.error().reason == "PLANS_IN_WORK" && call.retry_after > Duration{})
        ++refused;
    });
  }
  while (refused == 0) std::this_thread::yield();
  release = true;
  writer.join();
  for (std::thread& plan : plans) plan.join();
  EXPECT_EQ(refused, 1);
  EXPECT_EQ(planned, static_cast<int>(services::Planning::kMostOfOne));
  EXPECT_TRUE(Plan(request, other).changes());
}

}  // namespace
}  // namespace weir::edge::plans
