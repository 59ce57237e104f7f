#include <gtest/gtest.h>

#include <map>
#include <random>

#include "api/weir/v2/traffic.pb.h"
#include "libs/document/document.h"
#include "tests/e2e/scene.h"
#include "tests/support/http_client.h"
#include "tests/support/real_time.h"

// What `weir explain route` says against what a fleet of real gateways does: rules by chance at both tiers, weights, a
// drained cluster, a service that is not there.
namespace weir::e2e {
namespace {

constexpr char kTold[] = "told.example.com";
constexpr char kMeta[] = "organization: e2e-org, tenant: t, workspace: w, group: g";
constexpr unsigned kRequests = 200;  // Per question about shares.

SceneOptions Options() {
  SceneOptions options;
  options.net = 71;
  options.tier1s = 1;
  options.clusters = 2;
  options.workers = 1;
  return options;
}

std::string Direct(const std::string& match, const std::string& body) {
  return fmt::format("{{{}directResponse: {{status: 200, body: {}}}}}", match, body);
}

// Rules of both tiers for one host: prefixes and exact paths that overlap, first come first served.
std::string Documents(std::mt19937& random) {
  static const char* const kPaths[] = {"/a", "/a/b", "/ab", "/c", "/c/d"};
  const auto match = [&]() -> std::string {
    return fmt::format("match: [{{uri: {{{}: {}}}}}], ", random() % 2 == 0 ? "exact" : "prefix", kPaths[random() % 5]);
  };
  std::string first, second;
  for (int i = 0; i < 3; ++i) {
    first += Direct(match(), fmt::format("t1-{}", i)) + ", ";
    second += Direct(match(), fmt::format("t2-{}", i)) + ", ";
  }
  first += "{match: [{uri: {exact: /moved}}], redirect: {uri: /c}}, ";
  first += fmt::format(
      "{{{}route: {{clusterDestination: {{clusters: [{{name: c1, weight: 3}}, {{name: c2, weight: 1}}]}}}}}}",
      random() % 2 == 0 ? "" : "match: [{uri: {prefix: /}}], ");
  second += "{route: {serviceDestination: {host: shop/servicea.shop.svc.cluster.local, port: 8080}}}";
  return fmt::format(
      "apiVersion: gateway.weir.dev/v2\nkind: Gateway\nmetadata: {{name: told-t2, {0}}}\nspec:\n"
      "  workloadSelector: {{namespace: shop, labels: {{app: gateway-t2}}}}\n"
      "  http: [{{name: p, hostname: told.example.com, port: 80, routing: {{rules: [{1}]}}}}]\n---\n"
      "apiVersion: gateway.weir.dev/v2\nkind: Gateway\nmetadata: {{name: told-t1, {0}}}\nspec:\n"
      "  workloadSelector: {{namespace: t1, labels: {{app: gateway-t1}}}}\n"
      "  http: [{{name: e, hostname: told.example.com, port: 80, routing: {{rules: [{2}]}}}}]\n",
      kMeta, second, first);
}

class Told : public testing::Test {
 protected:
  void SetUp() override {
    const Status up = scene_.BringUp();
    ASSERT_TRUE(up.ok()) << up.error().ToString();
  }
  // What the edge's gateway would do with a GET; nothing asked of anybody else.
  v2::ExplainedRoute Explain(const std::string& path) const {
    const auto said = scene_.fleet().WeirOk({"explain", "route", kTold + path, "--from", "edge", "-o", "json"});
    EXPECT_TRUE(said.ok()) << path << ": " << (said.ok() ? "" : said.error().message);
    v2::ExplainRouteResponse response;
    const auto node = document::ParseOne(said.ok() ? *said : "{}", {}, document::Syntax::kJson);
    std::vector<FieldViolation> unread;
    if (node.ok()) document::ToMessage(*node, response, unread);
    EXPECT_EQ(response.items_size(), 1) << path;
    return response.items().empty() ? v2::ExplainedRoute() : response.items(0);
  }
  // The status, reason, location and body that were told, as far as a gateway answers and not an application.
  static std::string Answer(const v2::ExplainedRoute& item) {
    if (item.outcome() != v2::ExplainedRoute::CLUSTERS || item.status() != 0) {
      return fmt::format("{} {} {} {}", item.status(), item.reason(), item.location(), item.body());
    }
    const auto& hop = item.shares(0).hops(0);
    if (hop.has_service()) return "200 application";
    return fmt::format("200   t2-{}", hop.rule().number());
  }
  std::string Ask(const std::string& path) {
    const auto answer = client_.Get(kTold, path);
    if (!answer.ok()) return answer.error().message;
    const auto header = [&](const char* name) {
      const auto found = answer->headers.find(name);
      return found == answer->headers.end() ? "" : found->second;
    };
    if (!header("x-served-by").empty()) return fmt::format("{} application", answer->status);
    const std::string reason = header("x-weir-reason");
    return fmt::format("{} {} {} {}", answer->status, reason, header("location"),
                       answer->body == reason + "\n" ? "" : answer->body);
  }
  // The shares that are told are those that requests have.
  void CompareShares(const std::string& path) {
    const v2::ExplainedRoute told = Explain(path);
    std::map<std::string, double> weights;
    for (const auto& share : told.shares()) {
      if (share.share() > 0) weights[share.cluster()] = share.share();
    }
    ASSERT_FALSE(weights.empty()) << told.DebugString();
    test::LoadOptions load = scene_.Load(kRequests);
    load.host = kTold;
    load.path = path;
    const test::LoadReport report = test::RunLoad(load);
    EXPECT_EQ(report.failed, 0u) << report.first_error;
    EXPECT_EQ(ShareError(report, weights, scene_.options().workers), "") << told.DebugString();
  }

