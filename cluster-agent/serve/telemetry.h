#pragma once

#include <functional>
#include <memory>
#include <string>

#include "cluster-agent/serve/traffic.h"
#include "libs/base/result.h"

namespace grpc {
class ServerBuilder;
}

namespace weir::agent {

// What data planes report on port 15012: loads (envoy.service.load_stats.v3, each second) and
// weir.agent.v1.GatewayHealth. The workload token says who speaks.
class Telemetry {
 public:
  using Authenticate = std::function<Result<std::string>(const std::string& bearer_token)>;

  Telemetry(Authenticate authenticate, TrafficLedger* ledger);
  ~Telemetry();

  void Register(grpc::ServerBuilder& builder);
  // Ends the streams; before the server is shut down.
  void Shutdown();

 private:
  struct Core;
  std::unique_ptr<Core> core_;
};

}  // namespace weir::agent
