#pragma once

#include <atomic>
#include <chrono>
#include <set>
#include <string>
#include <vector>

#include "api/weir/v2/cluster.pb.h"
#include "api/weir/v2/server_state.pb.h"
#include "api/weir/v2/status.pb.h"
#include "api/weir/v2/traffic.pb.h"
#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "mgmt-server/services/call.h"
#include "mgmt-server/services/invariants.h"
#include "mgmt-server/services/past.h"
#include "mgmt-server/services/planned.h"
#include "mgmt-server/store/store.h"

namespace weir::authn {
class Authn;
}

namespace weir::status {
struct AskedRequest;
struct WaveQuestion;
struct WaveSeen;
}  // namespace weir::status

namespace weir::services {

// What agents and gateways have made of the intent, as the handlers ask for it; services know neither push nor agents.
// Thread-safe. FQNs as in the store; `parent` is an organization; `host` "" = all.
class FleetView {
 public:
  virtual ~FleetView() = default;

  // NOT_FOUND RESOURCE_NOT_FOUND.
  virtual Result<v2::ResourceStatus> Status(const std::string& fqn) const = 0;
  // Of everything at and below `parent`, sorted by FQN.
  virtual Result<std::vector<v2::ResourceStatus>> Statuses(const std::string& parent) const = 0;
  // Whether everything up to that revision is compiled and handed to the streams.
  virtual bool IsCompiled(int64_t revision) const = 0;
  // What gateways have made of that revision by `deadline` (it blocks until then); of one of them where its FQN is it.
  virtual v2::ResourceStatus WaitApplied(const std::string& fqn, int64_t revision, MonoTime deadline) const = 0;
  virtual v2::ClusterState ClusterState(const std::string& cluster) const = 0;

  // Traffic and health as the gateways report them. Who may see an item is decided by its `source`.
  virtual std::vector<v2::HostTraffic> Traffic(const std::string& parent, const std::string& host) const = 0;
  virtual std::vector<v2::HostHealth> Health(const std::string& parent, const std::string& host) const = 0;
  // FQNs of the tier-1 objects of that organization which serve the host.
  virtual std::vector<std::string> Serving(const std::string& parent, const std::string& host) const = 0;
  // What the gateways of a cluster (FQN) say of a port of a service ("<namespace>/<host>") there.
  struct ServiceWord {
    bool heard = false;   // Somebody says something.
    bool serves = false;  // One of them finds somebody who answers.
    std::string reason;   // Else why not.
  };
  virtual ServiceWord ServiceHealth(const std::string& cluster, const std::string& host, uint32_t port) const = 0;
  // What happens when the clusters of these names are lost. Waits up to 2 s for what is stored; else each has a
  // `doubt`.
  virtual std::vector<v2::FailoverPlan> Failover(const std::string& parent, const std::string& host,
                                                 const std::set<std::string>& without) const = 0;

  // What a request would meet, as status::ExplainRoute says it; `then`: with these documents and the facts of now, null
  // = as it is pushed. UNAVAILABLE NOT_COMPILED: what is stored is not compiled yet by `deadline`.
  virtual Result<std::vector<v2::ExplainedRoute>> ExplainRoute(const status::AskedRequest& asked,
                                                               const store::ViewPtr& then, MonoTime deadline) const = 0;

  // What clusters and gateways would be told if that were written, as far as the caller may see it. UNAVAILABLE
  // NOT_COMPILED: what is stored is not compiled yet; DEADLINE_EXCEEDED PLAN_TOO_SLOW; the error of its `go_on`.
  virtual Result<PlanEffect> Plan(const PlanQuestion& question) const = 0;

  // Clusters that are told something else once that is written, and the hosts that it is about. The same errors.
  virtual Result<Concerned> ConcernedBy(const PlanQuestion& question) const = 0;
  // What gateways make of a change set that is rolled out.
  virtual status::WaveSeen ObserveWave(const status::WaveQuestion& question) const = 0;

  // Clusters whose agents keep another state than this server's; and the end of it, after the state was adopted.
  virtual std::vector<v2::HeldCluster> HeldClusters() const = 0;
  // FQNs of clusters of which nobody knows whether they do, for their agents are away.
  virtual std::vector<std::string> AwayClusters() const = 0;
  virtual void ReleaseHeldClusters() = 0;

  // The server itself: what GetServerStatus answers.
  virtual v2::ServerStatus ServerStatus() const = 0;

  // How far the replacement of the mesh root is, and its next step (ServerState.ReplaceRoot).
  virtual Result<v2::ReplaceRootResponse> Roots() const = 0;
  virtual weir::Status ReplaceRoot(v2::ReplaceRootRequest::Step step) = 0;
};

// What the handlers stand on; all of it outlives them.
struct Backends {
  Backends(store::Store& the_store, authn::Authn& the_authn, FleetView& the_fleet, InvariantGuard& the_invariants,
           const std::atomic<bool>& server_stopping, std::string anchor, const Clock& the_clock = Clock::Real())
      : store(&the_store),
        authn(&the_authn),
        fleet(&the_fleet),
        invariants(&the_invariants),
        stopping(&server_stopping),
        anchor_sha256(std::move(anchor)),
        clock(&the_clock),
        past(std::make_shared<Past>(the_store)) {}

  // What a call asks to be written; CANCELLED CALLER_GONE when nobody waits for it any more once it has its turn, and
  // the error of HoldInvariants.
  template <typename Fn>
  std::invoke_result_t<Fn, store::Txn&> Write(const CallContext& call, Fn&& fn, const WriteTerms& terms = {}) const {
    return store->Write([&](store::Txn& txn) { return Hold(call, txn, fn, terms); });
  }

  // The same, or with `dry_run` all of it and then nothing is stored.
  template <typename Fn>
  std::invoke_result_t<Fn, store::Txn&> WriteOrTry(const CallContext& call, bool dry_run, Fn&& fn,
                                                   const WriteTerms& terms = {}) const {
    if (!dry_run) return Write(call, std::forward<Fn>(fn), terms);
    return store->DryRun([&](store::Txn& txn) { return Hold(call, txn, fn, terms); });
  }

  // None of these is null.
  store::Store* const store;
  authn::Authn* const authn;
  FleetView* const fleet;
  InvariantGuard* const invariants;
  const std::atomic<bool>* const stopping;  // Ends waits early.
  const std::string anchor_sha256;          // Of the server anchor: what a join token pins.
  const Clock* const clock;
  const std::shared_ptr<Past> past;  // Earlier states, bounded for all handlers together.
  // How long a wait for gateways goes on when only something from outside is missing (a workload, a service).
  Duration grace = std::chrono::seconds(3);
  std::string packages_dir;  // Of Debian packages for machines that join; "" = none are handed out.

 private:
  template <typename Fn>
  std::invoke_result_t<Fn, store::Txn&> Hold(const CallContext& call, store::Txn& txn, Fn& fn,
                                             const WriteTerms& terms) const {
    WEIR_TRY(CheckWanted(call));
    const store::View before = txn.view();
    auto done = fn(txn);
    if (done.ok()) WEIR_TRY(HoldInvariants(*invariants, txn, before, call, terms));
    return done;
  }
};

}  // namespace weir::services
