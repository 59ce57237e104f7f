#include <random>

#include "api/weir/agent/v1/discovery.pb.h"
#include "api/weir/v2/documents.pb.h"
#include "api/weir/v2/plan.pb.h"
#include "mgmt-server/http/rest_fixture.h"
#include "mgmt-server/services/planning.h"

// Plans over the whole way: documents in, what would change out, nothing stored.
namespace weir::edge {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kTenant[] = "organizations/demo-org/tenants/t";
constexpr char kGroup[] = "organizations/demo-org/tenants/t/workspaces/w/gatewaygroups/g";

std::string Meta(const std::string& kind, const std::string& name, const std::string& more) {
  const std::string group = kind == "Cluster" || kind == "Tenant" ? "api" : kind == "Workspace" ? "api" : "gateway";
  return fmt::format("apiVersion: {}.weir.dev/v2\nkind: {}\nmetadata: {{name: {}, organization: demo-org{}}}\n", group,
                     kind, name, more);
}
std::string In(const std::string& tenant) { return ", tenant: " + tenant + ", workspace: w, group: g"; }

std::string Tenancy(const std::string& tenant) {
  return Meta("Tenant", tenant, "") + "---\n" + Meta("Workspace", "w", ", tenant: " + tenant) +
         fmt::format("spec: {{namespaceSelector: {{names: ['*/{0}-edge', '*/{0}-in', '*/{0}-app']}}}}\n---\n", tenant) +
         Meta("GatewayGroup", "g", ", tenant: " + tenant + ", workspace: w") + "---\n";
}
std::string Tier1(const std::string& name, const std::string& host, const std::string& clusters,
                  const std::string& tenant = "t") {
  return Meta("Tier1Gateway", name, In(tenant)) +
         fmt::format(
             "spec:\n  workloadSelector: {{namespace: {}-edge, labels: {{app: t1}}}}\n  externalServers:\n"
             "  - {{name: s, hostname: {}, port: 80, clusters: [{}]}}\n---\n",
             tenant, host, clusters);
}
std::string Tier2(const std::string& name, const std::string& host, const std::string& tenant = "t", int port = 8080) {
  return Meta("Gateway", name, In(tenant)) +
         fmt::format(
             "spec:\n  workloadSelector: {{namespace: {0}-in, labels: {{app: t2}}}}\n  http:\n"
             "  - name: s\n    hostname: {1}\n    port: 80\n    routing: {{rules: [{{route: {{serviceDestination: "
             "{{host: {0}-app/web.{0}-app.svc.cluster.local, port: {2}}}}}}}]}}\n---\n",
             tenant, host, port);
}
std::string Cluster(const std::string& name, const std::string& spec) {
  return Meta("Cluster", name, "") + "spec: {" + spec + "}\n---\n";
}
constexpr char kBoth[] = "{name: c1, weight: 75}, {name: c2, weight: 25}";

class PlanTest : public RestApi {
 protected:
  void SetUp() override {
    RestApi::SetUp();
    Store(Tenancy("t") + Tenancy("u") + Cluster("edge", "tier1Cluster: true, locality: {region: eu}") +
          Cluster("c1", "locality: {region: eu}") + Cluster("c2", "locality: {region: us}"));
    for (const std::string tenant : {"t", "u"}) {
      AddWorkload("edge", tenant + "-edge", "t1", "127.0.1.10");
      for (const std::string cluster : {"c1", "c2"}) {
        AddWorkload(cluster, tenant + "-in", "t2", cluster == "c1" ? "127.0.2.10" : "127.0.3.10");
      }
    }
  }
  void Store(const std::string& documents) {
    const Answer answer = Apply(documents);
    ASSERT_EQ(answer.status, 200) << answer.text;
  }
  void AddWorkload(const std::string& cluster, const std::string& name_space, const std::string& app,
                   const std::string& address) {
    agent::v1::Workload workload;
    workload.set_name(app);
    workload.set_namespace_(name_space);
    workload.set_service_account("default");
    (*workload.mutable_labels())["app"] = app;
    workload.add_addresses(address);
    agent::v1::Service service;
    service.set_name("web");
    const std::string apps = name_space.substr(0, 1) + "-app";
    service.set_namespace_(apps);
    service.set_host("web." + apps + ".svc.cluster.local");
    service.add_ports(8080);
    (*service.mutable_selector())["app"] = "web";
    const std::string uid = store_->Read()->Get("organizations/demo-org/clusters/" + cluster)->uid;
    ASSERT_TRUE(store_
                    ->Write([&](store::Txn& txn) -> Status {
                      return txn.ApplyFacts({.cluster_uid = uid,
                                             .full = false,
                                             .workloads = {{name_space + "/" + app, workload.SerializeAsString()}},
                                             .services = {{apps + "/web", service.SerializeAsString()}},
                                             .removed_workloads = {},
                                             .removed_services = {},
                                             .agent_sequence = 0,
                                             .hash = ""});
                    })
                    .ok());
  }
  v2::PlanResponse Plan(const v2::PlanRequest& request, const std::string& token = "") {
    const Answer answer = Send("POST", "/v2/documents:plan", document::ToJson(request), token.empty() ? admin_ : token);
    EXPECT_EQ(answer.status, 200) << answer.text;
    v2::PlanResponse response;
    std::vector<FieldViolation> violations;
    document::ToMessage(answer.body, response, violations);
    EXPECT_TRUE(violations.empty());
    return response;
  }
  v2::PlanResponse Plan(const std::string& documents, const std::string& token = "") {
    v2::PlanRequest request;
    request.set_documents(documents);
    return Plan(request, token);
  }
  Answer Refused(const v2::PlanRequest& request, const std::string& token = "") {
    return Send("POST", "/v2/documents:plan", document::ToJson(request), token.empty() ? admin_ : token);
  }
  Answer ApplyPlan(const std::string& documents, const std::string& plan, const std::string& token = "",
                   bool dry_run = false) {
    v2::ApplyDocumentsRequest request;
    request.set_documents(documents);
    request.set_plan(plan);
    request.set_dry_run(dry_run);
    return Send("POST", "/v2/documents:apply", document::ToJson(request), token.empty() ? admin_ : token);
  }
  std::string Grant(const std::string& user, const std::string& role, const std::string& fqn) {
    const std::string token = NewUser(user);
    const Answer answer =
        Post("/v2/" + fqn + "/accessbindings:grant",
             R"({"role":")" + role + R"(","subject":{"user":"organizations/demo-org/users/)" + user + R"("}})");
    EXPECT_EQ(answer.status, 200) << answer.text;
    return token;
  }
  compile::Compilation Compiled() {
    return compile::Compilation(push::WorldFeed(Clock::Real()).Load(*store_->Read(), "ROOT"));
  }
};

// "edge Host +name"
std::vector<std::string> IntentOf(const v2::PlanResponse& plan) {
  std::vector<std::string> lines;
  for (const auto& cluster : plan.clusters()) {
    for (const auto& one : cluster.intent()) {
      const char* sign = one.change() == v2::PlannedResource::ADDED     ? "+"
                         : one.change() == v2::PlannedResource::CHANGED ? "~"
                                                                        : "-";
      lines.push_back(fmt::format("{} {} {}{}", cluster.cluster(), one.type(), sign, one.name()));
    }
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}
std::vector<std::string> Difference(const compile::Compilation& before, const compile::Compilation& after) {
  std::set<std::string> clusters;
  for (const auto* each : {&before, &after}) {
    for (const std::string& cluster : each->world().clusters()) clusters.insert(cluster);
  }
  std::vector<std::string> lines;
  for (const std::string& cluster : clusters) {
    const auto& was = before.Of(cluster);
    const auto& is = after.Of(cluster);
    const auto add = [&](const compile::Key& key, char sign) {
      lines.push_back(fmt::format("{} {} {}{}", resource::LastName(cluster), key.type, sign, key.name));
    };
    for (const auto& [key, one] : was) {
      if (!is.contains(key))
        add(key, '-');
      else if (is.at(key).bytes != one.bytes)
        add(key, '~');
    }
    for (const auto& [key, one] : is) {
      if (!was.contains(key)) add(key, '+');
    }
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}
std::vector<std::string> Reasons(const v2::PlanResponse& plan) {
  std::vector<std::string> reasons;
  for (const auto& finding : plan.findings()) reasons.push_back(finding.reason());
  return reasons;
}

TEST_F(PlanTest, SaysWhatWouldBecomeOfDocumentsClustersAndGateways) {
  Store(Tier1("a", "a.test", kBoth) + Tier2("b", "a.test"));
  const std::string documents = Tier1("a", "a.test", "{name: c1, weight: 10}, {name: c2, weight: 90}");
  const v2::PlanResponse plan = Plan(documents);
  ASSERT_EQ(plan.items_size(), 1);
  EXPECT_EQ(plan.items(0).outcome(), v2::PlannedDocument::UPDATED);
  ASSERT_EQ(plan.items(0).fields_size(), 2) << plan.DebugString();
  EXPECT_EQ(plan.items(0).fields(0).field(), "spec.externalServers[s].clusters[c1].weight");
  EXPECT_EQ(plan.items(0).fields(0).before(), "75");
  EXPECT_EQ(plan.items(0).fields(0).after(), "10");
  EXPECT_THAT(IntentOf(plan), ElementsAre("edge DestinationSet ~t-edge:app=t1/80/a.test/s/0"));
  ASSERT_EQ(plan.clusters(0).gateways_size(), 1);
  const auto& gateway = plan.clusters(0).gateways(0);
  EXPECT_EQ(gateway.workloads(0), "t-edge/t1");
  EXPECT_GT(gateway.changed(), 0);
  EXPECT_THAT(gateway.ShortDebugString(), HasSubstr("ClusterLoadAssignment"));
  EXPECT_THAT(gateway.ShortDebugString(), HasSubstr("loadBalancingWeight"));
  EXPECT_TRUE(plan.changes());
  EXPECT_FALSE(plan.plan().empty());
  EXPECT_THAT(plan.losses(), IsEmpty());

  const v2::PlanResponse same = Plan(Tier1("a", "a.test", kBoth));
  EXPECT_FALSE(same.changes());
  EXPECT_THAT(same.clusters(), IsEmpty());
}

TEST_F(PlanTest, StoresNothing) {
  Store(Tier1("a", "a.test", kBoth));
  const store::ViewPtr before = store_->Read();
  std::atomic<int> events = 0;
  const auto subscription = store_->Subscribe(before->revision(), [&](const store::ChangeEvent&) { ++events; });
  v2::PlanRequest request;
  request.set_documents(Tier1("x", "x.test", kBoth));
  request.add_deletions(std::string(kGroup) + "/tier1gateways/a");
  EXPECT_TRUE(Plan(request).changes());
  v2::ApplyDocumentsRequest dry;
  dry.set_documents(Tier1("x", "x.test", kBoth));
  dry.set_dry_run(true);
  const Answer answer = Post("/v2/documents:apply", document::ToJson(dry));
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.text, HasSubstr("CREATED"));
  EXPECT_THAT(answer.text, Not(HasSubstr("resourceVersion")));
  const store::ViewPtr after = store_->Read();
  EXPECT_EQ(after->revision(), before->revision());
  EXPECT_EQ(after->audit_count(), before->audit_count());
  EXPECT_EQ(after->resource_count(), before->resource_count());
  Store(Tier1("y", "y.test", kBoth));  // The first event is of what was stored.
  while (events == 0) std::this_thread::yield();
  EXPECT_EQ(events, 1);
}

// The intent that a plan names is the difference between what is compiled before and after the documents are stored.
TEST_F(PlanTest, NamesTheIntentThatApplyingThenChanges) {
  Store(Tier1("g0", "h0.test", kBoth) + Tier2("b0", "h0.test"));
  std::mt19937 random(7);
  const auto pick = [&](int below) { return static_cast<int>(random() % static_cast<unsigned>(below)); };
  for (int round = 0; round < 60; ++round) {
    std::string documents;
    std::set<std::string> named;
    const auto add = [&](const std::string& name, const std::string& document) {
      if (named.insert(name).second) documents += document;
    };
    for (int i = pick(3); i >= 0; --i) {
      const int n = pick(5);
      const std::string host = fmt::format("h{}.test", n);
      switch (pick(4)) {
        case 0:
          add(fmt::format("g{}", n),
              Tier1(fmt::format("g{}", n), host, pick(2) == 0 ? kBoth : "{name: c1, weight: 1}"));
          break;
        case 1:
          add(fmt::format("b{}", n), Tier2(fmt::format("b{}", n), host, "t", 8080 + pick(2)));
          break;
        case 2:
          add("c2", Cluster("c2", fmt::format("locality: {{region: r{}}}, adminState: {}", pick(2),
                                              pick(2) == 0 ? "ACTIVE" : "DRAINING")));
          break;
        default:
          add("edge", Cluster("edge", fmt::format("tier1Cluster: {}", pick(2) == 0)));
      }
    }
    const compile::Compilation before = Compiled();
    const v2::PlanResponse plan = Plan(documents);
    const Answer applied = ApplyPlan(documents, plan.plan());
    ASSERT_EQ(applied.status, 200) << applied.text;
    EXPECT_EQ(IntentOf(plan), Difference(before, Compiled())) << documents;
  }
}

TEST_F(PlanTest, DeletionsArePlannedWithWhatTheyTakeAlong) {
  Store(Tier1("a", "a.test", kBoth) + Tier2("b", "a.test"));
  const compile::Compilation before = Compiled();
  v2::PlanRequest request;
  request.add_deletions(std::string(kTenant) + "/workspaces/w");
  EXPECT_THAT(Refused(request).text, HasSubstr("HAS_CHILDREN"));
  request.set_cascade(true);
  const v2::PlanResponse plan = Plan(request);
  EXPECT_EQ(plan.items_size(), 4);  // Workspace, group, two gateways.
  EXPECT_TRUE(plan.plan().empty());
  ASSERT_EQ(plan.losses_size(), 1);
  EXPECT_EQ(plan.losses(0).host(), "a.test");
  EXPECT_EQ(plan.losses(0).after(), 0);
  EXPECT_EQ(Send("DELETE", "/v2/" + std::string(kTenant) + "/workspaces/w?cascade=true", "", admin_).status, 200);
  EXPECT_EQ(IntentOf(plan), Difference(before, Compiled()));
}

TEST_F(PlanTest, AHostMayMoveFromWhatIsDeletedToWhatIsWritten) {
  Store(Tier1("a", "a.test", kBoth));
  v2::PlanRequest request;
  request.set_documents(Tier1("b", "a.test", kBoth));
  EXPECT_THAT(Refused(request).text, HasSubstr("GATEWAY_HOST_TAKEN"));
  request.add_deletions(std::string(kGroup) + "/tier1gateways/a");
  EXPECT_TRUE(Plan(request).changes());
  request.add_deletions(std::string(kGroup) + "/tier1gateways/b");
  EXPECT_THAT(Refused(request).text, HasSubstr("has a document in this call"));
}

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

TEST_F(PlanTest, ShowsConflictsWithBothValues) {
  Store(Tier1("a", "a.test", kBoth));
  v2::PlanRequest request;
  request.set_documents(Tier1("a", "a.test", "{name: c1, weight: 1}"));
  request.set_manager("other");
  v2::PlanResponse plan = Plan(request);
  EXPECT_EQ(plan.items(0).outcome(), v2::PlannedDocument::CONFLICT);
  EXPECT_THAT(plan.items(0).ShortDebugString(), HasSubstr("before: \"75\" after: \"1\""));
  EXPECT_THAT(plan.items(0).message(), HasSubstr("was set by"));
  EXPECT_TRUE(plan.plan().empty());
  request.set_force(true);
  plan = Plan(request);
  EXPECT_EQ(plan.items(0).outcome(), v2::PlannedDocument::UPDATED);
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

TEST_F(PlanTest, FindsWhatCannotHappen) {
  v2::PlanResponse plan = Plan(Tier1("a", "a.test", kBoth));
  EXPECT_THAT(Reasons(plan), ElementsAre("HOST_UNANSWERED"));
  EXPECT_EQ(plan.findings(0).field(), "spec.externalServers[0].clusters");
  EXPECT_EQ(plan.findings(0).line(), 7);
  Store(Tier2("b", "a.test"));
  EXPECT_THAT(Reasons(Plan(Tier1("a", "a.test", kBoth))), IsEmpty());
  EXPECT_THAT(Reasons(Plan(Tier1("a", "a.test", "{name: c1, weight: 1}"))), ElementsAre("NO_FAILOVER"));
  std::string alone = Tier1("a", "a.test", "{name: c1, weight: 1}");
  alone.replace(alone.rfind("}]}"), 3,
                "}], failoverSettings: {regionalFailover: [{from: eu, to: mars}], failoverPriority: [tier]}}");
  EXPECT_THAT(Reasons(Plan(alone)),
              ElementsAre("FAILOVER_CANNOT_HAPPEN", "FAILOVER_SELECTS_NOBODY", "FAILOVER_SELECTS_NOBODY"));
  EXPECT_THAT(Reasons(Plan(Tier2("c", "c.test", "t", 1))), ElementsAre("SERVICE_MISSING"));
  Store(Cluster("edge", "tier1Cluster: false"));
  EXPECT_THAT(Reasons(Plan(Tier1("a", "a.test", kBoth))), ElementsAre("NOT_ADMITTED"));
  Store(Cluster("c1", "adminState: DRAINING") + Cluster("c2", "adminState: DRAINING") +
        Cluster("edge", "tier1Cluster: true"));
  EXPECT_THAT(Reasons(Plan(Tier1("a", "a.test", kBoth))), ElementsAre("ALL_DRAINED"));
}

TEST_F(PlanTest, TellsWhichHostsLoseTheirLastCluster) {
  Store(Tier1("a", "a.test", kBoth) + Tier2("b", "a.test"));
  v2::PlanResponse plan = Plan(Cluster("c1", "locality: {region: eu}, adminState: DRAINING"));
  ASSERT_EQ(plan.losses_size(), 1);
  EXPECT_EQ(plan.losses(0).before(), 2);
  EXPECT_EQ(plan.losses(0).after(), 1);
  EXPECT_EQ(plan.losses(0).message(), "c1 is drained");
  v2::PlanRequest request;
  request.add_deletions(std::string(kGroup) + "/gateways/b");
  plan = Plan(request);
  ASSERT_EQ(plan.losses_size(), 1);
  EXPECT_EQ(plan.losses(0).after(), 0);
  EXPECT_THAT(plan.losses(0).message(), HasSubstr("c2 has no tier-2 gateway that answers"));
}

TEST_F(PlanTest, OfDocumentsOnlySaysNothingOfClusters) {
  v2::PlanRequest request;
  request.set_documents(Tier1("a", "a.test", kBoth));
  request.set_documents_only(true);
  const v2::PlanResponse plan = Plan(request);
  EXPECT_TRUE(plan.changes());
  EXPECT_TRUE(plan.clusters().empty() && plan.findings().empty() && plan.plan().empty());
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
}  // namespace weir::edge
