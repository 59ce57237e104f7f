#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "libs/base/result.h"
#include "libs/gateway/identity_keeper.h"
#include "libs/proxy/engine.h"
#include "libs/proxy/envoy_snapshot.h"
#include "libs/xds/protocol/types.h"

namespace weir::gateway {

// What one tier adds to the engine. Both see every snapshot before it is served; an Error is the NACK's text.
struct Role {
  std::string program;  // "weir-tier1"
  std::string purpose;  // One sentence for --help.
  // Refuses what this tier must not serve (a peer without a demanded identity...).
  std::function<Status(const proxy::Snapshot&)> check;
  // Adds what the tier serves by itself; unset = nothing. Unchanged pieces should stay the same objects.
  std::function<Result<std::shared_ptr<const proxy::Snapshot>>(std::shared_ptr<const proxy::Snapshot>)> adapt;
};

// Turns xDS resources into what the engine serves. Thread-safe; one change at a time.
class Configurator {
 public:
  // `outcome`: OK after every worker serves it; an Error: nothing changed. Runs on a worker's thread or inside Apply.
  using Done = std::function<void(Status outcome)>;

  Configurator(const Role& role, proxy::Engine& engine);

  // Serves `view` (all types). Only what differs from what is served is parsed again.
  void Apply(xds::SnapshotPtr view, Done done);

  // Which of `names` (of `type_url`, as in `view`) the engine cannot take even alone; with the reason of the first.
  // Nothing is served by this.
  std::vector<std::string> FindBad(const xds::SnapshotPtr& view, const std::string& type_url,
                                   const std::vector<std::string>& names);

  // New handshakes use it from now on. Waits for nothing.
  Status SetLeaf(const Leaf& leaf, const std::string& fallback_roots);

  // What an operator asks: listeners that wait for routes, whether trust has arrived.
  std::vector<std::string> Waiting() const;
  bool Serving() const;  // One snapshot at least was served by every worker.

 private:
  Result<proxy::BuiltSnapshot> Build(const xds::Snapshot& view);  // Under mutex_.
  Status ServeIdentity(const std::string& trust_pem);             // Under mutex_.
  void Finish(Status outcome, const xds::SnapshotPtr& before, const Done& done);

  const Role role_;
  proxy::Engine& engine_;
  mutable std::mutex mutex_;
  proxy::SnapshotBuilder builder_;
  xds::SnapshotPtr built_;  // What the builder holds.
  uint64_t version_ = 0;
  std::string trust_pem_;
  std::string fallback_roots_;
  std::optional<Leaf> leaf_;
  std::vector<std::string> waiting_;
  bool serving_ = false;
};

}  // namespace weir::gateway
