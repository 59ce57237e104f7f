#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "libs/base/mutex.h"
#include "libs/base/result.h"
#include "libs/gateway/identity_keeper.h"
#include "libs/gateway/role.h"
#include "libs/proxy/engine.h"
#include "libs/proxy/envoy_snapshot.h"
#include "libs/xds/protocol/types.h"

namespace weir::gateway {

// Turns xDS resources into what the engine serves. Thread-safe; one change at a time.
class Configurator {
 public:
  struct Outcome {
    Status status;                        // An Error: nothing changed.
    std::vector<proxy::Refusal> refused;  // Of this change what is bad; of all what is held, and why.
    xds::SnapshotPtr taken;               // The view with what was there before in the place of what is bad.
  };
  // After every worker serves it. Runs on a worker's thread or inside the call.
  using Done = std::function<void(Outcome outcome)>;

  Configurator(Role& role, proxy::Engine& engine);  // Both outlive it.

  // Serves `view` (all types). Only what differs from what is served is parsed again; bytes are compared.
  void Apply(xds::SnapshotPtr view, Done done);
  // Tries again what only a foreign process keeps from being served: ports.
  void Retry(Done done);
  // Of the newest outcome: listeners that are wanted and not served as wanted, "listener 80: why".
  std::vector<std::string> Unserved() const;

  // New handshakes use it from now on. Waits for nothing.
  Status SetLeaf(const Leaf& leaf, const std::string& fallback_roots);

  // PEM of the mesh roots by which peers are verified; "" = the agent has said none yet.
  std::string RootsInUse() const;
  // The membership that our own leaf comes from has ended: its cluster has joined anew, a new leaf is needed.
  bool LeafEnded() const;

  // What an operator asks: listeners that wait for routes, whether trust has arrived.
  std::vector<std::string> Waiting() const;
  bool Serving() const;  // One snapshot at least was served by every worker.

 private:
  proxy::BuiltSnapshot Build(const xds::Snapshot& view) WEIR_REQUIRES(mutex_);
  Status ServeIdentity(const proxy::BuiltSnapshot& built) WEIR_REQUIRES(mutex_);
  proxy::Identity IdentityWith(const Leaf& leaf) const WEIR_REQUIRES(mutex_);
  void Finish(Outcome outcome, const xds::SnapshotPtr& before, const Done& done);

  Role& role_;
  proxy::Engine& engine_;
  mutable Mutex mutex_;
  proxy::SnapshotBuilder builder_ WEIR_GUARDED_BY(mutex_);
  xds::SnapshotPtr built_ WEIR_GUARDED_BY(mutex_);  // What the builder holds.
  uint64_t version_ WEIR_GUARDED_BY(mutex_) = 0;
  std::string trust_pem_ WEIR_GUARDED_BY(mutex_);
  std::shared_ptr<const identity::ValidGenerations> generations_ WEIR_GUARDED_BY(mutex_);
  std::string fallback_roots_ WEIR_GUARDED_BY(mutex_);
  std::optional<Leaf> leaf_ WEIR_GUARDED_BY(mutex_);
  std::vector<std::string> waiting_ WEIR_GUARDED_BY(mutex_);
  // By the builder and the identity; ports are the engine's to tell.
  std::vector<proxy::Refusal> held_ WEIR_GUARDED_BY(mutex_);
  bool serving_ WEIR_GUARDED_BY(mutex_) = false;
};

}  // namespace weir::gateway
