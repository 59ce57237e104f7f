#include "tests/e2e/moods.h"

#include <chrono>
#include <iterator>
#include <set>
#include <string_view>

#include "tests/support/http_client.h"

namespace weir::e2e {

// One way in which a host is served or not, and what is said of it.
struct Mood {
  const char* name;
  const char* reason;  // Of the tier-1 object; "" = READY; "?" = as the churn has it.
  const char* service = "shop/servicea.shop.svc.cluster.local";
  int port = 8080;
  const char* receives = "{0}";           // The host that the T2s serve; {0} = this one.
  const char* clusters = "c1: 1, c2: 1";  // Of the tier-1 object.
  const char* account = "gateway-t1";     // Whom the tier-1 object selects.
};
namespace {

using Steady = std::chrono::steady_clock;

constexpr char kMeta[] = "organization: e2e-org, tenant: t, workspace: w, group: g";

constexpr Mood kMoods[] = {
    {.name = "served", .reason = ""},
    {.name = "no such service", .reason = "SERVICE_MISSING", .service = "shop/none.shop.svc.cluster.local"},
    {.name = "no such port", .reason = "PORT_MISSING", .port = 9999},
    {.name = "no receiver", .reason = "NO_RECEIVER", .receives = "other-{0}"},
    {.name = "of the cluster that comes and goes", .reason = "?", .clusters = "c2: 1"},
    {.name = "of the one that is drained for good", .reason = "ALL_DRAINED", .clusters = "c3: 1"},
    {.name = "no gateway", .reason = "NO_WORKLOAD", .account = "gateway-tl"},
};

std::string MoodYaml(const Mood& mood, const std::string& name) {
  const std::string host = name + ".example.com";
  const std::string receives = std::string_view(mood.receives).starts_with("other") ? "other-" + host : host;
  std::string clusters;
  for (const std::string_view one : {"c1: 1", "c2: 1", "c3: 1"}) {
    if (std::string_view(mood.clusters).find(one) == std::string_view::npos) continue;
    clusters += fmt::format("{}{{name: {}, weight: 1}}", clusters.empty() ? "" : ", ", one.substr(0, 2));
  }
  return fmt::format(
      "apiVersion: gateway.weir.dev/v2\nkind: Gateway\nmetadata: {{name: {1}-t2, {0}}}\nspec:\n"
      "  workloadSelector: {{namespace: shop, labels: {{app: gateway-t2}}}}\n"
      "  http: [{{name: m, hostname: {2}, port: 80, routing: {{rules: [{{route: {{serviceDestination: "
      "{{host: {3}, port: {4}}}}}}}]}}}}]\n---\n"
      "apiVersion: gateway.weir.dev/v2\nkind: Tier1Gateway\nmetadata: {{name: {1}, {0}}}\nspec:\n"
      "  workloadSelector: {{namespace: t1, labels: {{app: {6}}}}}\n"
      "  externalServers: [{{name: m, hostname: {7}, port: 80, clusters: [{5}]}}]\n",
      kMeta, name, receives, mood.service, mood.port, clusters, mood.account, host);
}

const std::set<std::string> kUnserved = {"SERVICE_MISSING", "PORT_MISSING", "NO_RECEIVER",
                                         "ALL_DRAINED",     "NO_WORKLOAD",  "NO_ENDPOINT"};

}  // namespace

const unsigned Moods::kKinds = std::size(kMoods);

void Moods::Next(unsigned number, const std::atomic<uint64_t>& turns, std::atomic<uint64_t>& looked) {
  const Mood& mood = kMoods[number % std::size(kMoods)];
  const auto applied = scene_.fleet().WeirOk({"apply", "-f", "-"}, MoodYaml(mood, name_));
  if (!applied.ok()) return Lie(mood, applied.error().message);
  const auto limit = Steady::now() + std::chrono::seconds(30);
  for (int looks = 1;; ++looks) {
    const uint64_t before = ready + unserved;
    const Said said = Look(mood, turns);
    ++looked;
    const bool holds = ready + unserved > before;
    if (holds && (said.state == "READY" ? *mood.reason == '\0' : said.reason == mood.reason)) return;
    if (*mood.reason == '?' && looks >= 3) return;
    if (Steady::now() > limit) return Lie(mood, "is " + said.state + " " + said.reason + ": " + said.message);
  }
}

void Moods::Lie(const Mood& mood, const std::string& what) {
  lies.push_back(fmt::format("{}, {}: {}", name_, mood.name, what));
}

// Holds only when nobody has begun to turn anything between the two questions.
Said Moods::Look(const Mood& mood, const std::atomic<uint64_t>& turns) {
  const std::string host = name_ + ".example.com";
  const uint64_t turn = turns;
  const Said before = StatusOf(scene_, Tier1Fqn(name_));
  std::string answers;
  bool all = true;
  for (unsigned tier1 = 1; tier1 <= scene_.options().tier1s; ++tier1) {
    const auto answer = test::HttpClient(scene_.Tier1(tier1), kPort).Get(host, "/");
    const bool served = answer.ok() && answer->status == 200;
    all &= served;
    answers += fmt::format(" t1-{} {}", tier1, answer.ok() ? std::to_string(answer->status) : answer.error().message);
  }
  const std::string explained =
      before.state == "READY" || before.reason == "NO_WORKLOAD" ? "" : Explained(scene_, host);
  const Said after = StatusOf(scene_, Tier1Fqn(name_));
  if (turn != turns || before.state != after.state || before.reason != after.reason) return after;
  if (before.state == "READY") {
    ++ready;
    if (!all) Lie(mood, "READY, but" + answers);
  } else if (kUnserved.contains(before.reason)) {
    ++unserved;
    // What nobody can serve is answered by nobody once it has arrived; until then it is what it was.
    if (before.reason == mood.reason && before.reason != "NO_WORKLOAD" && explained != before.reason)
      Lie(mood, fmt::format("status says {}, explain says '{}'", before.reason, explained));
  }
  return after;
}

}  // namespace weir::e2e
