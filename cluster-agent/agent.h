#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "libs/base/clock.h"
#include "libs/base/result.h"

namespace weir::bootstrap::v1 {
class Agent;
}

namespace weir::agent {

// The local control plane of one cluster: joined once, then serving by itself. Intent comes down, facts and applied
// states go up; without the server it serves what it last accepted, also after a restart.
class Agent {
 public:
  // Fills what the bootstrap leaves open: state_dir "./weir-agent-state", listen, workloads_dir, leaf_lifetime.
  static void FillDefaults(bootstrap::v1::Agent& bootstrap);
  // INVALID_ARGUMENT with a violation per field.
  static Status Check(const bootstrap::v1::Agent& bootstrap);

  // Joins if it has not yet (tries again while the server is unreachable, until `stop`), then starts everything.
  // `bootstrap` has its defaults and is checked.
  static Result<std::unique_ptr<Agent>> Start(const bootstrap::v1::Agent& bootstrap, std::string version,
                                              const std::atomic<bool>& stop, const Clock& clock = Clock::Real());
  ~Agent();     // Stop.
  void Stop();  // Stops accepting, closes the streams, writes last-good.

  int port() const;  // Of ADS.
  const std::string& trust_domain() const;
  Status Ready() const;  // Ok once data planes are answered.
  bool ServerConnected() const;

 private:
  struct Core;
  explicit Agent(std::unique_ptr<Core> core);
  std::unique_ptr<Core> core_;
};

}  // namespace weir::agent
