#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/fleet.h"
#include "tests/support/load.h"

namespace weir::e2e {

constexpr char kHost[] = "servicea.example.com";
constexpr uint16_t kPort = 18080;
constexpr uint16_t kAdminPort = 15000;
constexpr char kOrganization[] = "e2e-org";

struct SceneOptions {
  unsigned net = 50;  // Everything binds 127.<net>.x.x; 50 to 99, another for each test binary.
  unsigned tier1s = 2;
  unsigned clusters = 2;  // "c1", "c2", ..., each with a tier-2 gateway.
  unsigned pods = 1;      // Of each cluster.
  unsigned workers = 2;   // Of each gateway.
  std::vector<std::string> server_flags = {};
  std::vector<std::string> agent_flags = {};
  // Which program makes a workload, by "<cluster>/<workload>"; e.g. {"edge/t1-1", "envoy"}.
  std::map<std::string, std::string> programs = {};
};

// A whole small Weir of real processes for tests: T1s "t1-1".. in the cluster "edge", and per cluster a T2 "t2" and
// pods "pod-1".., serving kHost by the weights given. Removed with everything it made when the test passed.
class Scene {
 public:
  explicit Scene(SceneOptions options);
  ~Scene();

  // From nothing to READY with equal weights.
  Status BringUp();
  // What every scene's organization holds, but for the tier 1: into a server that knows nothing of it.
  Status ApplyBase();
  // One Tier1Gateway with these weights, cluster by cluster, applied; waits until every gateway acknowledged it.
  Status SetWeights(const std::vector<unsigned>& weights);
  std::string Tier1Yaml(const std::vector<unsigned>& weights) const;
  // Until `weir status` of the organization has this worst state.
  Status WaitState(const std::string& state, test::Milliseconds deadline = test::Milliseconds(30'000)) const;

  // GETs through all T1s; `requests` = 0: until stop says true.
  test::LoadOptions Load(uint64_t requests) const;
  test::LoadReport Drive(uint64_t requests) const { return test::RunLoad(Load(requests)); }

  test::Fleet& fleet() { return fleet_; }
  const test::Fleet& fleet() const { return fleet_; }
  const SceneOptions& options() const { return options_; }
  std::string Server() const { return fmt::format("127.{}.0.1", options_.net); }
  std::string Tier1(unsigned number) const { return fmt::format("127.{}.1.{}", options_.net, 9 + number); }
  std::string Tier2(unsigned cluster) const { return fmt::format("127.{}.{}.10", options_.net, cluster + 1); }
  std::string Pod(unsigned cluster, unsigned pod) const {
    return fmt::format("127.{}.{}.{}", options_.net, cluster + 1, 20 + pod);
  }
  std::string AgentAddress(unsigned cluster) const { return fmt::format("127.{}.{}.2", options_.net, cluster + 1); }
  // Name -> version of what a T1 serves of one type ("ClusterLoadAssignment").
  std::map<std::string, std::string> Served(unsigned tier1, const std::string& type) const;
  // Writes a file into the scene's folder and returns its path.
  std::string File(const std::string& name, const std::string& text) const;

 private:
  Status Start();

  const SceneOptions options_;
  test::Fleet fleet_;
};

// Where scripts/envoy puts stock Envoy; $WEIR_ENVOY is another one.
std::string EnvoyBinary();

// "" when each cluster's share of the answers is within one request per T1 worker of its weight, else what is off.
std::string ShareError(const test::LoadReport& load, const std::map<std::string, double>& weights, unsigned workers);

}  // namespace weir::e2e