  Scene scene_{Options()};
  test::HttpClient client_{scene_.Tier1(1), kPort};
};

TEST_F(Told, IsWhatAFleetDoes) {
  std::mt19937 random(7);
  std::map<int, int> outcomes;
  for (int round = 0; round < 3; ++round) {
    const auto applied = scene_.fleet().WeirOk({"apply", "--wait", "-f", "-"}, Documents(random));
    ASSERT_TRUE(applied.ok()) << applied.error().message;
    for (const char* path : {"/", "/a", "/a/b", "/a/b/c", "/ab", "/abc", "/c", "/c/d/e", "/moved", "/moved?x=1",
                             "/a/../c", "/x//y", "/%61", "/a%2fb", "/.weir/health"}) {
      const v2::ExplainedRoute told = Explain(path);
      EXPECT_EQ(Answer(told), Ask(path)) << path << "\n" << told.DebugString();
      EXPECT_EQ(told.doubt(), "") << path;
      ++outcomes[told.outcome()];
    }
  }
  EXPECT_GT(outcomes[v2::ExplainedRoute::CLUSTERS], 3);
  EXPECT_GT(outcomes[v2::ExplainedRoute::DIRECT_RESPONSE], 3);
  EXPECT_GT(outcomes[v2::ExplainedRoute::REDIRECT], 3);
  EXPECT_GT(outcomes[v2::ExplainedRoute::REFUSED], 3);

  CompareShares("/to-the-application");
  ASSERT_TRUE(scene_.fleet().WeirOk({"cluster", "drain", "c1", "--wait"}).ok());
  EXPECT_EQ(Explain("/to-the-application").shares(0).reason(), "ALL_DRAINED");
  CompareShares("/to-the-application");
  ASSERT_TRUE(scene_.fleet().WeirOk({"cluster", "activate", "c1", "--wait"}).ok());
  // A gateway that dies is out here as soon as it is out there, and says from what that follows.
  scene_.fleet().Find("gateway/c2/shop/t2")->Kill();
  v2::ExplainedRoute told;
  EXPECT_TRUE(Eventually([&] {
    told = Explain("/to-the-application");
    return !told.shares(1).can_serve();
  })) << told.DebugString();
  EXPECT_EQ(told.shares(1).reason(), "GATEWAYS_DOWN") << told.DebugString();
  EXPECT_GT(told.shares(1).health().evidence_size(), 0);
  CompareShares("/to-the-application");
}

}  // namespace
}  // namespace weir::e2e
