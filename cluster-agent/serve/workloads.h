#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "cluster-agent/link/membership.h"
#include "libs/base/mutex.h"
#include "libs/translate/facts.h"

namespace weir::agent {

// Which declared workload a bearer token belongs to, and the files that each is started from:
//   <dir>/<namespace>/<name>/token         0600, of the agent's membership: stable over restarts, another after a join
//   <dir>/<namespace>/<name>/gateway.json  0600, weir.bootstrap.v1.Gateway
//   <dir>/<namespace>/<name>/envoy.yaml    0600, the same for a stock Envoy (holds the token)
// The token alone decides who is speaking, and it is made here: what stands in such a folder opens nothing by that.
// Thread-safe.
class WorkloadRegistry {
 public:
  explicit WorkloadRegistry(std::string dir) : dir_(std::move(dir)) {}

  // `agent_address` = "host:port" where workloads reach the agent. Writes what is missing or differs; tokens of
  // workloads that are declared no more, and those of another membership, count no more (files of the former stay).
  // Errors of single files are in the answer, the others are written. FAILED_PRECONDITION WORKLOAD_KEY_MISSING.
  Status Update(const translate::Facts& facts, const Membership& membership, const std::string& agent_address);

  // "<namespace>/<name>"; UNAUTHENTICATED TOKEN_{MISSING,UNKNOWN}; UNAVAILABLE STARTING before the first Update.
  Result<std::string> WorkloadOf(const std::string& bearer_token) const;
  // The identity that a token stands for.
  Result<std::string> SpiffeIdOfWorkload(const std::string& workload) const;

 private:
  const std::string dir_;
  std::map<std::string, std::string> written_;  // Path -> content; Update's, of which one runs at a time.
  mutable Mutex mutex_;
  bool known_ WEIR_GUARDED_BY(mutex_) = false;                                // What follows is complete.
  std::map<std::string, std::string> by_token_hash_ WEIR_GUARDED_BY(mutex_);  // SHA-256 of the token -> workload.
  std::map<std::string, std::string> spiffe_ids_ WEIR_GUARDED_BY(mutex_);     // Workload -> id.
};

}  // namespace weir::agent
