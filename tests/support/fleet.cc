#include "tests/support/fleet.h"

#include <signal.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>

#include "libs/base/file.h"
#include "libs/dialect/dialect.h"
#include "tests/support/http_client.h"

namespace weir::test {
namespace {

constexpr uint16_t kAgentPort = 15012;
constexpr uint16_t kProbePort = 15021;
constexpr uint16_t kAdminPort = 15000;
constexpr Milliseconds kStart{30'000};  // A loaded machine with two cores starts slowly.

uint16_t Bound(const WorkloadSpec& workload, uint32_t port) {
  const auto found = workload.ports.find(port);
  return static_cast<uint16_t>(found == workload.ports.end() ? port : found->second);
}

std::string Quoted(const std::string& text) { return "\"" + text + "\""; }  // Our own names hold nothing to escape.

std::string LabelsYaml(const std::map<std::string, std::string>& labels) {
  std::string out = "{";
  for (const auto& [key, value] : labels) out += (out.size() > 1 ? ", " : "") + Quoted(key) + ": " + Quoted(value);
  return out + "}";
}

std::string DiscoveryYaml(const ClusterSpec& cluster) {
  std::string out = "workloads:\n";
  for (const WorkloadSpec& workload : cluster.workloads) {
    out += fmt::format("- name: {}\n  namespace: {}\n  serviceAccount: {}\n  labels: {}\n  addresses: [\"{}\"]\n",
                       workload.name, workload.namespace_, workload.service_account, LabelsYaml(workload.labels),
                       workload.address);
    if (workload.ports.empty()) continue;
    out += "  ports:\n";
    for (const auto& [declared, bound] : workload.ports) out += fmt::format("    {}: {}\n", declared, bound);
  }
  if (!cluster.services.empty()) out += "services:\n";
  for (const ServiceSpec& service : cluster.services) {
    out += fmt::format("- name: {}\n  namespace: {}\n  host: {}\n  ports: [{}]\n  selector: {}\n", service.name,
                       service.namespace_, Quoted(service.host), fmt::join(service.ports, ", "),
                       LabelsYaml(service.selector));
  }
  return out;
}

bool Lives(const std::string& address) {
  const auto answer = HttpClient(address, kProbePort, Milliseconds(500)).Get("probe", "/live");
  return answer.ok() && answer->status == 200;
}

// Stock Envoy has no probe port; its admin door is ready once the first configuration has been taken.
bool EnvoyLives(const std::string& address) {
  const auto answer = HttpClient(address, kAdminPort, Milliseconds(500)).Get("admin", "/server_info");
  return answer.ok() && answer->status == 200;
}

}  // namespace

Fleet::Fleet(FleetOptions options)
    : options_([&] {
        options.folder = std::filesystem::absolute(options.folder).lexically_normal().string();
        options.bin_dir = std::filesystem::absolute(options.bin_dir).lexically_normal().string();
        return std::move(options);
      }()) {}

Fleet::~Fleet() {
  while (!processes_.empty()) processes_.pop_back();
}

void Fleet::Say(const std::string& line) const {
  if (options_.say) options_.say(line);
}

Status Fleet::CheckPorts() const {
  constexpr size_t kShown = 4;
  std::vector<std::string> taken;
  const auto check = [&](const std::string& address, uint16_t port, const std::string& who) {
    if (port == 0) return;
    const Status status = CheckPortFree(address, port);
    if (!status.ok()) taken.push_back(fmt::format("\n  {} (for {})", status.error().message, who));
  };
  for (const uint16_t port : {options_.rest_port, options_.grpc_port, options_.agent_port})
    check(options_.server_address, port, "weir-server");
  for (const ClusterSpec& cluster : options_.clusters) {
    check(cluster.agent_address, kAgentPort, "the agent of " + cluster.name);
    for (const WorkloadSpec& workload : cluster.workloads) {
      const std::string who = cluster.name + "/" + workload.Key();
      for (const auto& [declared, bound] : workload.ports) check(workload.address, static_cast<uint16_t>(bound), who);
      check(workload.address, static_cast<uint16_t>(workload.app_port), who);
      if (workload.program.empty()) continue;
      for (const uint16_t port : {dialect::kMeshPort, kProbePort, kAdminPort})
        check(workload.address, Bound(workload, port), who);
    }
  }
  if (taken.empty()) return {};
  const std::vector<std::string> shown(taken.begin(),
                                       taken.begin() + static_cast<std::ptrdiff_t>(std::min(taken.size(), kShown)));
  return FailedPrecondition("PORT_IN_USE", "these addresses are needed and taken:{}{}", fmt::join(shown, ""),
                            taken.size() > kShown ? fmt::format("\n  and {} more", taken.size() - kShown) : "");
}

std::string Fleet::LogOf(const std::string& name) const {
  std::string file = name;
  for (char& c : file) c = c == '/' ? '-' : c;
  return options_.folder + "/logs/" + file + ".log";
}

Status Fleet::Launch(const std::string& name, std::vector<std::string> argv) {
  WEIR_TRY(MakeFolders(options_.folder + "/logs"));
  if (!argv[0].starts_with('/')) argv[0] = options_.bin_dir + "/" + argv[0];
  WEIR_ASSIGN(auto process, Process::Start({name, std::move(argv), {}, LogOf(name), options_.folder}));
  processes_.emplace_back(name, std::move(process));
  return {};
}

Process* Fleet::Find(const std::string& name) const {
  for (const auto& [known, process] : processes_) {
    if (known == name) return process.get();
  }
  return nullptr;
}

std::vector<std::string> Fleet::Names() const {
  std::vector<std::string> out;
  out.reserve(processes_.size());
  for (const auto& [name, process] : processes_) out.push_back(name);
  return out;
}

Status Fleet::Restart(const std::string& name, std::vector<std::string> env, bool full_disk) {
  for (auto& [known, process] : processes_) {
    if (known != name) continue;
    Command command = process->command();
    command.env = std::move(env);
    command.full_disk = full_disk;
    process.reset();
    WEIR_ASSIGN(process, Process::Start(std::move(command)));
    return {};
  }
  return NotFound("NO_PROCESS", "there is no {}", name);
}

Status Fleet::CheckRunning() {
  for (const auto& [name, process] : processes_) {
    const auto code = process->WaitExit(Milliseconds(0));
    if (!code) continue;
    return FailedPrecondition("PROCESS_ENDED", "{} ended with {}; the end of {}:\n{}", name, *code, LogOf(name),
                              process->LogTail());
  }
  return {};
}

void Fleet::StopAll(Milliseconds deadline) {
  // Edge first, so that nobody is sent to what is already gone; then all of a kind at the same time.
  for (const std::string_view kind : {"gateway/", "app/", "agent/", "server"}) {
    for (auto& [name, process] : processes_) {
      if (!name.starts_with(kind)) continue;
      process->Signal(SIGTERM);
      process->Thaw();
    }
    for (auto& [name, process] : processes_) {
      if (name.starts_with(kind)) (void)process->Terminate(deadline);
    }
  }
  processes_.clear();
}

Status Fleet::StartServer() {
  Say("server");
  WEIR_TRY(MakeFolders(options_.folder, 0700));
  std::vector<std::string> argv{"weir-server",
                                "--state-dir",
                                ServerState(),
                                "--address",
                                options_.server_address,
                                "--rest-port",
                                std::to_string(options_.rest_port),
                                "--grpc-port",
                                std::to_string(options_.grpc_port),
                                "--agent-port",
                                std::to_string(options_.agent_port),
                                "--organization",
                                options_.organization};
  argv.insert(argv.end(), options_.server_flags.begin(), options_.server_flags.end());
  WEIR_TRY(Launch("server", std::move(argv)));
  Process* server = Find("server");
  for (const uint16_t port : {options_.rest_port, options_.grpc_port, options_.agent_port}) {
    if (port != 0) WEIR_TRY(WaitForPort(server, options_.server_address, port, kStart));
  }
  WEIR_TRY(WaitForFile(server, ServerState() + "/server-anchor.pem", kStart));
  return WaitForFile(server, ServerState() + "/admin-password", kStart);
}

std::vector<std::string> Fleet::CliEnvironment() const {
  return {fmt::format("WEIR_SERVER={}:{}", options_.server_address, options_.grpc_port),
          "WEIR_CA_FILE=" + ServerState() + "/server-anchor.pem", "WEIR_ORG=" + options_.organization,
          "WEIR_HOME=" + options_.folder + "/cli"};
}

Result<Finished> Fleet::Weir(std::vector<std::string> arguments, std::string_view input, Milliseconds deadline) const {
  Command command;
  command.name = "weir " + fmt::format("{}", fmt::join(arguments, " "));
  command.argv = std::move(arguments);
  command.argv.insert(command.argv.begin(), options_.bin_dir + "/weir");
  command.env = CliEnvironment();
  return RunCommand(std::move(command), deadline, input);
}

Result<std::string> Fleet::WeirOk(std::vector<std::string> arguments, std::string_view input) const {
  const std::string line = fmt::format("weir {}", fmt::join(arguments, " "));
  WEIR_ASSIGN(Finished finished, Weir(std::move(arguments), input));
  if (finished.exit_code != 0) {
    return FailedPrecondition("WEIR_FAILED", "`{}` ended with {}:\n{}{}", line, finished.exit_code, finished.out,
                              finished.err);
  }
  return std::move(finished.out);
}

Status Fleet::Login() {
  WEIR_ASSIGN(const std::string password, ReadFile(ServerState() + "/admin-password"));
  WEIR_ASSIGN(const std::string unused, WeirOk({"login", "admin"}, password));
  return {};
}

const ClusterSpec* Fleet::FindCluster(const std::string& name) const {
  for (const ClusterSpec& cluster : options_.clusters) {
    if (cluster.name == name) return &cluster;
  }
  return nullptr;
}

Status Fleet::WriteDiscovery(const ClusterSpec& cluster) const {
  std::string text = DiscoveryYaml(cluster);
  if (!cluster.discovery_file.empty()) {
    WEIR_ASSIGN(text, ReadFile(cluster.discovery_file));
  }
  return WriteFileAtomic(AgentState(cluster.name) + "/discovery.yaml", text);
}

Status Fleet::StartAgent(const std::string& name) {
  const ClusterSpec* cluster = FindCluster(name);
  if (cluster == nullptr) return NotFound("NO_CLUSTER", "the fleet has no cluster {}", name);
  Say("agent of " + name);
  const std::string state = AgentState(name);
  WEIR_TRY(MakeFolders(state, 0700));
  WEIR_TRY(WriteDiscovery(*cluster));
  WEIR_ASSIGN(const std::string token, WeirOk({"cluster", "token", name}));
  WEIR_TRY(WriteFileAtomic(state + "/join-token", token, 0600));
  std::vector<std::string> argv{"weir-agent",
                                "--state-dir",
                                state,
                                "--server",
                                fmt::format("{}:{}", options_.server_address, options_.agent_port),
                                "--join-token-file",
                                state + "/join-token",
                                "--discovery-file",
                                state + "/discovery.yaml",
                                "--listen",
                                fmt::format("{}:{}", cluster->agent_address, kAgentPort),
                                "--workloads-dir",
                                state + "/workloads"};
  argv.insert(argv.end(), options_.agent_flags.begin(), options_.agent_flags.end());
  WEIR_TRY(Launch("agent/" + name, std::move(argv)));
  Process* agent = Find("agent/" + name);
  WEIR_TRY(WaitForPort(agent, cluster->agent_address, kAgentPort, kStart));
  for (const WorkloadSpec& workload : cluster->workloads) {
    WEIR_TRY(WaitForFile(agent, fmt::format("{}/workloads/{}/gateway.json", state, workload.Key()), kStart));
  }
  return {};
}

Status Fleet::Begin(const std::string& cluster, const WorkloadSpec& workload) {
  if (workload.app_port != 0) {
    WEIR_TRY(Launch("app/" + cluster + "/" + workload.Key(),
                    {"weir-demo-app", "--listen", fmt::format("{}:{}", workload.address, workload.app_port),
                     "--cluster", cluster, "--pod", workload.name}));
  }
  if (workload.program.empty()) return {};
  if (workload.program == "envoy") {
    return Launch(
        "gateway/" + cluster + "/" + workload.Key(),
        {options_.envoy, "-c", fmt::format("{}/workloads/{}/envoy.yaml", AgentState(cluster), workload.Key()),
         "--concurrency", std::to_string(options_.workers), "--disable-hot-restart", "--log-level", "warning"});
  }
  return Launch(
      "gateway/" + cluster + "/" + workload.Key(),
      {workload.program, "--config", fmt::format("{}/workloads/{}/gateway.json", AgentState(cluster), workload.Key()),
       "--workers", std::to_string(options_.workers)});
}

Status Fleet::WaitUntilLive(const std::string& cluster, const WorkloadSpec& workload) const {
  if (workload.app_port != 0) {
    WEIR_TRY(WaitForPort(Find("app/" + cluster + "/" + workload.Key()), workload.address,
                         static_cast<uint16_t>(workload.app_port), kStart));
  }
  if (workload.program.empty()) return {};
  const std::string name = "gateway/" + cluster + "/" + workload.Key();
  if (workload.program == "envoy") {
    return WaitUntil(fmt::format("http://{}:{} of {}", workload.address, kAdminPort, name), kStart, Find(name),
                     [&] { return EnvoyLives(workload.address); });
  }
  return WaitUntil(fmt::format("http://{}:{}/live of {}", workload.address, kProbePort, name), kStart, Find(name),
                   [&] { return Lives(workload.address); });
}

Status Fleet::StartWorkload(const std::string& name, const std::string& key) {
  const ClusterSpec* cluster = FindCluster(name);
  if (cluster == nullptr) return NotFound("NO_CLUSTER", "the fleet has no cluster {}", name);
  const auto workload = std::find_if(cluster->workloads.begin(), cluster->workloads.end(),
                                     [&](const WorkloadSpec& each) { return each.Key() == key; });
  if (workload == cluster->workloads.end())
    return NotFound("NO_WORKLOAD", "the fleet has no workload {}/{}", name, key);
  WEIR_TRY(Begin(name, *workload));
  return WaitUntilLive(name, *workload);
}

Status Fleet::StartAgents() {
  for (const ClusterSpec& cluster : options_.clusters) WEIR_TRY(StartAgent(cluster.name));
  return {};
}

Status Fleet::StartWorkloads() {
  for (const ClusterSpec& cluster : options_.clusters) {
    Say("gateways and pods of " + cluster.name);
    for (const WorkloadSpec& workload : cluster.workloads) WEIR_TRY(Begin(cluster.name, workload));
  }
  for (const ClusterSpec& cluster : options_.clusters) {
    for (const WorkloadSpec& workload : cluster.workloads) WEIR_TRY(WaitUntilLive(cluster.name, workload));
  }
  return {};
}

Status Fleet::WaitForMesh() {
  for (const ClusterSpec& cluster : options_.clusters) {
    for (const WorkloadSpec& workload : cluster.workloads) {
      Process* gateway = Find("gateway/" + cluster.name + "/" + workload.Key());
      if (gateway == nullptr || !workload.mesh || workload.program == "weir-tier1") continue;
      WEIR_TRY(WaitForPort(gateway, workload.address, Bound(workload, dialect::kMeshPort), kStart));
    }
  }
  return {};
}

}  // namespace weir::test
