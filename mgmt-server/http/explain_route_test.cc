#include "api/weir/v2/traffic.pb.h"
#include "mgmt-server/http/plan_fixture.h"

// What a request would meet, asked by REST: rights, the past, who changed it. That the answer is what gateways do is
// tested in tests/integration/explain_test.cc and tests/e2e/explain_test.cc.
namespace weir::edge::plans {
namespace {

using ::testing::SizeIs;

class ExplainRouteTest : public PlanTest {
 protected:
  Answer Ask(const std::string& body, const std::string& token = "",
             const std::string& parent = "organizations/demo-org") {
    return Send("POST", "/v2/" + parent + ":explainRoute", body, token.empty() ? admin_ : token);
  }
  v2::ExplainRouteResponse Explain(const std::string& body, const std::string& token = "") {
    const Answer answer = Ask(body, token);
    EXPECT_EQ(answer.status, 200) << answer.text;
    v2::ExplainRouteResponse response;
    std::vector<FieldViolation> violations;
    document::ToMessage(answer.body, response, violations);
    EXPECT_TRUE(violations.empty());
    return response;
  }
};

TEST_F(ExplainRouteTest, NamesRuleSharesHopsAndWhoChangedThem) {
  Store(Tier1("a", "a.test", kBoth) + Tier2("b", "a.test"));
  Store(Cluster("c2", "locality: {region: us}, adminState: DRAINING"));
  AddWorkload("c2", "t-app", "web", "127.0.3.20");
  const auto response = Explain(R"({"host": "a.test", "path": "/x//y?q=1"})");
  ASSERT_THAT(response.items(), SizeIs(3)) << response.DebugString();  // The edge, and the tier 2 of c1 and c2.
  const auto edge = std::find_if(response.items().begin(), response.items().end(),
                                 [](const auto& item) { return item.gateway_cluster() == "edge"; });
  ASSERT_NE(edge, response.items().end());
  EXPECT_EQ(edge->rule().source(), std::string(kGroup) + "/tier1gateways/a");
  EXPECT_EQ(edge->rule().field(), "spec.externalServers[0]");
  EXPECT_EQ(edge->rule().number(), 0);
  EXPECT_EQ(edge->rule().match(), "every path");
  EXPECT_EQ(edge->path(), "/x/y?q=1");
  EXPECT_THAT(edge->gateways(), ElementsAre("t-edge/t1"));
  ASSERT_THAT(edge->shares(), SizeIs(2));
  // Nobody is behind web of c1: no workload there carries its label.
  EXPECT_EQ(edge->shares(0).reason(), "NO_ENDPOINT") << edge->DebugString();
  EXPECT_EQ(edge->shares(1).reason(), "ALL_DRAINED");
  EXPECT_EQ(edge->status(), 503);
  ASSERT_THAT(edge->shares(0).hops(), SizeIs(1));
  EXPECT_EQ(edge->shares(0).hops(0).rule().field(), "spec.http[0].routing.rules[0]");
  EXPECT_EQ(edge->shares(0).hops(0).service().host(), "t-app/web.t-app.svc.cluster.local");
  EXPECT_TRUE(edge->repeatable()) << "a GET";
  ASSERT_GT(edge->changes_size(), 1) << edge->DebugString();
  EXPECT_EQ(edge->changes(0).fqn(), "organizations/demo-org/clusters/c2") << "it was drained last";
  EXPECT_EQ(edge->changes(0).author(), "organizations/demo-org/users/admin");

  AddWorkload("c1", "t-app", "web", "127.0.2.20");
  const auto served = Explain(R"({"host": "a.test", "from": "edge", "method": "POST"})");
  ASSERT_THAT(served.items(), SizeIs(1));
  EXPECT_EQ(served.items(0).shares(0).share(), 1.0) << served.DebugString();
  EXPECT_EQ(served.items(0).shares(1).share(), 0.0);
  EXPECT_FALSE(served.items(0).repeatable());
}

TEST_F(ExplainRouteTest, APathGoesToNoClusterThatCannotServeItsOwnRule) {
  const std::string rules =
      "[{match: [{uri: {prefix: /gone}}], route: {serviceDestination: {host: "
      "t-app/gone.t-app.svc.cluster.local, port: 8080}}}, {route: {serviceDestination: {host: "
      "t-app/web.t-app.svc.cluster.local, port: 8080}}}]";
  Store(
      Tier1("a", "a.test", "{name: c1, weight: 1}") + Meta("Gateway", "b", In("t")) +
      "spec:\n  workloadSelector: {namespace: t-in, labels: {app: t2}}\n  http:\n  - {name: s, hostname: a.test, port: "
      "80, routing: {rules: " +
      rules + "}}\n");
  AddWorkload("c1", "t-app", "web", "127.0.2.20");
  EXPECT_EQ(Explain(R"({"host": "a.test", "path": "/here", "from": "edge"})").items(0).shares(0).share(), 1.0);
  const auto gone = Explain(R"({"host": "a.test", "path": "/gone", "from": "edge"})");
  EXPECT_EQ(gone.items(0).shares(0).reason(), "SERVICE_MISSING");
  EXPECT_EQ(gone.items(0).status(), 503);
}

TEST_F(ExplainRouteTest, OfAnothersHostThereIsNothingToSee) {
  Store(Tier1("a", "a.test", kBoth) + Tier1("mine", "mine.test", kBoth, "u"));
  const std::string token = Grant("uwe", "admin", "organizations/demo-org/tenants/u");
  EXPECT_EQ(Explain(R"({"host": "mine.test"})", token).items_size(), 1);
  const Answer others = Ask(R"({"host": "a.test"})", token), nobodys = Ask(R"({"host": "b.test"})", token);
  EXPECT_EQ(others.status, 404);
  EXPECT_THAT(others.text, HasSubstr("HOST_UNKNOWN"));
  EXPECT_THAT(others.text, HasSubstr("404 no_such_host"));
  const auto plain = [](std::string text, const std::string& host) {
    text.erase(text.find("\"requestId\""));
    for (size_t at; (at = text.find(host)) != std::string::npos;) text.replace(at, host.size(), "HOST");
    return text;
  };
  EXPECT_EQ(plain(others.text, "a.test"), plain(nobodys.text, "b.test"));
  // Another's gateway object is no place to ask about, and asking from it finds nothing out.
  const std::string from = R"({"host": "mine.test", "from": ")" + std::string(kGroup) + "/tier1gateways/";
  EXPECT_EQ(Ask(from + R"(a"})", token).status, 404);
  EXPECT_EQ(Ask(from + R"(none"})", token).status, 404);
  EXPECT_EQ(Ask(R"({"host": "a.test"})", token, "organizations/demo-org/tenants/t").status, 404);
  const std::string nobody = NewUser("nobody");
  // Who may not ask learns of no cluster whether it is there.
  for (const char* cluster : {"", "edge", "nowhere"}) {
    EXPECT_EQ(Ask(fmt::format(R"({{"host": "a.test", "from": "{}"}})", cluster), nobody).reason(), "RESOURCE_MISSING");
  }
}

// What is behind the mesh port may be what the caller may not read.
TEST_F(ExplainRouteTest, AHopIsToldToWhoMayReadItsObject) {
  Store(Tier1("a", "a.test", kBoth) + Tier2("b", "a.test"));
  const std::string token = Grant("uwe", "reader", std::string(kGroup) + "/tier1gateways/a");
  const std::string asked = R"({"host": "a.test", "from": "edge"})";
  EXPECT_THAT(Explain(asked).items(0).shares(0).hops(), SizeIs(1));
  EXPECT_THAT(Explain(asked, token).items(0).shares(0).hops(), IsEmpty());
}

TEST_F(ExplainRouteTest, OfAChangeNoMoreIsToldThanTheCallerMaySee) {
  Store(Tier1("a", "a.test", kBoth) + Tier1("mine", "mine.test", kBoth, "u"));
  const int64_t then = store_->Read()->revision();
  const auto change = [&] {
    const std::string clusters = "{name: c1, weight: 1}";
    const Answer answer = Apply(Tier1("a", "a.test", clusters) + Tier1("mine", "mine.test", clusters, "u"), "", true);
    ASSERT_EQ(answer.status, 200) << answer.text;
  };
  const auto restore = [&](const std::string& fqn, const std::string& message) {
    const Answer answer = Post("/v2/" + fqn + ":restore",
                               fmt::format(R"({{"subtree": true, "toRevision": {}, "message": "{}"}})", then, message));
    ASSERT_EQ(answer.status, 200) << answer.text;
  };
  const std::string tenant = "organizations/demo-org/tenants/u";
  const std::string token = Grant("uwe", "admin", tenant);
  const auto newest = [&](const std::string& by) {
    const auto seen = Explain(R"({"host": "mine.test"})", by);
    EXPECT_EQ(seen.items_size(), 1);
    for (const auto& each : seen.items(0).changes()) {
      EXPECT_TRUE(by.empty() || each.fqn().starts_with(tenant + "/")) << each.fqn() << " is not his to read";
    }
    return seen.items(0).changes(0);
  };
  change();
  restore(tenant, "of one tenant");
  EXPECT_EQ(newest(token).message(), "of one tenant");
  EXPECT_EQ(newest(token).author(), "organizations/demo-org/users/admin");
  change();
  restore("organizations/demo-org", "about a.test");  // One revision that changes what both tenants have.
  EXPECT_EQ(newest("").message(), "about a.test");
  EXPECT_EQ(newest(token).message(), "");
  EXPECT_EQ(newest(token).revision(), newest("").revision());
}

TEST_F(ExplainRouteTest, ShowsThePastByItsDocuments) {
  Store(Tier1("a", "a.test", kBoth));
  const int64_t then = store_->Read()->revision();
  Store(Tier1("a", "a.test", "{name: c1, weight: 1}"));
  const auto at = [&](int64_t revision) {
    return Explain(fmt::format(R"({{"host": "a.test", "asOfRevision": {}}})", revision));
  };
  EXPECT_EQ(at(then).items(0).shares_size(), 2);
  EXPECT_EQ(at(then).revision(), then);
  EXPECT_EQ(at(then + 1).items(0).shares_size(), 1);
  EXPECT_EQ(at(then).items(0).changes(0).revision(), then);
  EXPECT_EQ(Ask(R"({"host": "a.test", "asOfRevision": 1})").status, 404) << "it was not there yet";
  EXPECT_EQ(Ask(R"({"host": "a.test", "asOfRevision": 99999})").status, 400);
}

// What answers a host may belong to somebody else than who routes to it: the word of what is wrong there is for both,
// its names are not.
TEST_F(ExplainRouteTest, NamesNothingOfWhatIsBehindAnothersGateways) {
  std::string tier1 = Tier1("a", "a.test", kBoth);
  tier1.replace(tier1.find("port: 80,"), 9, "port: 80, tenant: u,");
  const std::string token = Grant("tom", "admin", kTenant);
  const auto share = [&](const std::string& by) {
    const auto seen = Explain(R"({"host": "a.test", "from": "edge"})", by);
    EXPECT_EQ(seen.items_size(), 1);
    return seen.items(0).shares(0);
  };
  for (const auto& [port, reason] : {std::pair(8081, "PORT_MISSING"), std::pair(8080, "NO_ENDPOINT")}) {
    Store(tier1 + Tier2("b", "a.test", "u", port));
    EXPECT_EQ(share("").reason(), reason);
    ASSERT_THAT(share("").hops(), SizeIs(1)) << "who may read it is told by the hop";
    EXPECT_EQ(share("").hops(0).service().host(), "u-app/web.u-app.svc.cluster.local");
    const auto told = share(token);
    EXPECT_EQ(told.reason(), reason);
    EXPECT_THAT(told.why_not(), HasSubstr("c1"));
    EXPECT_THAT(told.hops(), IsEmpty());
    for (const std::string& secret : {std::string("u-app"), std::string("web"), std::to_string(port)}) {
      EXPECT_THAT(told.ShortDebugString(), Not(HasSubstr(secret)));
    }
  }
}

// The documents of then, and what runs now, where it is still theirs.
TEST_F(ExplainRouteTest, ThePastTellsNothingOfANamespaceThatChangedHands) {
  Store(Tier1("a", "a.test", kBoth) + Tier2("b", "a.test"));
  const int64_t then = store_->Read()->revision();
  const std::string token = Grant("tom", "admin", kTenant);
  const auto at = [&] {
    const std::string body = fmt::format(R"({{"host": "a.test", "asOfRevision": {}}})", then);
    std::string text = Ask(body, token).text;
    const size_t id = text.find("\"requestId\"");
    return id == std::string::npos ? text : text.substr(0, id);
  };
  const std::string early = at();
  AddWorkload("c1", "t-app", "web", "127.0.2.20");
  EXPECT_NE(at(), early) << "it is theirs: they see what runs";
  const auto owns = [&](const std::string& tenant, const std::string& names) {
    Store(Meta("Workspace", "w", ", tenant: " + tenant) + "spec: {namespaceSelector: {names: [" + names + "]}}\n---\n");
  };
  owns("t", "'*/t-edge', '*/t-in'");
  owns("u", "'*/u-app', '*/t-app'");
  const std::string lost = at();
  EXPECT_THAT(lost, HasSubstr("SERVICE_OUTSIDE_WORKSPACE"));
  AddWorkload("c2", "t-app", "web", "127.0.3.20");
  EXPECT_EQ(at(), lost) << "what the neighbour starts there changes no word";
  owns("t", "'*/t-edge'");
  owns("u", "'*/u-app', '*/t-app', '*/t-in'");
  EXPECT_THAT(at(), AllOf(HasSubstr("t-edge/t1"), Not(HasSubstr("t-in/t2"))));
  owns("t", "'edge/none'");
  EXPECT_THAT(at(), AllOf(HasSubstr("HOST_UNKNOWN"), HasSubstr("has lost since then")));
  owns("u", "'*/u-app'");
  owns("t", "'c1/t-in', 'edge/t-edge', 'c2/t-in'");
  EXPECT_THAT(at(), AllOf(HasSubstr("t-edge/t1"), HasSubstr("t-in/t2"))) << "what is theirs again is told again";
  // The same name is not the same workspace.
  ASSERT_EQ(Send("DELETE", std::string("/v2/") + kTenant + "/workspaces/w?cascade=true", "", admin_).status, 200);
  Store(Tenancy("t"));
  EXPECT_THAT(at(), Not(HasSubstr("t-edge/t1")));
}

// As a word of his, a cluster that he may not read is one that never was.
TEST_F(ExplainRouteTest, AnotherClusterIsNotFoundOutByAskingFromIt) {
  Store(Tier1("a", "a.test", kBoth) + Cluster("old", ""));
  const int64_t then = store_->Read()->revision();
  ASSERT_EQ(Send("DELETE", "/v2/organizations/demo-org/clusters/old", "", admin_).status, 200);
  const std::string token = Grant("tom", "admin", kTenant);
  const auto ask = [&](const std::string& from, int64_t revision) {
    const Answer answer =
        Ask(fmt::format(R"({{"host": "a.test", "from": "{}", "asOfRevision": {}}})", from, revision), token);
    std::string text = fmt::format("{} {}", answer.status, answer.text.substr(0, answer.text.find("\"requestId\"")));
    for (size_t at; (at = text.find(from)) != std::string::npos;) text.replace(at, from.size(), "FROM");
    return text;
  };
  for (const int64_t revision : {then, store_->Read()->revision()}) {
    for (const char* cluster : {"old", "c1"}) EXPECT_EQ(ask(cluster, revision), ask("never", revision)) << cluster;
    EXPECT_THAT(ask("edge", revision), HasSubstr("200 "));
  }
}

TEST_F(ExplainRouteTest, RefusesWhatNobodyCanSend) {
  Store(Tier1("a", "a.test", kBoth));
  const std::pair<const char*, const char*> bad[] = {
      {R"({})", "host"},
      {R"({"host": "a.test b"})", "host"},
      {R"({"host": "a.test", "path": "/a b"})", "path"},
      {R"({"host": "a.test", "method": "GET / HTTP/1.1\r\nx: y"})", "method"},
      {R"({"host": "a.test", "headers": ["no colon"]})", "headers[0]"},
      {R"({"host": "a.test", "headers": ["a: b\r\nhost: c"]})", "headers[0]"},
      {R"({"host": "a.test", "from": "nowhere"})", "from"}};
  for (const auto& [body, field] : bad) {
    const Answer answer = Ask(body);
    EXPECT_EQ(answer.status, 400) << body;
    EXPECT_THAT(answer.text, HasSubstr(fmt::format("\"field\":\"{}\"", field))) << body;
  }
  const Answer large = Ask(R"({"host": "a.test", "path": "/)" + std::string(65536, 'x') + "\"}");
  EXPECT_EQ(large.status, 400);
  EXPECT_THAT(large.text, HasSubstr("at most 64 KiB"));
  EXPECT_EQ(Explain(R"({"host": "a.test", "path": "/%2e%2e/x%00"})").items(0).outcome(), v2::ExplainedRoute::REFUSED);
  EXPECT_EQ(Ask(R"({"host": "a.test:81"})").status, 404) << "no server on that port";
  EXPECT_EQ(Explain(R"({"host": "a.test:80"})").items_size(), 1);
}

}  // namespace
}  // namespace weir::edge::plans
