#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"
#include "tests/support/process.h"

namespace weir::test {

// One workload of a cluster and the programs that make it.
struct WorkloadSpec {
  std::string name;
  std::string namespace_;
  std::string service_account = "default";
  std::map<std::string, std::string> labels;
  std::string address;                 // Loopback, its own.
  std::map<uint32_t, uint32_t> ports;  // Declared -> bound.
  std::string program;                 // "weir-tier1", "weir-tier2", "weir-podproxy", "envoy"; "" = only declared.
  bool mesh = true;                    // Other tiers call it on 15443; a weir-tier1 never is.
  uint32_t app_port = 0;               // Starts weir-demo-app on address:app_port; 0 = none.

  std::string Key() const { return namespace_ + "/" + name; }
};
struct ServiceSpec {
  std::string name;
  std::string namespace_;
  std::string host;
  std::vector<uint32_t> ports;
  std::map<std::string, std::string> selector;
};
struct ClusterSpec {
  std::string name;
  std::string agent_address;   // Where the agent serves 15012; its own loopback address.
  std::string discovery_file;  // Copied; "" = written from the lists below.
  std::vector<WorkloadSpec> workloads;
  std::vector<ServiceSpec> services;
};
struct FleetOptions {
  std::string bin_dir;  // Where the programs are: "build/release/bin".
  std::string envoy;    // The binary of stock Envoy, for workloads whose program is "envoy".
  std::string folder;   // State, logs and files of everything; created.
  std::string organization = "demo-org";
  std::string server_address = "127.0.0.1";
  uint16_t rest_port = 8443;
  uint16_t grpc_port = 9443;
  uint16_t agent_port = 9444;
  unsigned workers = 2;  // Of each gateway.
  std::vector<std::string> server_flags;
  std::vector<std::string> agent_flags;  // Of every agent.
  std::vector<ClusterSpec> clusters;
  std::function<void(const std::string&)> say;  // Progress, one line; may be empty.
};

// A whole Weir of real processes on loopback: server, an agent per cluster, gateways, pod proxies and apps. Everything
// dies with this process. Methods wait until what they started answers, or say what did not with the end of its log.
class Fleet {
 public:
  explicit Fleet(FleetOptions options);
  ~Fleet();  // Kills what runs.

  // Every address that will be bound is free: FAILED_PRECONDITION PORT_IN_USE names all that are not.
  Status CheckPorts() const;
  Status StartServer();
  // The administrator's login of the `weir` command.
  Status Login();
  // `weir ARGUMENTS` against this server, as the administrator after Login.
  Result<Finished> Weir(std::vector<std::string> arguments, std::string_view input = "",
                        Milliseconds deadline = Milliseconds(90'000)) const;
  // The same; a non-zero exit is an Error with what it said.
  Result<std::string> WeirOk(std::vector<std::string> arguments, std::string_view input = "") const;

  // Asks for a join token and starts the agent; the cluster must be stored. Done when it wrote its workloads' files.
  Status StartAgent(const std::string& cluster);
  // App and gateway program of one workload, waiting until the gateway's live probe answers.
  Status StartWorkload(const std::string& cluster, const std::string& key);
  // Until every started T2 and pod proxy listens on its mesh port, which needs that its configuration has arrived.
  Status WaitForMesh();
  Status StartAgents();
  Status StartWorkloads();

  // Starts again what was stopped or killed, with the same state; `env` ("KEY=value") and `full_disk` are for this life
  // only.
  Status Restart(const std::string& name, std::vector<std::string> env = {}, bool full_disk = false);
  // Names: "server", "agent/<cluster>", "gateway/<cluster>/<ns>/<workload>", "app/<cluster>/<ns>/<workload>".
  Process* Find(const std::string& name) const;
  std::vector<std::string> Names() const;
  // Gateways first, server last; each gets a SIGTERM and `deadline`.
  void StopAll(Milliseconds deadline = Milliseconds(5'000));
  // The first process that has ended by itself, with the end of its log.
  Status CheckRunning();

  const FleetOptions& options() const { return options_; }
  std::string ServerState() const { return options_.folder + "/server"; }
  std::string AgentState(const std::string& cluster) const { return options_.folder + "/agents/" + cluster; }
  std::string LogOf(const std::string& name) const;
  // What a shell needs to use the same `weir`: lines of KEY=value.
  std::vector<std::string> CliEnvironment() const;

 private:
  const ClusterSpec* FindCluster(const std::string& name) const;
  Status Launch(const std::string& name, std::vector<std::string> argv);
  Status Begin(const std::string& cluster, const WorkloadSpec& workload);
  Status WaitUntilLive(const std::string& cluster, const WorkloadSpec& workload) const;
  Status WriteDiscovery(const ClusterSpec& cluster) const;
  void Say(const std::string& line) const;

  const FleetOptions options_;
  std::vector<std::pair<std::string, std::unique_ptr<Process>>> processes_;  // In the order of their start.
};

}  // namespace weir::test
