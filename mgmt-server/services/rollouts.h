#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "api/weir/v2/change_set.pb.h"
#include "libs/base/mutex.h"
#include "mgmt-server/services/backends.h"
#include "mgmt-server/services/change_set_rules.h"
#include "mgmt-server/services/wave_rules.h"
#include "mgmt-server/services/writes.h"
#include "mgmt-server/status/wave.h"

namespace weir::services {

// The rollout that committing a change set with waves begins: what stands in the store, all in one write.
//
//   start    -> overlay with nobody told; wave 1 is released once the change is found to hold still
//   released -> its clusters are told; every gateway runs it in time        -> baking
//   baking   -> requests are counted; the gate holds to the end of its time -> passed, and the next is released
//   the last passed -> stored as one revision in the name of who started it, overlay gone
//   anything else   -> reverted, overlay gone
//
// The store says all of it, but for what a wave has counted so far: a server that starts again counts that wave anew.
class Rollouts {
 public:
  Rollouts(const Backends& backends, Writes& writes) : backends_(backends), writes_(writes) {}

  // Moves each that is on its way one step on. By one thread, again and again (Standing::kStep).
  void Tick();
  // Adds what the wave that is out has counted so far. Thread-safe.
  void AddCounted(v2::ChangeSet& set) const;

 private:
  // Of one rollout, in memory only.
  struct Watched {
    store::OverlayPtr row;  // Of which the rest was read.
    v2::RolloutOverlay overlay;
    int64_t checked = -1;   // Revision at which it still held; -1 = not looked at yet.
    MonoTime next_check{};  // Not before: what it costs the writer stays small.
    int wave = 0;           // Of what follows.
    v2::WaveProgress::State state = v2::WaveProgress::STATE_UNSPECIFIED;
    MonoTime since{};                            // When this server first saw the wave in that state.
    MonoTime after{};                            // Reports up to then are counted.
    std::map<std::string, MonoTime> unservable;  // Host, cluster and gateways -> since when.
  };
  // A rollout as this tick finds it.
  struct Underway {
    v2::ChangeSet set;
    Watched& watched;
    v2::WaveProgress& wave() { return *set.mutable_rollout()->mutable_waves(set.rollout().wave() - 1); }
  };
  void Move(const store::View& view, const store::OverlayPtr& row);
  // The change could still be stored by who started it, and would do the same. False: it was ended.
  bool HoldsStill(const store::View& view, Underway& rollout);
  // Notes when the wave came into its state. False: that is another than is stored, which comes first.
  bool Notice(Underway& rollout);
  void Observe(Underway& rollout);
  void AwaitGateways(Underway& rollout, const status::WaveSeen& seen);
  // `over`: its time is.
  void Bake(Underway& rollout, const status::WaveSeen& seen, bool over);
  // Who cannot serve for too long.
  std::vector<v2::WaveEvidence> Lasting(Watched& watched, const status::WaveSeen& seen, bool over) const;
  void Release(Underway& rollout);
  void Complete(Underway& rollout);
  void Revert(Underway& rollout, v2::Rollout::Reason reason, std::string message,
              const std::vector<v2::WaveEvidence>& evidence = {});
  // Stores what `change(txn, set, overlay) -> Status` makes of both, if nobody else did meanwhile.
  template <typename Change>
  void Store(Underway& rollout, const CallContext& call, const std::string& action, Change change);
  CallContext InNameOfStarter(const v2::ChangeSet& set) const;

  const Backends& backends_;
  Writes& writes_;
  const ChangeSetBounds bounds_;
  std::map<std::string, Watched> watched_;  // By FQN; of the thread that ticks.
  mutable Mutex mutex_;
  std::map<std::string, WaveCount> counts_ WEIR_GUARDED_BY(mutex_);  // Of the waves that bake.
};

// Inside a write that ends or completes a rollout: marks what was on its way, and takes the overlay away.
Status EndRollout(store::Txn& txn, v2::Rollout::Reason reason, const std::string& message, v2::ChangeSet& set);

}  // namespace weir::services
