#include "mgmt-server/http/change_set_fixture.h"

// Invariants over the whole way: what writes and plans are told.
namespace weir::edge::plans {
namespace {

constexpr char kOrg[] = "organizations/demo-org";
const std::string kInvariants = std::string("/v2/") + kOrg + "/invariants/two";

std::string Invariant(const std::string& name, const std::string& spec) {
  return fmt::format(
      "apiVersion: api.weir.dev/v2\nkind: Invariant\nmetadata: {{name: {}, organization: demo-org}}\nspec: "
      "{{{}}}\n---\n",
      name, spec);
}
std::string OfTenant(const std::string& tenant, const std::string& name, const std::string& spec) {
  return fmt::format(
      "apiVersion: api.weir.dev/v2\nkind: TenantInvariant\nmetadata: {{name: {}, organization: demo-org, tenant: {}}}\n"
      "spec: {{{}}}\n---\n",
      name, tenant, spec);
}
constexpr char kTwo[] = "minClusters: {host: a.test, count: 2}";
const std::string kOne = Tier1("a", "a.test", "{name: c1}");

class Invariants : public ChangeSetTest {
 protected:
  void SetUp() override {
    ChangeSetTest::SetUp();
    Store(Tier1("a", "a.test", kBoth) + Tier2("b", "a.test"));
  }
  static void ExpectRefused(const Answer& answer, const std::string& what) {
    EXPECT_EQ(answer.reason(), "INVARIANT_BROKEN") << what << ": " << answer.text;
    EXPECT_THAT(answer.text, HasSubstr(std::string(kOrg) + "/invariants/two")) << what;
  }
  std::string Etag(const std::string& path) { return Get(path).Text({"metadata", "resourceVersion"}); }
};

TEST_F(Invariants, RefuseOnEveryWayAWriteTakes) {
  const std::string gateway = std::string("/v2/") + kGroup + "/tier1gateways/a";
  Store(kOne);
  const int64_t one = store_->Read()->revision();
  Store(Tier1("a", "a.test", kBoth));
  const v2::ChangeSet waiting = Created(Contents(kOne));
  const std::string plan = Plan(kOne).plan();
  ASSERT_FALSE(plan.empty());
  Store(Invariant("two", kTwo));
  const int64_t before = store_->Read()->revision();

  ExpectRefused(Apply(kOne), "apply");
  v2::ApplyDocumentsRequest dry;
  dry.set_documents(kOne);
  dry.set_dry_run(true);
  ExpectRefused(Post("/v2/documents:apply", document::ToJson(dry)), "dry run");
  ExpectRefused(ApplyPlan(kOne, plan), "apply as planned");
  const std::string spec =
      R"("spec":{"workloadSelector":{"namespace":"t-edge","labels":{"app":"t1"}},"externalServers":[)"
      R"({"name":"s","hostname":"a.test","port":80,"clusters":[{"name":"c1"}]}]})";
  ExpectRefused(
      Send("PUT", gateway, R"({"metadata":{"resourceVersion":")" + Etag(gateway) + R"("},)" + spec + "}", admin_),
      "update");
  std::string more = spec;
  more.replace(more.find("\"t1\""), 4, "\"t9\"");  // Other gateways, which send fewer.
  ExpectRefused(Post(std::string("/v2/") + kGroup + "/tier1gateways", R"({"metadata":{"name":"more"},)" + more + "}"),
                "create");
  ExpectRefused(Send("DELETE", gateway, "", admin_), "delete");
  ExpectRefused(Send("DELETE", std::string("/v2/") + kGroup + "/gateways/b", "", admin_), "delete of the receiver");
  ExpectRefused(Send("DELETE", std::string("/v2/") + kTenant + "?cascade=true", "", admin_), "delete of it all");
  ExpectRefused(Do(waiting, "commit"), "commit");
  ExpectRefused(Post(gateway + ":restore", fmt::format(R"({{"toRevision":{}}})", one)), "restore");
  ExpectRefused(Apply(Cluster("c1", "locality: {region: eu}, adminState: DRAINING")), "a cluster's document");
  for (const char* verb : {"drain", "standby", "maintenance"}) {
    ExpectRefused(Post(fmt::format("/v2/{}/clusters/c1:{}", kOrg, verb), "{}"), verb);
  }
  EXPECT_EQ(store_->Read()->revision(), before) << "nothing of it was stored";
}

TEST_F(Invariants, NameTheLineOfTheDocument) {
  Store(Invariant("two", kTwo));
  const std::string documents = Tier2("b", "a.test") + kOne;
  const Answer refused = Apply(documents);
  EXPECT_THAT(refused.text, HasSubstr("spec.externalServers[0].clusters"));
  EXPECT_THAT(refused.text, HasSubstr("a.test has 1 of 2 clusters that can take its requests"));
  EXPECT_THAT(refused.text, HasSubstr("set its spec.enforcement to ALARM"));
  // Of the second document: its list stands in the same line in both.
  const size_t line =
      1 + static_cast<size_t>(std::count(
              documents.begin(), documents.begin() + static_cast<std::ptrdiff_t>(documents.find("clusters: [")), '\n'));
  EXPECT_THAT(refused.text, HasSubstr(fmt::format("\"line\":{}", line)));

  const v2::PlanResponse plan = Plan(documents);
  const auto found = std::find_if(plan.findings().begin(), plan.findings().end(),
                                  [](const v2::Finding& each) { return each.reason() == "INVARIANT_BROKEN"; });
  ASSERT_NE(found, plan.findings().end()) << plan.DebugString();
  EXPECT_EQ(found->severity(), v2::Finding::ERROR);
  EXPECT_EQ(found->fqn(), std::string(kGroup) + "/tier1gateways/a");
  EXPECT_EQ(found->field(), "spec.externalServers[0].clusters");
  EXPECT_EQ(static_cast<size_t>(found->line()), line);
  EXPECT_THAT(found->message(), HasSubstr(std::string(kOrg) + "/invariants/two (a.test: at least 2 clusters)"));
  EXPECT_FALSE(found->remedy().empty());
  EXPECT_THAT(Plan(Tier1("a", "a.test", kBoth)).findings(), IsEmpty());
  // In the plan of a change set, too.
  const v2::ChangeSet set = Created(Contents(kOne));
  EXPECT_THAT(Do(set, "plan").text, HasSubstr("INVARIANT_BROKEN"));
}

TEST_F(Invariants, AreRefusedWhereTheyAreBrokenAlready) {
  Answer refused = Apply((Invariant("three", "minClusters: {host: a.test, count: 3}")));
  EXPECT_EQ(refused.reason(), "INVARIANT_BROKEN");
  EXPECT_THAT(refused.text, HasSubstr("a.test has 2 of 3 clusters"));
  refused = Apply((Invariant("eu", "onlyRegions: {host: a.test, regions: [eu]}")));
  EXPECT_THAT(refused.text, HasSubstr("a.test may be sent to c2 in region us, and not only to eu"));
  EXPECT_THAT(refused.text, HasSubstr("\"field\":\"spec.onlyRegions\"")) << "the line of the Invariant itself";
  const v2::PlanResponse plan = Plan((Invariant("eu", "onlyRegions: {host: a.test, regions: [eu]}")));
  EXPECT_THAT(Reasons(plan), testing::Contains("INVARIANT_BROKEN"));
  Store(Invariant("eu", "onlyRegions: {host: a.test, regions: [eu]}, enforcement: ALARM"));
  EXPECT_EQ(Apply((Invariant("eu", "onlyRegions: {host: a.test, regions: [eu]}"))).reason(), "INVARIANT_BROKEN");
  Store(kOne);
  Store(Invariant("eu", "onlyRegions: {host: a.test, regions: [eu]}"));
  EXPECT_EQ(Apply(Tier1("a", "a.test", kBoth)).reason(), "INVARIANT_BROKEN");
}

// The SRE at night, and who must let a change through.
TEST_F(Invariants, YieldToForceAndToTheirOwnWord) {
  Store(Invariant("two", kTwo));
  const std::string c1 = std::string("/v2/") + kOrg + "/clusters/c1";
  const Answer refused = Post(c1 + ":drain", "{}");
  EXPECT_THAT(refused.text, HasSubstr("force does it all the same"));
  ASSERT_EQ(Post(c1 + ":drain", R"({"force":true})").status, 200);
  const auto records = store_->AuditBefore(INT64_MAX, 2);
  EXPECT_EQ(records->at(0).action, "break-invariant");
  EXPECT_EQ(records->at(0).fqn, std::string(kOrg) + "/invariants/two");
  EXPECT_EQ(records->at(0).principal, std::string(kOrg) + "/users/admin");
  EXPECT_EQ(records->at(1).action, "drain");
  // It is broken: neither what repairs it is refused nor what has nothing to do with it, but what makes it worse.
  EXPECT_EQ(Apply(Tier1("other", "other.test", "{name: c1}")).status, 200);
  ExpectRefused(Apply(Tier1("a", "a.test", "{name: c1}")), "worse");
  EXPECT_EQ(Apply(Tier1("a", "a.test", "{name: c1, weight: 1}, {name: c2, weight: 99}")).status, 200) << "no worse";
  EXPECT_EQ(Post(c1 + ":activate", "{}").status, 200);
  EXPECT_EQ(store_->AuditBefore(INT64_MAX, 1)->front().action, "activate");
  // By its own word, in the same call.
  EXPECT_EQ(Apply((kOne + Invariant("two", std::string(kTwo) + ", enforcement: ALARM"))).status, 200);
  EXPECT_THAT(Get(kInvariants).text, HasSubstr("ALARM"));
  EXPECT_EQ(Send("DELETE", kInvariants, "", admin_).status, 200);
}

// A deletion of all takes the condition along with what it is about.
TEST_F(Invariants, GoBeforeWhatTheyAreAbout) {
  Store(OfTenant("t", "two", kTwo));
  std::string many;
  for (int i = 0; i < 30; ++i) many += Tier2(fmt::format("r{}", i), fmt::format("r{}.test", i));
  Store(many);
  EXPECT_EQ(Send("DELETE", std::string("/v2/") + kTenant + "?cascade=true", "", admin_).status, 200);
}

TEST_F(Invariants, OfATenantSpeakOfNobodyElse) {
  const auto reason = [&](const std::string& spec) { return Apply(OfTenant("t", "x", spec)).reason(); };
  EXPECT_EQ(reason("noPath: {from: {tenant: u}, to: {tenant: t}}"), "INVARIANT_OUTSIDE_TENANT");
  EXPECT_EQ(reason("noPath: {from: {tenant: t}, to: {namespace: '*/u-app'}}"), "INVARIANT_OUTSIDE_TENANT");
  EXPECT_EQ(reason("noPath: {from: {tenant: t}, to: {namespace: '*/*'}}"), "INVARIANT_OUTSIDE_TENANT");
  EXPECT_EQ(reason("noPath: {from: {outsideTenant: t}, to: {tenant: t}}"), "INVALID_RESOURCE");
  EXPECT_EQ(reason("noPath: {from: {namespace: 'c1/t-edge'}, to: {namespace: '*/t-in'}}"), "");
  // What another tenant sends where is none of its business; what the organization says is everybody's.
  Store(OfTenant("t", "two", kTwo) + OfTenant("t", "home", "onlyRegions: {host: b.test, regions: [eu]}"));
  const std::string una = Grant("una", "rbac/admin", "organizations/demo-org/tenants/u");
  EXPECT_EQ(Apply(Tier1("a", "b.test", kBoth, "u") + Tier2("b", "b.test", "u"), "", false, una).status, 200);
  EXPECT_EQ(Apply(Tier1("a", "a.test", "{name: c1}", "u"), "", false, una).status, 200);
}

TEST_F(Invariants, AreABoundedNumber) {
  std::string many;
  for (int i = 0; i < 500; ++i)
    many += OfTenant("t", fmt::format("i{}", i), "onlyRegions: {host: z.test, regions: [eu]}");
  Store(many);
  EXPECT_EQ(Apply(OfTenant("t", "more", kTwo)).reason(), "TOO_MANY_INVARIANTS");
  EXPECT_EQ(Apply(OfTenant("t", "i7", kTwo)).status, 200) << "not a new one";
  EXPECT_EQ(Apply(OfTenant("u", "more", "onlyRegions: {host: z.test, regions: [eu]}")).status, 200) << "of another";
}

// Who may not read an Invariant, or what it is broken by, is told that one is, and no more.
TEST_F(Invariants, TellNobodyWhatHeMayNotRead) {
  Store(Invariant("secret", "onlyRegions: {host: b.test, regions: [eu]}"));
  const std::string una = Grant("una", "rbac/admin", "organizations/demo-org/tenants/u");
  const Answer refused = Apply(Tier1("a", "b.test", kBoth, "u"), "", false, una);
  EXPECT_EQ(refused.reason(), "INVARIANT_BROKEN");
  EXPECT_THAT(refused.text, Not(HasSubstr("secret")));
  EXPECT_THAT(refused.text, HasSubstr("an Invariant of the organization that you may not read"));
  EXPECT_THAT(refused.text, HasSubstr("c2 in region us")) << "that is in his own document";
  const v2::PlanResponse plan = Plan(Tier1("a", "b.test", kBoth, "u"), una);
  EXPECT_THAT(Reasons(plan), testing::Contains("INVARIANT_BROKEN"));
  EXPECT_THAT(plan.DebugString(), Not(HasSubstr("secret")));

  Store(OfTenant("t", "hidden", kTwo));
  const std::string ops = Grant("ops", "rbac/writer", std::string(kOrg) + "/clusters/c1");
  const Answer drained = Send("POST", std::string("/v2/") + kOrg + "/clusters/c1:drain", "{}", ops);
  EXPECT_EQ(drained.reason(), "INVARIANT_BROKEN");
  EXPECT_THAT(drained.text, HasSubstr("an Invariant of a tenant that you may not read"));
  EXPECT_THAT(drained.text, Not(testing::AnyOf(HasSubstr("hidden"), HasSubstr("a.test"), HasSubstr("tenants/t"))));
  EXPECT_EQ(Send("POST", std::string("/v2/") + kOrg + "/clusters/c1:drain", R"({"force":true})", ops).status, 200);
}

TEST_F(Invariants, AreCheckedByThemselves) {
  const struct {
    const char *spec, *field;
  } cases[] = {
      {"", "spec"},
      {"enforcement: ALARM", "spec"},
      {"minClusters: {host: a.test, count: 1}, onlyRegions: {host: a.test, regions: [eu]}", "spec.onlyRegions"},
      {"minClusters: {host: 'A b', count: 1}", "spec.minClusters.host"},
      {"minClusters: {host: a.test}", "spec.minClusters.count"},
      {"minClusters: {host: a.test, count: 101}", "spec.minClusters.count"},
      {"onlyRegions: {host: a.test}", "spec.onlyRegions.regions"},
      {"onlyRegions: {host: a.test, regions: [eu, eu]}", "spec.onlyRegions.regions[1]"},
      {"onlyRegions: {host: a.test, regions: ['']}", "spec.onlyRegions.regions[0]"},
      {"noPath: {from: {tenant: t}}", "spec.noPath.to"},
      {"noPath: {to: {tenant: t}}", "spec.noPath.from"},
      {"noPath: {from: {tenant: t}, to: {outsideTenant: t}}", "spec.noPath.to.outsideTenant"},
      {"noPath: {from: {tenant: t}, to: {namespace: app}}", "spec.noPath.to.namespace"},
      {"noPath: {from: {tenant: t, namespace: '*/x'}, to: {tenant: u}}", "spec.noPath.from.namespace"},
  };
  for (const auto& each : cases) {
    const Answer refused = Apply((Invariant("x", each.spec)));
    EXPECT_EQ(refused.status, 400) << each.spec << refused.text;
    EXPECT_THAT(refused.text, HasSubstr(fmt::format("\"field\":\"{}\"", each.field))) << each.spec;
  }
  EXPECT_EQ(Apply((Invariant("x", "noPath: {from: {tenant: nobody}, to: {tenant: t}}"))).status, 404);
}

}  // namespace
}  // namespace weir::edge::plans
