#include "tests/e2e/posts.h"

#include <atomic>
#include <filesystem>
#include <sstream>

#include "libs/base/file.h"

namespace weir::e2e {
namespace {

constexpr size_t kKeptBody = 64 * 1024;  // Bytes of a body that a gateway keeps to send it elsewhere.

// What the apps say of an id.
struct Arrival {
  uint64_t heads = 0;
  uint64_t whole = 0;
  uint64_t length = 0;  // Of the last whole body.
};

std::map<std::string, Arrival> Arrivals(const test::Fleet& fleet) {
  std::map<std::string, Arrival> out;
  for (const auto& file : std::filesystem::directory_iterator(fleet.options().folder + "/logs")) {
    if (!file.path().filename().string().starts_with("app-")) continue;
    const auto log = ReadFile(file.path().string());
    if (!log.ok()) continue;
    std::istringstream lines(*log);
    std::string line, what, id;
    while (std::getline(lines, line)) {
      std::istringstream words(line);
      words >> what >> id;
      if (what == "request") ++out[id].heads;
      if (what != "body") continue;
      Arrival& arrival = out[id];
      ++arrival.whole;
      words >> arrival.length;
    }
  }
  return out;
}

// "" when the request and its arrivals go together.
std::string WrongWith(const PostKind& kind, const test::Sample& sample, const Arrival& arrived,
                      const Posts::Allowed& allowed) {
  const uint64_t most = !kind.key ? 1 : allowed.stock ? 3 : 2;
  const bool nobody = allowed.nobody;
  if (arrived.heads > most) return fmt::format("arrived {} times", arrived.heads);
  if (!sample.failed()) {
    if (arrived.whole == 0) return "was answered, but never arrived";
    return arrived.length == kind.body ? "" : fmt::format("arrived with {} bytes of {}", arrived.length, kind.body);
  }
  // 503 says that nobody got it. So may one end whose body is not kept while it is on its way.
  const bool unsent = sample.status == 503 && arrived.heads == 0 && !kind.key && kind.body > kKeptBody;
  const bool status = sample.status == 502 || unsent || (nobody && (sample.status == 503 || sample.status == 504));
  if (!status || sample.error.find(" (") == std::string::npos) return "failed with: " + sample.error;
  if (sample.status == 503 && arrived.heads > 0 && !kind.key && !allowed.stock)
    return "arrived, but was answered with: " + sample.error;
  return kind.key && !nobody ? "may be repeated, but failed with: " + sample.error : "";
}

}  // namespace

const std::vector<PostKind>& PostKinds() {
  static const std::vector<PostKind> kinds{
      {"small", 2'000, false, 20, 600, 16}, {"keyed", 8'000, true, 20, 600, 16}, {"large", 150'000, false, 4, 600, 4}};
  return kinds;
}

uint64_t Posts::Connections() {
  uint64_t out = 0;
  for (const PostKind& kind : PostKinds()) out += kind.key ? 0 : kind.connections;
  return out;
}

Status AddOrders(Scene& scene) {
  const std::string meta = "organization: e2e-org, tenant: t, workspace: w, group: g";
  const std::string yaml = fmt::format(
      "apiVersion: gateway.weir.dev/v2\nkind: Gateway\nmetadata: {{name: orders, {0}}}\nspec:\n"
      "  workloadSelector: {{namespace: shop, labels: {{app: gateway-t2}}}}\n"
      "  http: [{{name: o, hostname: {1}, port: 80, routing: {{rules: [{{route: {{serviceDestination: "
      "{{host: shop/servicea.shop.svc.cluster.local, port: 8080}}}}}}]}}}}]\n---\n"
      "apiVersion: gateway.weir.dev/v2\nkind: Tier1Gateway\nmetadata: {{name: orders-front, {0}}}\nspec:\n"
      "  workloadSelector: {{namespace: t1, labels: {{app: gateway-t1}}}}\n"
      "  externalServers: [{{name: o, hostname: {1}, port: 80, clusters: [{{name: c1, weight: 75}}, "
      "{{name: c2, weight: 25}}]}}]\n",
      meta, kOrders);
  WEIR_ASSIGN(const std::string unused, scene.fleet().WeirOk({"apply", "--wait", "-f", "-"}, yaml));
  return test::WaitUntil("orders at both clusters", test::Milliseconds(30'000), nullptr, [&] {
    test::LoadOptions load = scene.Load(100);
    load.host = kOrders;
    const test::LoadReport report = test::RunLoad(load);
    return report.failed == 0 && report.by_backend.size() == 2;
  });
}

std::string PostVerdict::ToString() const {
  return fmt::format("{} POSTs, {} without a key failed, {} with one arrived twice{}{}", sent, failed, repeated,
                     wrong.empty() ? "" : "; ", wrong);
}

Posts::Posts(const Scene& scene, std::vector<test::Target> tier1s) : scene_(scene) {
  static std::atomic<unsigned> lives{0};  // No two of a process share an id.
  const unsigned life = ++lives;
  for (const PostKind& kind : PostKinds()) {
    test::LoadOptions load;
    load.targets = tier1s;
    load.host = kOrders;
    load.method = "POST";
    load.path = fmt::format("/?delay={}", kind.delay);
    load.body = std::string(kind.body, 'x');
    load.ids = fmt::format("{}-{}", kind.name, life);
    if (kind.key) load.headers = fmt::format("Idempotency-Key: {}\r\n", load.ids);
    load.rate = kind.rate;
    load.connections = kind.connections;
    load.timeout = test::Milliseconds(40'000);  // Longer than anybody stays frozen: who thaws answers.
    traffic_.push_back(std::make_unique<test::Traffic>(std::move(load)));
  }
}

PostVerdict Posts::Judge(const Allowed& allowed) {
  for (auto& traffic : traffic_) traffic->Stop();
  const auto arrivals = Arrivals(scene_.fleet());
  PostVerdict verdict;
  for (size_t i = 0; i < traffic_.size(); ++i) {
    const PostKind& kind = PostKinds()[i];
    for (const test::Sample& sample : traffic_[i]->timeline().Samples()) {
      ++verdict.sent;
      if (sample.failed() && !kind.key) ++verdict.failed;
      const auto found = arrivals.find(sample.id);
      const Arrival arrived = found == arrivals.end() ? Arrival{} : found->second;
      if (arrived.heads > 1) ++verdict.repeated;
      const std::string wrong = WrongWith(kind, sample, arrived, allowed);
      if (!wrong.empty() && verdict.wrong.empty()) verdict.wrong = fmt::format("POST {} {}", sample.id, wrong);
    }
  }
  if (verdict.failed > allowed.failed && !allowed.nobody && verdict.wrong.empty())
    verdict.wrong = fmt::format("{} failed, {} were under way at most", verdict.failed, allowed.failed);
  return verdict;
}

}  // namespace weir::e2e
