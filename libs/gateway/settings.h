#pragma once

#include <memory>
#include <string>

#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/base/result.h"
#include "libs/rpc/channel.h"

namespace weir::bootstrap::v1 {
class Gateway;
}

namespace weir::gateway {

// The mesh roots that the agent has said last. Thread-safe.
class TrustedRoots {
 public:
  std::string Get() const {
    MutexLock lock(mutex_);
    return pem_;
  }
  // Whether they are others than before; nothing said ("") changes nothing.
  bool Set(const std::string& pem) {
    MutexLock lock(mutex_);
    if (pem.empty() || pem == pem_) return false;
    pem_ = pem;
    return true;
  }

 private:
  mutable Mutex mutex_;
  std::string pem_ WEIR_GUARDED_BY(mutex_);
};

// The checked bootstrap of a gateway, defaults filled in.
struct Settings {
  std::string state_dir;
  std::string agent;     // "host:15012"
  std::string agent_id;  // SPIFFE id its certificate must carry.
  std::string root_pem;  // The mesh root; one or more.
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
  Duration drain{};
  std::string source_address;
  bool take_over = false;  // From the gateway that runs in the same state_dir, if there is one.

  // Shared by all copies.
  std::shared_ptr<TrustedRoots> said_roots = std::make_shared<TrustedRoots>();

  // What certificates lead to: what the agent has said last, before that the bootstrap's root. The first one signs.
  std::string Roots() const {
    std::string said = said_roots->Get();
    return said.empty() ? root_pem : said;
  }
  // Who has to answer as the agent. roots.pem beside the token file counts too, read anew each time: the agent writes
  // it, and one that has joined another installation can say its roots by no other way.
  identity::PeerRule AgentRule() const;
  // How to reach the agent; reads the token file anew, so that a replaced token is used.
  Result<rpc::ChannelOptions> AgentChannel() const;
};

// `program` names the default state_dir.
void FillDefaults(bootstrap::v1::Gateway& message, const std::string& program);
// INVALID_ARGUMENT BOOTSTRAP_INVALID with a violation for every field that is missing or wrong.
Result<Settings> ReadSettings(const bootstrap::v1::Gateway& message, const std::string& program);

}  // namespace weir::gateway
