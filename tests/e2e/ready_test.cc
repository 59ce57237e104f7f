#include <gtest/gtest.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <thread>

#include "tests/e2e/scene.h"
#include "tests/support/http_client.h"

// READY at revision r: a request through every gateway concerned answers by r. Sampled while other things change all
// the time; $WEIR_READY_SAMPLES makes it longer.
namespace weir::e2e {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::seconds;

constexpr char kMeta[] = "organization: e2e-org, tenant: t, workspace: w, group: g";
constexpr char kProbe[] = "probe.example.com";
constexpr char kEdge[] = "edge.example.com";
constexpr uint16_t kProbePort = 18081;  // Of the T2s: nobody needs it, but it makes a listener with callers of its own.

// What answers with the number of the revision: a T1 by itself, and both T2s behind every T1.
std::string Probe(int number) {
  const std::string rule =
      fmt::format("{{match: [{{uri: {{exact: /revision}}}}], directResponse: {{status: 200, body: \"{}\"}}}}", number);
  const std::string clusters = "[{name: c1, weight: 50}, {name: c2, weight: 50}]";
  return fmt::format(
      "apiVersion: gateway.weir.dev/v2\nkind: Gateway\nmetadata: {{name: probe-t2, {0}}}\nspec:\n"
      "  workloadSelector: {{namespace: shop, labels: {{app: gateway-t2}}}}\n"
      "  http: [{{name: p, hostname: {1}, port: {2}, routing: {{rules: [{3}, {{route: {{serviceDestination: "
      "{{host: shop/servicea.shop.svc.cluster.local, port: 8080}}}}}}]}}}}, {{name: q, hostname: {5}, port: {2}, "
      "routing: "
      "{{rules: [{{route: {{serviceDestination: {{host: shop/servicea.shop.svc.cluster.local, port: "
      "8080}}}}}}]}}}}]\n---\n"
      "apiVersion: gateway.weir.dev/v2\nkind: Tier1Gateway\nmetadata: {{name: probe-t1, {0}}}\nspec:\n"
      "  workloadSelector: {{namespace: t1, labels: {{app: gateway-t1}}}}\n"
      "  externalServers: [{{name: p, hostname: {1}, port: 80, clusters: {4}}}]\n---\n"
      "apiVersion: gateway.weir.dev/v2\nkind: Gateway\nmetadata: {{name: probe-edge, {0}}}\nspec:\n"
      "  workloadSelector: {{namespace: t1, labels: {{app: gateway-t1}}}}\n"
      "  http: [{{name: e, hostname: {5}, port: 80, routing: {{rules: [{3}, {{route: {{clusterDestination: "
      "{{clusters: {4}}}}}}}]}}}}]\n",
      kMeta, kProbe, kProbePort, rule, clusters, kEdge);
}

std::vector<std::string> Delete(const std::string& kind, const std::string& name) {
  return {"delete", kind, name, "--tenant", "t", "--workspace", "w", "--group", "g"};
}

// Weights move, a cluster is drained and activated, a host comes and goes: on the same gateways and listeners.
void Churn(const Scene& scene, const std::atomic<bool>& stop) {
  const std::string noise = fmt::format(
      "apiVersion: gateway.weir.dev/v2\nkind: Gateway\nmetadata: {{name: noise, {}}}\nspec:\n"
      "  workloadSelector: {{namespace: shop, labels: {{app: gateway-t2}}}}\n"
      "  http: [{{name: n, hostname: noise.example.com, port: {}, routing: {{rules: [{{redirect: {{uri: /}}}}]}}}}]\n",
      kMeta, kProbePort);
  uint64_t failed = 0;
  const auto say = [&](std::vector<std::string> arguments, std::string_view input = "") {
    const auto done = scene.fleet().Weir(std::move(arguments), input);
    failed += done.ok() ? 0 : 1;  // It only has to move; what it asks for may cross with something else.
  };
  for (unsigned round = 0; !stop; ++round) {
    say({"apply", "-f", "-"}, scene.Tier1Yaml({1 + round % 9, 5}));
    say({"cluster", round % 2 == 0 ? "drain" : "activate", "c2"});
    if (round % 2 == 0)
      say({"apply", "-f", "-"}, noise);
    else
      say(Delete("gateway", "noise"));
  }
  say({"cluster", "activate", "c2"});
  EXPECT_EQ(failed, 0u);
}

// "" when the answer is of this revision or a later one.
std::string LieOf(const Scene& scene, unsigned tier1, const char* host, int number) {
  const auto answer = test::HttpClient(scene.Tier1(tier1), kPort).Get(host, "/revision");
  const std::string who = fmt::format("READY at {}, but t1-{} for {}: ", number, tier1, host);
  if (!answer.ok()) return who + answer.error().message;
  int says = -1;
  std::from_chars(answer->body.data(), answer->body.data() + answer->body.size(), says);
  if (answer->status == 200 && says >= number) return "";
  const auto reason = answer->headers.find("x-weir-reason");
  return who + fmt::format("{} \"{}\" {}", answer->status, answer->body,
                           reason == answer->headers.end() ? "" : reason->second);
}

TEST(Ready, MeansThatEveryGatewayAnswersByThatRevision) {
  Scene scene({.net = 73});
  const Status up = scene.BringUp();
  ASSERT_TRUE(up.ok()) << up.error().message;
  const char* more = std::getenv("WEIR_READY_SAMPLES");
  const int wanted = more == nullptr ? 200 : std::atoi(more);
  const auto limit = Clock::now() + (more == nullptr ? seconds(12) : seconds(3600));

  std::atomic<bool> stop{false};
  std::thread churn([&] { Churn(scene, stop); });
  int samples = 0, questions = 0;
  std::vector<std::string> lies;
  for (int number = 1; samples < wanted && Clock::now() < limit && lies.size() < 10; ++number) {
    // Each third time the T2s first stop letting the T1s in, and must do so again: the bytes of before return.
    if (number % 3 == 0) {
      EXPECT_TRUE(scene.fleet().WeirOk(Delete("tier1gateway", "probe-t1")).ok());
    }
    const auto applied = scene.fleet().WeirOk({"apply", "--wait", "-f", "-"}, Probe(number));
    if (!applied.ok()) {
      lies.push_back(applied.error().message);
      continue;
    }
    ++samples;
    for (unsigned tier1 = 1; tier1 <= 2; ++tier1) {
      for (const char* host : {kEdge, kProbe, kProbe, kProbe, kProbe}) {
        ++questions;
        if (std::string lie = LieOf(scene, tier1, host, number); !lie.empty()) lies.push_back(std::move(lie));
      }
    }
  }
  stop = true;
  churn.join();
  for (const std::string& lie : lies) ADD_FAILURE() << lie;
  EXPECT_GE(samples, 5);
  fmt::print("{} times READY, {} questions, {} lies\n", samples, questions, lies.size());
}

}  // namespace
}  // namespace weir::e2e
