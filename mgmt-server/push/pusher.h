#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "mgmt-server/compile/compile.h"
#include "mgmt-server/compile/traces.h"

namespace weir::store {
class Store;
}
namespace weir::xds {
class AdsService;
}

namespace weir::push {

struct PusherOptions {
  // The first change after quiet goes at once; while changes keep coming they are gathered until `quiet` passes without
  // one, at most `max_delay` (T52).
  Duration quiet = std::chrono::milliseconds(10);
  Duration max_delay = std::chrono::milliseconds(200);
  std::string roots_pem;  // What every cluster trusts.
  const Clock* clock = &Clock::Real();
};

// Store's two feeds, and what its rollouts put ahead -> World -> compile -> one xDS snapshot per cluster. The key of a
// snapshot is the cluster's FQN. One thread. Before Start has loaded and compiled the whole World no snapshot is set,
// so no agent is answered (T48).
class Pusher {
 public:
  Pusher(store::Store& store, xds::AdsService& ads, PusherOptions options);
  ~Pusher();  // Stop.
  Pusher(const Pusher&) = delete;
  Pusher& operator=(const Pusher&) = delete;

  // Loads, compiles everything, sets every snapshot, then follows the feeds.
  Status Start();
  void Stop();
  // What every cluster trusts from now on.
  void SetRoots(std::string roots_pem);

  // Looks whether the store's overlays are others than those that are pushed, which no feed tells of, and pushes then.
  void FollowOverlays();

  // Whether anything is ahead of what is stored, as pushed. Never waits for a push.
  bool HasOverlays() const;
  // The compilation as pushed; held still (and the pusher with it) while `read` runs: short work only.
  void Read(const std::function<void(const compile::Compilation&)>& read) const;
  // What the writes of a cluster (FQN) from this revision on changed that the compilation does not show.
  compile::Trace TraceOf(const std::string& cluster, int64_t revision) const;

  // Revision up to which every change is compiled and handed to the streams. Facts likewise.
  int64_t revision() const;
  uint64_t facts_sequence() const;
  // Blocks until revision() >= revision. False: `deadline` of `clock` passed or Stop was called.
  bool WaitFor(int64_t revision, const Clock& clock, MonoTime deadline) const;

  // Called after each push on the pusher's thread, no lock held. Set before Start.
  void OnPushed(std::function<void()> callback);

 private:
  struct Core;
  std::unique_ptr<Core> core_;
};

}  // namespace weir::push
