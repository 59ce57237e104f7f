#include "tests/e2e/doors.h"

#include <cstdlib>

#include "libs/base/file.h"
#include "tests/support/http_client.h"

namespace weir::e2e {
namespace {

std::string Ask(const std::string& address, uint16_t port, const std::string& path) {
  const auto answer = test::HttpClient(address, port, test::Milliseconds(2'000)).Get("127.0.0.1", path);
  return answer.ok() && answer->status == 200 ? answer->body : "";
}

std::optional<double> Sample(const std::string& text, const std::string& metric) {
  for (size_t at = text.find(metric); at != std::string::npos; at = text.find(metric, at + 1)) {
    const size_t end = at + metric.size();
    if ((at != 0 && text[at - 1] != '\n') || end >= text.size() || (text[end] != ' ' && text[end] != '{')) continue;
    const size_t space = text.find(' ', end);
    return std::strtod(text.c_str() + space, nullptr);
  }
  return std::nullopt;
}

}  // namespace

std::string AgentSays(const Scene& scene, const std::string& cluster, const std::string& path) {
  return Ask("unix:" + scene.fleet().AgentState(cluster) + "/admin.sock", 0, path);
}
std::string GatewaySays(const std::string& address, const std::string& path) { return Ask(address, kAdminPort, path); }
std::optional<double> AgentMetric(const Scene& scene, const std::string& cluster, const std::string& metric) {
  return Sample(AgentSays(scene, cluster, "/metrics"), metric);
}
std::optional<double> GatewayMetric(const std::string& address, const std::string& metric) {
  return Sample(GatewaySays(address, "/metrics"), metric);
}

bool ServerSeesAgent(const Scene& scene, const std::string& cluster) {
  const auto table = scene.fleet().WeirOk({"get", "clusters"});
  if (!table.ok()) return false;
  size_t from = table->find("\n" + cluster + " ");
  if (from == std::string::npos) return false;
  const std::string line = table->substr(from + 1, table->find('\n', from + 1) - from - 1);
  return line.find("connected") != std::string::npos && line.find("not connected") == std::string::npos;
}

std::string GatewayState(const Scene& scene, const std::string& cluster, const std::string& workload) {
  return scene.fleet().AgentState(cluster) + "/workloads/" + workload + "/state";
}

Result<ExtraPod> AddPod(const Scene& scene, unsigned cluster, const std::string& name, const std::string& address) {
  const std::string cluster_name = fmt::format("c{}", cluster);
  const std::string state = scene.fleet().AgentState(cluster_name);
  const std::string& bin = scene.fleet().options().bin_dir;
  WEIR_ASSIGN(std::string text, ReadFile(state + "/discovery.yaml"));
  const size_t services = text.find("services:");
  if (services == std::string::npos) return Internal("DISCOVERY", "there is no list of services in:\n{}", text);
  text.insert(services, fmt::format("- name: {}\n  namespace: shop\n  serviceAccount: servicea\n"
                                    "  labels: {{app: servicea}}\n  addresses: [\"{}\"]\n",
                                    name, address));
  ExtraPod pod;
  const auto start = [&](const std::string& kind, std::vector<std::string> argv) {
    return test::Process::Start({kind + " " + name,
                                 std::move(argv),
                                 {},
                                 fmt::format("{}/logs/{}-{}.log", scene.fleet().options().folder, kind, name),
                                 scene.fleet().options().folder});
  };
  WEIR_ASSIGN(pod.app, start("app", {bin + "/weir-demo-app", "--listen", address + ":8080", "--cluster", cluster_name,
                                     "--pod", name}));
  WEIR_TRY(test::WaitForPort(pod.app.get(), address, 8080, test::Milliseconds(20'000)));
  WEIR_TRY(WriteFileAtomic(state + "/discovery.yaml", text));
  const std::string config = fmt::format("{}/workloads/shop/{}/gateway.json", state, name);
  WEIR_TRY(test::WaitForFile(nullptr, config, test::Milliseconds(20'000)));
  WEIR_ASSIGN(pod.proxy, start("proxy", {bin + "/weir-podproxy", "--config", config, "--workers", "1"}));
  WEIR_TRY(test::WaitForPort(pod.proxy.get(), address, 15443, test::Milliseconds(30'000)));
  return pod;
}

}  // namespace weir::e2e
