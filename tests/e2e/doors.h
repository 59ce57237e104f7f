#pragma once

#include <memory>
#include <optional>
#include <string>

#include "tests/e2e/scene.h"

// What the programs of a scene say of themselves, and what a test does to their state.
namespace weir::e2e {

// Value of the first sample of a metric; nullopt when the door does not answer or has no such metric.
std::optional<double> AgentMetric(const Scene& scene, const std::string& cluster, const std::string& metric);
std::optional<double> GatewayMetric(const std::string& address, const std::string& metric);
// Body of GET at an agent's door; "" when it does not answer.
std::string AgentSays(const Scene& scene, const std::string& cluster, const std::string& path);
std::string GatewaySays(const std::string& address, const std::string& path);
// Whether the server says that this cluster's agent is connected.
bool ServerSeesAgent(const Scene& scene, const std::string& cluster);

// <state_dir> of a gateway.
std::string GatewayState(const Scene& scene, const std::string& cluster, const std::string& workload);

// An app and its pod proxy that no SceneOptions knows: "<cluster>/shop/<name>" on `address`.
struct ExtraPod {
  std::unique_ptr<test::Process> app, proxy;
};
// Adds the workload to the cluster's discovery file (by rename) and starts its programs from what the agent wrote.
Result<ExtraPod> AddPod(const Scene& scene, unsigned cluster, const std::string& name, const std::string& address);

}  // namespace weir::e2e
