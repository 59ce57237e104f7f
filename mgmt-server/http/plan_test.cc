#include <random>

#include "mgmt-server/http/plan_fixture.h"

// Plans over the whole way: documents in, what would change out, nothing stored.
namespace weir::edge::plans {
namespace {

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
  EXPECT_FALSE(plan.plan().empty());
  ASSERT_EQ(plan.losses_size(), 1);
  EXPECT_EQ(plan.losses(0).host(), "a.test");
  EXPECT_EQ(plan.losses(0).after(), 0);
  EXPECT_EQ(Send("DELETE", "/v2/" + std::string(kTenant) + "/workspaces/w?cascade=true", "", admin_).status, 200);
  EXPECT_EQ(IntentOf(plan), Difference(before, Compiled()));
}

TEST_F(PlanTest, AClusterThatGoesTakesItsWorkloadsAlong) {
  Store(Tier1("a", "a.test", kBoth) + Tier2("b", "a.test"));
  const compile::Compilation before = Compiled();
  v2::PlanRequest request;
  request.set_documents(Tier1("a", "a.test", kBoth));
  request.add_deletions("organizations/demo-org/clusters/edge");
  const v2::PlanResponse plan = Plan(request);
  EXPECT_THAT(Reasons(plan), ElementsAre("NO_WORKLOAD"));
  ASSERT_EQ(Send("DELETE", "/v2/organizations/demo-org/clusters/edge", "", admin_).status, 200);
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

TEST_F(PlanTest, FindsSelectorsThatSelectNobody) {
  Store(Tier2("b", "a.test") + Cluster("c1", "network: dmz"));
  EXPECT_THAT(Reasons(Plan(Tier1("a", "a.test", ""))), IsEmpty()) << "all that serve it";
  EXPECT_THAT(Reasons(Plan(Tier1("a", "b.test", ""))), ElementsAre("SELECTS_NO_CLUSTER"));
  const v2::PlanResponse plan =
      Plan(Tier1("a", "a.test", "{network: dmz, weight: 1}, {labels: {ring: beta}, weight: 1}"));
  EXPECT_THAT(Reasons(plan), ElementsAre("SELECTS_NO_CLUSTER", "NO_FAILOVER"));
  EXPECT_EQ(plan.findings(0).field(), "spec.externalServers[0].clusters[1]");
  // The last cluster that a list without names had.
  Store(Tier1("a", "a.test", "{network: dmz}"));
  const v2::PlanResponse moved = Plan(Cluster("c1", "network: office"));
  ASSERT_EQ(moved.losses_size(), 1);
  EXPECT_EQ(moved.losses(0).after(), 0);
  EXPECT_EQ(moved.losses(0).message(), "c1 is not among its clusters any more");
}

TEST_F(PlanTest, SaysWhoWouldGetMoreThanItDeclares) {
  const auto capacity = [](const std::string& name, int rate) {
    return Cluster(name, fmt::format("capacity: {{requestsPerSecond: {}}}", rate));
  };
  const std::string wanted = Tier1("a", "a.test", kBoth);
  Store(Tier2("b", "a.test") + wanted + capacity("c1", 1000) + capacity("c2", 100));
  const auto found = [&](const std::string& documents, const std::string& token = "") {
    std::string text;
    const v2::PlanResponse plan = Plan(documents, token);
    for (const auto& f : plan.findings()) text += f.reason() == "CAPACITY_EXCEEDED" ? f.message() + "|" : "";
    return text;
  };
  EXPECT_THAT(found(wanted), HasSubstr("c1 declares 1000 requests/s, all others of the list together 100"));
  fleet_.traffic = [](const auto&, const auto&) {
    std::vector<v2::HostTraffic> items;
    for (const std::string tenant : {"t", "u"}) {
      v2::HostTraffic& item = items.emplace_back();
      item.set_host(tenant == "t" ? "a.test" : "u.test");
      item.set_source(
          fmt::format("organizations/demo-org/tenants/{}/workspaces/w/gatewaygroups/g/tier1gateways/a", tenant));
      item.set_route("s/0");
      item.set_gateway_cluster("edge");
      item.add_clusters()->set_requests_per_second(64);
      item.add_clusters()->set_requests_per_second(20);
    }
    return items;
  };
  EXPECT_EQ(found(wanted), "") << "84/s fit into either";
  Store(Tier2("b", "u.test", "u") + Tier1("a", "u.test", kBoth, "u"));
  EXPECT_EQ(found(wanted),
            "when c1 is lost, c2 would get about 168 requests/s of the 100 that it declares, as measured now|");
  EXPECT_THAT(found(Tier1("a", "a.test", "{name: c2, weight: 1}")), HasSubstr("c2 would get about 105"))
      << "as all stands";
  EXPECT_EQ(found(wanted, Grant("eve", "admin", kTenant)), "")
      << "neither others' rates nor capacities are hers to know";
  Store(Cluster("c2", "adminState: STANDBY, capacity: {requestsPerSecond: 100}"));
  EXPECT_EQ(found(wanted),
            "when c1 is lost, c2 would get about 168 requests/s of the 100 that it declares, as measured now|");
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

}  // namespace
}  // namespace weir::edge::plans
