#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "libs/document/document.h"
#include "tests/e2e/scene.h"
#include "tests/support/http_client.h"

// Change sets in waves at a fleet of real processes: what breaks requests stops at the first wave and is back by itself
// before it is noticed elsewhere; what does not is stored; a server that is killed on the way goes on.
namespace weir::e2e {
namespace {

using Clock = std::chrono::steady_clock;
using document::Node;

// GETs through the tier 1, 200 a second, beside what a test does.
class Callers {
 public:
  explicit Callers(const Scene& scene) {
    test::LoadOptions load = scene.Load(0);
    load.rate = 200;
    load.stop = [this] { return stop_.load(); };
    thread_ = std::thread([this, load] { report_ = test::RunLoad(load); });
  }
  ~Callers() { Stop(); }
  const test::LoadReport& Stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    return report_;
  }

 private:
  std::atomic<bool> stop_{false};
  test::LoadReport report_;
  std::thread thread_;
};

class WavesTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    scene_ = new Scene({.net = 82, .tier1s = 1, .workers = 1});
    const Status up = scene_->BringUp();
    ASSERT_TRUE(up.ok()) << up.error().message;
  }
  static void TearDownTestSuite() {
    delete scene_;
    scene_ = nullptr;
  }
  // The tier 2 of every cluster answers `path` with this itself; all else goes to the pods.
  static std::string Entry(const std::string& path, int status, const std::string& body) {
    return fmt::format(
        "apiVersion: gateway.weir.dev/v2\nkind: Gateway\n"
        "metadata: {{name: entry, organization: e2e-org, tenant: t, workspace: w, group: g}}\nspec:\n"
        "  workloadSelector: {{namespace: shop, labels: {{app: gateway-t2}}}}\n"
        "  http:\n  - name: servicea\n    hostname: {}\n    port: 80\n    routing:\n      rules:\n"
        "      - {{match: [{{uri: {{exact: {}}}}}], directResponse: {{status: {}, body: {}}}}}\n"
        "      - {{route: {{serviceDestination: {{host: shop/servicea.shop.svc.cluster.local, port: 8080}}}}}}\n",
        kHost, path, status, body);
  }
  // Its name.
  static std::string Create(const std::string& documents) {
    const auto made = scene_->fleet().WeirOk({"changeset", "create", "-f", "-", "-m", "why", "--wave", "c1",
                                              "--min-requests", "50", "--bake", "5s", "-o", "json"},
                                             documents);
    EXPECT_TRUE(made.ok()) << made.error().message;
    return made.ok() ? Field(*made, "fqn") : "";
  }
  static std::string Field(const std::string& json, const std::string& name) {
    const auto root = document::ParseOne(json, {}, document::Syntax::kJson);
    const Node* node = root.ok() ? root->Find(name) : nullptr;
    return node == nullptr ? "" : node->text;
  }
  // "ROLLING_OUT BAKING PENDING": it and its waves.
  static std::string States(const std::string& set) {
    const auto got = scene_->fleet().WeirOk({"changeset", "get", set, "-o", "json"});
    if (!got.ok()) return got.error().message;
    std::string states = Field(*got, "state");
    const auto root = document::ParseOne(*got, {}, document::Syntax::kJson);
    const Node* rollout = root.ok() ? root->Find("rollout") : nullptr;
    const Node* waves = rollout == nullptr ? nullptr : rollout->Find("waves");
    for (size_t i = 0; waves != nullptr && i < waves->items.size(); ++i)
      states += " " + waves->items[i].Find("state")->text;
    return states;
  }
  static std::string Say(std::vector<std::string> arguments, const std::string& input = "") {
    const auto said = scene_->fleet().Weir(std::move(arguments), input);
    return said.ok() ? said->out : said.error().message;
  }
  static std::string Ask(const std::string& path) {
    const auto answer = test::HttpClient(scene_->Tier1(1), kPort).Get(kHost, path);
    return answer.ok() ? fmt::format("{} {}", answer->status, answer->body) : answer.error().message;
  }
  static Scene* scene_;
};
Scene* WavesTest::scene_ = nullptr;

