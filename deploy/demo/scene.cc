#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <set>

#include "deploy/demo/demo.h"
#include "libs/base/file.h"

namespace weir::demo {
namespace {

namespace fs = std::filesystem;

// Everything a demo leaves in its folder.
const std::set<std::string>& OurFiles() {
  static const std::set<std::string> files{".lock", "agents", "cli", "logs", "report.json", "server"};
  return files;
}

test::WorkloadSpec Workload(std::string name, std::string ns, std::string address, std::string program) {
  test::WorkloadSpec out;
  out.name = std::move(name);
  out.namespace_ = std::move(ns);
  out.address = std::move(address);
  out.program = std::move(program);
  return out;
}

std::string SharesJson(const std::map<std::string, double>& shares) {
  std::string out = "{";
  for (const auto& [cluster, share] : shares)
    out += fmt::format("{}\"{}\": {:.6f}", out.size() > 1 ? ", " : "", cluster, share);
  return out + "}";
}

}  // namespace

std::string DemoReport::ToJson() const {
  return fmt::format(
      "{{\n  \"requests\": {},\n  \"failed\": {},\n  \"share_before\": {},\n  \"share_after_kill\": {},\n"
      "  \"failed_in_kill\": {},\n  \"seconds_to_full_success\": {:.4f},\n  \"share_after_return\": {},\n"
      "  \"seconds_to_return\": {:.4f},\n  \"share_after_change\": {},\n  \"seconds_to_new_share\": {:.4f},\n"
      "  \"status\": \"{}\"\n}}\n",
      requests, failed, SharesJson(share_before), SharesJson(share_after_kill), failed_in_kill, seconds_to_full_success,
      SharesJson(share_after_return), seconds_to_return, SharesJson(share_after_change), seconds_to_new_share, status);
}

Status CheckShares(const test::LoadReport& load, const Weights& weights, double allowed) {
  for (const auto& [backend, count] : load.by_backend) {
    if (!weights.contains(backend))
      return FailedPrecondition("SHARE_OFF", "{} answers came from '{}', which nobody asked for", count, backend);
  }
  for (const auto& [cluster, weight] : weights) {
    const auto found = load.by_backend.find(cluster);
    const double count = found == load.by_backend.end() ? 0 : static_cast<double>(found->second);
    const double wanted = weight * static_cast<double>(load.requests);
    if (std::abs(count - wanted) > allowed + 1e-6) {
      return FailedPrecondition("SHARE_OFF",
                                "{} answered {} of {} requests, {:.0f} were its share; at most {:g} may differ",
                                cluster, count, load.requests, wanted, allowed);
    }
  }
  return {};
}

Result<std::unique_ptr<DemoFolder>> DemoFolder::Take(const std::string& folder, bool* leftover) {
  WEIR_TRY(MakeFolders(folder, 0700));
  const std::string path = folder + "/.lock";
  const int lock = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0)
    return FailedPrecondition("FOLDER_UNUSABLE", "cannot write to {}; choose another with --folder", folder);
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    close(lock);
    const auto pid = ReadFile(path);
    return FailedPrecondition(
        "DEMO_RUNNING", "a demo is running in {} already (process {}); end it with Ctrl-C there, or with `kill {}`",
        folder, pid.ok() ? *pid : "?", pid.ok() ? *pid : "PID");
  }
  std::unique_ptr<DemoFolder> taken(new DemoFolder(lock));
  *leftover = false;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (!OurFiles().contains(entry.path().filename().string())) {
      return FailedPrecondition(
          "FOLDER_NOT_OURS", "{} holds {}, which no demo has made; move it away or choose another folder with --folder",
          folder, entry.path().filename().string());
    }
  }
  for (const std::string& file : OurFiles()) {
    if (file == ".lock") continue;
    if (fs::remove_all(folder + "/" + file, error) > 0) *leftover = true;
    if (error) return FailedPrecondition("FOLDER_UNUSABLE", "cannot remove {}/{}: {}", folder, file, error.message());
  }
  const std::string pid = std::to_string(getpid());
  if (ftruncate(lock, 0) != 0 || pwrite(lock, pid.data(), pid.size(), 0) < 0) {
    return FailedPrecondition("FOLDER_UNUSABLE", "cannot write to {}", path);
  }
  return taken;
}

DemoFolder::~DemoFolder() { close(lock_); }

// Addresses and names are those of the discovery files; what is here is which program makes each workload.
test::FleetOptions DemoFleet(const DemoOptions& options) {
  test::FleetOptions fleet;
  fleet.bin_dir = options.bin_dir;
  fleet.folder = options.folder;
  fleet.organization = "demo-org";
  fleet.workers = options.workers;
  test::ClusterSpec edge;
  edge.name = "edge";
  edge.agent_address = "127.0.1.2";
  edge.discovery_file = options.documents + "/discovery-edge.yaml";
  for (const auto& [name, address] : {std::pair("t1-a", "127.0.1.10"), std::pair("t1-b", "127.0.1.11")}) {
    edge.workloads.push_back(Workload(name, "t1", address, "weir-tier1"));
    edge.workloads.back().ports[80] = 18080;
  }
  fleet.clusters.push_back(std::move(edge));
  for (int i = 1; i <= 2; ++i) {
    test::ClusterSpec cluster;
    const std::string net = fmt::format("127.0.{}.", i + 1);
    cluster.name = fmt::format("cluster{}", i);
    cluster.agent_address = net + "2";
    cluster.discovery_file = fmt::format("{}/discovery-{}.yaml", options.documents, cluster.name);
    cluster.workloads.push_back(Workload("t2", "shop", net + "10", "weir-tier2"));
    cluster.workloads.back().ports[80] = 18080;
    for (const auto& [name, host] : {std::pair("pod-1", "21"), std::pair("pod-2", "22")}) {
      cluster.workloads.push_back(Workload(name, "shop", net + host, "weir-podproxy"));
      cluster.workloads.back().app_port = 8080;
    }
    fleet.clusters.push_back(std::move(cluster));
  }
  return fleet;
}

}  // namespace weir::demo
