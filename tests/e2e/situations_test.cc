#include "libs/base/file.h"
#include "tests/e2e/faults.h"
#include "tests/support/http_client.h"

// Situations in which a part of a cluster is dead: what lives keeps its share, and who is back first serves at once.
namespace weir::e2e {
namespace {

using test::Milliseconds;

class Situations : public FaultTest {
 protected:
  static void SetUpTestSuite() {
    const Status up = BringUp({.net = 72, .pods = 3});
    ASSERT_TRUE(up.ok()) << up.error().message;
  }
  static std::vector<std::string> Pods(const std::string& kind, const std::string& cluster, unsigned count) {
    std::vector<std::string> names;
    for (unsigned pod = 1; pod <= count; ++pod) names.push_back(fmt::format("{}/{}/shop/pod-{}", kind, cluster, pod));
    return names;
  }
  // Since the mark no request failed, and in no second c1 had much less than its share.
  void ExpectShareKept() {
    traffic_->RunFor(4);
    ExpectNothingLost();
    const double end = traffic_->Now();
    for (double from = mark_; from + 1 <= end; from += 0.5) {
      const test::Span second = traffic_->timeline().Between(from, from + 1);
      EXPECT_GT(second.Share("c1"), 0.6) << from - mark_ << " s after the fault: " << second.ToString();
    }
    EXPECT_NEAR(Since().Share("c1"), 0.75, 0.03) << Since().ToString();
  }
};

TEST_F(Situations, TwoDeadPodsOfThreeMoveNoShare) {
  Mark("kill -9 of two of three pod proxies of c1", {.clusters = {"c1"}});
  Kill(Pods("gateway", "c1", 2));
  ExpectShareKept();
  Restart(Pods("gateway", "c1", 2));
  ExpectSharesBack();
}

TEST_F(Situations, TwoDeadAppsOfThreeMoveNoShare) {
  Mark("kill -9 of two of three apps of c1, their proxies alive", {.clusters = {"c1"}});
  Kill(Pods("app", "c1", 2));
  ExpectShareKept();
  Restart(Pods("app", "c1", 2));
  ExpectSharesBack();
}

// The others were out for the whole hold; nobody else can serve, so there is nothing to be careful about.
TEST_F(Situations, WhenEverythingWasDownWhoIsBackFirstServesAtOnce) {
  Mark("kill -9 of all apps, then one is back", {.clusters = {"c1", "c2"}, .nobody = true});
  for (const char* cluster : {"c1", "c2"}) Kill(Pods("app", cluster, 3));
  test::HttpClient client(scene_->Tier1(1), kPort);
  const auto asked = [&] {
    const auto answer = client.Get(kHost, "/");
    return answer.ok() ? answer->status : 0;
  };
  const Status none = test::WaitUntil("a refusal", Milliseconds(10'000), nullptr, [&] { return asked() == 503; });
  EXPECT_TRUE(none.ok()) << none.error().message;
  traffic_->RunFor(1);
  const std::string first = "app/c2/shop/pod-1";
  Restart({first});
  const Status up = test::WaitForPort(&Program(first), scene_->Pod(2, 1), 8080, Milliseconds(10'000));
  ASSERT_TRUE(up.ok()) << up.error().message;
  const double back = traffic_->Now();
  const Status served = test::WaitUntil("an answer", Milliseconds(10'000), nullptr, [&] { return asked() == 200; });
  EXPECT_TRUE(served.ok()) << served.error().message;
  EXPECT_LE(traffic_->Now() - back, 1.5 * kSlowdown);
  for (const char* cluster : {"c1", "c2"}) {
    for (const std::string& app : Pods("app", cluster, 3)) {
      if (app != first) Restart({app});
    }
  }
  ExpectSharesBack();
}

// rules.example.com, of which /beta goes to a service of its own.
std::string RulesYaml() {
  const std::string meta = "organization: e2e-org, tenant: t, workspace: w, group: g";
  return fmt::format(
      "apiVersion: gateway.weir.dev/v2\nkind: Gateway\nmetadata: {{name: rules, {0}}}\nspec:\n"
      "  workloadSelector: {{namespace: shop, labels: {{app: gateway-t2}}}}\n"
      "  http: [{{name: r, hostname: rules.example.com, port: 80, routing: {{rules: [{{match: [{{uri: {{prefix: "
      "/beta}}}}], "
      "route: {{serviceDestination: {{host: shop/beta.shop.svc.cluster.local, port: 8080}}}}}}, {{route: "
      "{{serviceDestination: {{host: shop/servicea.shop.svc.cluster.local, port: 8080}}}}}}]}}}}]\n---\n"
      "apiVersion: gateway.weir.dev/v2\nkind: Tier1Gateway\nmetadata: {{name: rules-front, {0}}}\nspec:\n"
      "  workloadSelector: {{namespace: t1, labels: {{app: gateway-t1}}}}\n"
      "  externalServers: [{{name: r, hostname: rules.example.com, port: 80, clusters: [{{name: c1, weight: 90}}, "
      "{{name: c2, weight: 10}}]}}]\n",
      meta);
}

// A rule whose service exists in c2 only is served by c2 alone, and takes nothing of the host's other rules with it.
TEST_F(Situations, ARuleThatOneClusterCannotServeLeavesItsShareOfTheOthers) {
  const std::string discovery = fleet().AgentState("c2") + "/discovery.yaml";
  const auto before = ReadFile(discovery);
  ASSERT_TRUE(before.ok());
  ASSERT_TRUE(WriteFileAtomic(discovery, *before +
                                             "- name: beta\n  namespace: shop\n  host: beta.shop.svc.cluster.local\n"
                                             "  ports: [8080]\n  selector: {app: servicea}\n")
                  .ok());
  Mark("a host with a rule that c1 cannot serve");
  // Until the server has heard of the service, it says that it is missing.
  const Status applied = test::WaitUntil("READY", Milliseconds(30'000), nullptr, [&] {
    const auto done = fleet().Weir({"apply", "--wait", "-f", "-"}, RulesYaml());
    return done.ok() && done->exit_code == 0;
  });
  ASSERT_TRUE(applied.ok()) << applied.error().message;
  const auto drive = [&](const char* path) {
    test::LoadOptions load = scene_->Load(200);
    load.host = "rules.example.com";
    load.path = path;
    return test::RunLoad(load);
  };
  const Status known = test::WaitUntil("both clusters at the host", Milliseconds(20'000), nullptr, [&] {
    return drive("/").by_backend["c1"] > 0 && drive("/beta").by_backend["c1"] == 0;
  });
  EXPECT_TRUE(known.ok()) << known.error().message;
  for (int round = 0; round < 3; ++round) {
    test::LoadReport beta = drive("/beta/x"), rest = drive("/x");
    EXPECT_EQ(beta.failed + rest.failed, 0u) << beta.first_error << rest.first_error;
    EXPECT_EQ(beta.by_backend["c2"], 200u);
    EXPECT_NEAR(rest.Share("c1"), 0.9, 0.03) << "it keeps its share of what it can serve";
  }
  ExpectNothingLost();
  ASSERT_TRUE(WriteFileAtomic(discovery, *before).ok());
}

}  // namespace
}  // namespace weir::e2e