TEST_F(WavesTest, WhatBreaksRequestsStopsAtTheFirstWaveAndIsBackByItself) {
  const std::string set = Create(Entry("/", 503, "broken"));
  Callers callers(*scene_);
  const auto begin = Clock::now();
  const auto committed = scene_->fleet().Weir({"changeset", "commit", set, "--wait"});
  ASSERT_TRUE(committed.ok()) << committed.error().message;
  EXPECT_EQ(committed->exit_code, 1) << committed->out << committed->err;
  EXPECT_NE(committed->out.find("SUCCESS_RATE"), std::string::npos) << committed->out;
  EXPECT_NE(committed->out.find("c1 servicea.example.com by edge"), std::string::npos) << committed->out;
  EXPECT_EQ(States(set), "REVERTED FAILED PENDING") << "nobody else was told";
  // All is as it was.
  const Status back = test::WaitUntil("no request to fail", test::Milliseconds(30'000), nullptr,
                                      [] { return scene_->Drive(200).failed == 0; });
  EXPECT_TRUE(back.ok()) << back.error().message;
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  EXPECT_LE(seconds, 30);
  const test::LoadReport& load = callers.Stop();
  EXPECT_GT(load.failed, 0u) << "else it broke nothing";
  fmt::print("stopped and reverted within {:.1f} s; {} of {} requests failed\n", seconds, load.failed, load.requests);
  const auto stored = scene_->fleet().WeirOk({"get", "gateway", "entry", "-A", "-o", "yaml"});
  ASSERT_TRUE(stored.ok()) << stored.error().message;
  EXPECT_EQ(stored->find("503"), std::string::npos) << *stored;
}

TEST_F(WavesTest, WhatIsGoodIsStoredThoughTheServerIsKilledOnTheWay) {
  const std::string set = Create(Entry("/hello", 200, "new"));
  Callers callers(*scene_);
  ASSERT_TRUE(scene_->fleet().WeirOk({"changeset", "commit", set}).ok());
  const auto is = [&](const std::string& states) {
    return test::WaitUntil(states, test::Milliseconds(20'000), nullptr, [&] { return States(set) == states; });
  };
  ASSERT_TRUE(is("ROLLING_OUT BAKING PENDING").ok()) << States(set);
  // What is stored is as before, and what a request would meet is said of each cluster.
  const auto explain = [](const std::string& from) {
    return Say({"explain", "route", std::string(kHost) + "/hello", "--from", from, "-o", "json"});
  };
  const std::string first = explain("c1"), second = explain("c2");
  const std::string entry = "organizations/e2e-org/tenants/t/workspaces/w/gatewaygroups/g/gateways/entry";
  const std::string status = Say({"status", entry, "-o", "json"}),
                    plan = Say({"plan", "-f", "-"}, Entry("/hello", 200, "new"));
  if (States(set) == "ROLLING_OUT BAKING PENDING") {  // Else it has moved on, on a slow machine.
    EXPECT_NE(first.find("DIRECT_RESPONSE"), std::string::npos) << first;
    EXPECT_EQ(second.find("DIRECT_RESPONSE"), std::string::npos) << second;
    EXPECT_EQ(Field(status, "reason"), "ROLLING_OUT") << status;
    EXPECT_NE(plan.find("c1"), std::string::npos) << "plans are made on what is stored: " << plan;
  }
  scene_->fleet().Find("server")->Kill();
  const Status again = scene_->fleet().Restart("server");
  ASSERT_TRUE(again.ok()) << again.error().message;
  const Status up = test::WaitUntil("the server", test::Milliseconds(30'000), nullptr,
                                    [&] { return States(set).find("PENDING") != std::string::npos; });
  ASSERT_TRUE(up.ok()) << up.error().message;
  const auto followed = scene_->fleet().Weir({"changeset", "get", set, "--watch"});
  ASSERT_TRUE(followed.ok()) << followed.error().message;
  EXPECT_EQ(followed->exit_code, 0) << followed->out << followed->err;
  EXPECT_EQ(States(set), "COMMITTED PASSED PASSED");
  const test::LoadReport& load = callers.Stop();
  EXPECT_EQ(load.failed, 0u) << load.first_error;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Ask("/hello"), "200 new");
}

}  // namespace
}  // namespace weir::e2e
