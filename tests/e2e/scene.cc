#include "tests/e2e/scene.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "libs/document/document.h"
#include "tests/support/http_client.h"

namespace weir::e2e {
namespace {

std::string BinDir() {
  const char* other = std::getenv("WEIR_BIN_DIR");
  return other == nullptr ? WEIR_BIN_DIR : other;
}

test::FleetOptions Options(const SceneOptions& scene) {
  test::FleetOptions fleet;
  fleet.bin_dir = BinDir();
  fleet.envoy = EnvoyBinary();
  fleet.folder = (std::filesystem::temp_directory_path() / ("weir-e2e-" + RandomHex(8))).string();
  fleet.organization = kOrganization;
  fleet.server_address = fmt::format("127.{}.0.1", scene.net);
  fleet.workers = scene.workers;
  fleet.server_flags = scene.server_flags;
  fleet.agent_flags = scene.agent_flags;
  const auto add = [&](test::ClusterSpec& cluster, std::string name, std::string ns, std::string account,
                       std::string address, std::string program) {
    const auto other = scene.programs.find(cluster.name + "/" + name);
    test::WorkloadSpec workload;
    workload.name = std::move(name);
    workload.namespace_ = std::move(ns);
    workload.service_account = account;
    workload.labels = {{"app", std::move(account)}};
    workload.address = std::move(address);
    workload.program = other == scene.programs.end() ? std::move(program) : other->second;
    cluster.workloads.push_back(std::move(workload));
  };
  test::ClusterSpec edge;
  edge.name = "edge";
  edge.agent_address = fmt::format("127.{}.1.2", scene.net);
  for (unsigned i = 1; i <= scene.tier1s; ++i) {
    add(edge, fmt::format("t1-{}", i), "t1", "gateway-t1", fmt::format("127.{}.1.{}", scene.net, 9 + i), "weir-tier1");
    edge.workloads.back().ports[80] = kPort;
    edge.workloads.back().mesh = false;
  }
  fleet.clusters.push_back(std::move(edge));
  for (unsigned i = 1; i <= scene.clusters; ++i) {
    test::ClusterSpec cluster;
    const std::string net = fmt::format("127.{}.{}.", scene.net, i + 1);
    cluster.name = fmt::format("c{}", i);
    cluster.agent_address = net + "2";
    add(cluster, "t2", "shop", "gateway-t2", net + "10", "weir-tier2");
    cluster.workloads.back().ports[80] = kPort;
    for (unsigned pod = 1; pod <= scene.pods; ++pod) {
      add(cluster, fmt::format("pod-{}", pod), "shop", "servicea", net + std::to_string(20 + pod), "weir-podproxy");
      cluster.workloads.back().app_port = 8080;
    }
    cluster.services.push_back({"servicea", "shop", "servicea.shop.svc.cluster.local", {8080}, {{"app", "servicea"}}});
    fleet.clusters.push_back(std::move(cluster));
  }
  return fleet;
}

constexpr char kMeta[] = "organization: e2e-org, tenant: t, workspace: w, group: g";

std::string BaseYaml(unsigned clusters) {
  std::string out =
      "apiVersion: api.weir.dev/v2\nkind: Cluster\nmetadata: {name: edge, organization: e2e-org}\n"
      "spec: {tier1Cluster: true}\n---\n"
      "apiVersion: api.weir.dev/v2\nkind: Tenant\nmetadata: {name: t, organization: e2e-org}\n---\n"
      "apiVersion: gateway.weir.dev/v2\nkind: GatewayGroup\n"
      "metadata: {name: g, organization: e2e-org, tenant: t, workspace: w}\n---\n";
  std::string names = "edge/t1";
  for (unsigned i = 1; i <= clusters; ++i) {
    out += fmt::format(
        "apiVersion: api.weir.dev/v2\nkind: Cluster\nmetadata: {{name: c{}, organization: e2e-org}}\n---\n", i);
    names += fmt::format(", c{}/shop", i);
  }
  out += fmt::format(
      "apiVersion: api.weir.dev/v2\nkind: Workspace\nmetadata: {{name: w, organization: e2e-org, tenant: t}}\n"
      "spec: {{namespaceSelector: {{names: [{}]}}}}\n---\n",
      names);
  out += fmt::format(
      "apiVersion: gateway.weir.dev/v2\nkind: Gateway\nmetadata: {{name: entry, {}}}\nspec:\n"
      "  workloadSelector: {{namespace: shop, labels: {{app: gateway-t2}}}}\n"
      "  http:\n  - name: servicea\n    hostname: {}\n    port: 80\n"
      "    routing: {{rules: [{{route: {{serviceDestination: "
      "{{host: shop/servicea.shop.svc.cluster.local, port: 8080}}}}}}]}}\n",
      kMeta, kHost);
  return out;
}

}  // namespace

std::string EnvoyBinary() {
  const char* other = std::getenv("WEIR_ENVOY");
  return other == nullptr ? WEIR_SOURCE_DIR "/build/third_party/envoy/envoy/_bin/envoy" : other;
}

Scene::Scene(SceneOptions options) : options_(std::move(options)), fleet_(Options(options_)) {}

Scene::~Scene() {
  fleet_.StopAll();
  std::error_code error;
  if (!testing::Test::HasFailure() && std::getenv("WEIR_KEEP") == nullptr) {
    std::filesystem::remove_all(fleet_.options().folder, error);
  } else {
    fmt::print("state and logs are kept in {}\n", fleet_.options().folder);
  }
}

std::string Scene::File(const std::string& name, const std::string& text) const {
  const std::string path = fleet_.options().folder + "/" + name;
  const Status written = WriteFileAtomic(path, text);
  return written.ok() ? path : "";
}

std::string Scene::Tier1Yaml(const std::vector<unsigned>& weights) const {
  std::string out = fmt::format(
      "apiVersion: gateway.weir.dev/v2\nkind: Tier1Gateway\nmetadata: {{name: front, {}}}\nspec:\n"
      "  workloadSelector: {{namespace: t1, labels: {{app: gateway-t1}}}}\n"
      "  externalServers:\n  - name: servicea\n    hostname: {}\n    port: 80\n    clusters:\n",
      kMeta, kHost);
  for (size_t i = 0; i < weights.size(); ++i)
    out += fmt::format("    - {{name: c{}, weight: {}}}\n", i + 1, weights[i]);
  return out;
}

Status Scene::SetWeights(const std::vector<unsigned>& weights) {
  WEIR_ASSIGN(const std::string unused, fleet_.WeirOk({"apply", "--wait", "-f", "-"}, Tier1Yaml(weights)));
  return {};
}

Status Scene::BringUp() {
  Status up = Start();
  const Status alive = fleet_.CheckRunning();
  return alive.ok() ? up : alive;  // Who died explains more than who waited for it.
}

Status Scene::Start() {
  WEIR_TRY(fleet_.CheckPorts());
  WEIR_TRY(fleet_.StartServer());
  WEIR_TRY(fleet_.Login());
  WEIR_TRY(ApplyBase());
  WEIR_TRY(fleet_.StartAgents());
  WEIR_TRY(fleet_.StartWorkloads());
  WEIR_TRY(SetWeights(std::vector<unsigned>(options_.clusters, 50)));
  WEIR_TRY(fleet_.WaitForMesh());
  WEIR_TRY(WaitState("READY"));
  // READY speaks of configuration; a T1 also wants to hear from each cluster that its pods answer.
  std::map<std::string, double> equal;
  for (unsigned i = 1; i <= options_.clusters; ++i) equal[fmt::format("c{}", i)] = 1;
  return test::WaitUntil("the first exact split", test::Milliseconds(30'000), nullptr, [&] {
    const test::LoadReport load = Drive(100 * options_.clusters);
    return load.failed == 0 && ShareError(load, equal, options_.tier1s * options_.workers).empty();
  });
}

Status Scene::ApplyBase() {
  WEIR_ASSIGN(const std::string unused, fleet_.WeirOk({"apply", "-f", "-"}, BaseYaml(options_.clusters)));
  return {};
}

Status Scene::WaitState(const std::string& state, test::Milliseconds deadline) const {
  std::string last;
  const Status reached = test::WaitUntil("state " + state, deadline, nullptr, [&] {
    const auto status = fleet_.WeirOk({"status", std::string("organizations/") + kOrganization, "-o", "json"});
    last = status.ok() ? *status : status.error().message;
    const auto root = document::ParseOne(last, {}, document::Syntax::kJson);
    const auto* worst = root.ok() ? root->Find("worst") : nullptr;
    return worst != nullptr && worst->text == state;
  });
  if (reached.ok()) return {};
  const auto table = fleet_.Weir({"status"});
  return DeadlineExceeded("NOT_" + state, "the worst state is not {}; `weir status` said:\n{}\n{}", state, last,
                          table.ok() ? table->out : "");
}

test::LoadOptions Scene::Load(uint64_t requests) const {
  test::LoadOptions load;
  for (unsigned i = 1; i <= options_.tier1s; ++i) load.targets.push_back({Tier1(i), kPort});
  load.host = kHost;
  load.connections = 4 * options_.tier1s;
  load.requests = requests;
  return load;
}

std::map<std::string, std::string> Scene::Served(unsigned tier1, const std::string& type) const {
  std::map<std::string, std::string> out;
  const auto answer =
      test::HttpClient(Tier1(tier1), kAdminPort, test::Milliseconds(2'000)).Get("127.0.0.1", "/config_dump");
  if (!answer.ok() || answer->status != 200) return out;
  const auto root = document::ParseOne(answer->body, {}, document::Syntax::kJson);
  const auto* resources = root.ok() ? root->Find("resources") : nullptr;
  if (resources == nullptr) return out;
  for (const auto& url : resources->members) {
    if (!url.key.ends_with("." + type)) continue;
    for (const auto& version : url.value.members) out[version.key] = version.value.text;
  }
  return out;
}

std::string ShareError(const test::LoadReport& load, const std::map<std::string, double>& weights, unsigned workers) {
  double sum = 0;
  for (const auto& [cluster, weight] : weights) sum += weight;
  for (const auto& [backend, count] : load.by_backend) {
    if (!weights.contains(backend)) return fmt::format("{} answers came from '{}'", count, backend);
  }
  for (const auto& [cluster, weight] : weights) {
    const auto found = load.by_backend.find(cluster);
    const double count = found == load.by_backend.end() ? 0 : static_cast<double>(found->second);
    const double wanted = weight / sum * static_cast<double>(load.requests - load.failed);
    if (std::abs(count - wanted) > workers + 1e-6)
      return fmt::format("{} answered {} of {}, its share is {:.1f}", cluster, count, load.requests, wanted);
  }
  return "";
}

}  // namespace weir::e2e
