#pragma once

#include <string>

#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "libs/rpc/channel.h"

namespace weir::bootstrap::v1 {
class Gateway;
}

namespace weir::gateway {

// The checked bootstrap of a gateway, defaults filled in.
struct Settings {
  std::string state_dir;
  std::string agent;     // "host:15012"
  std::string agent_id;  // SPIFFE id its certificate must carry.
  std::string root_pem;  // The mesh root.
  std::string token_file;
  std::string node_id;  // "<cluster>/<namespace>/<workload>"
  std::string cluster;
  std::string region;
  std::string zone;
  unsigned workers = 1;
  std::string admin;
  std::string probes;  // "" = off.
  std::string access_log;
  std::string log_level;
  Duration drain = std::chrono::seconds(30);
  std::string source_address;
  bool take_over = false;  // From the gateway that runs in the same state_dir, if there is one.

  // Who the agent is.
  identity::PeerRule Agent() const { return {root_pem, agent_id}; }
  // How to reach the agent; reads the token file anew, so that a replaced token is used.
  Result<rpc::ChannelOptions> AgentChannel() const;
};

// INVALID_ARGUMENT BOOTSTRAP_INVALID with a violation for every field that is missing or wrong. `program` names the
// default state_dir.
Result<Settings> ReadSettings(const bootstrap::v1::Gateway& message, const std::string& program);

}  // namespace weir::gateway
