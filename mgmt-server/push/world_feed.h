#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "mgmt-server/compile/compile.h"
#include "mgmt-server/store/store.h"

namespace weir::push {

// The resources of then (without roots) with what agents report of their clusters now. A workspace owns there what it
// owned and, by uid, still owns: what runs today in a namespace that it lost is another's.
compile::World LoadWorld(const store::View& then, const store::View& now);

// Events of both feeds -> a World that equals a view of the store. Load, Apply: one thread. Note: the feeds' threads.
class WorldFeed {
 public:
  explicit WorldFeed(const Clock& clock) : clock_(clock) {}

  compile::World Load(const store::View& view, const std::string& roots_pem);

  void Note(const store::ChangeEvent& event);
  void Note(const store::FactsEvent& event);
  MonoTime LastEvent() const;

  // Blocks until every event up to the view's revision and facts sequence was noted (they follow a commit within
  // moments; at most `limit`). Returns how far they were: a world that Apply brings to the view has every change up to
  // there, and may lack later ones.
  struct Reached {
    int64_t revision = 0;
    uint64_t facts_sequence = 0;
  };
  Reached WaitForEventsOf(const store::View& view, Duration limit = std::chrono::milliseconds(500));
  void Stop();  // Ends a wait.

  // Brings `world` to the view and tells what was touched. What was noted beyond the view waits for the next one.
  compile::Change Apply(const store::View& view, compile::World* world);

 private:
  struct PendingFacts {
    uint64_t sequence = 0;
    std::set<std::string> workloads, services;
    bool connection = false;
  };
  void ApplyFacts(const store::View& view, const std::string& uid, const std::string& cluster,
                  const PendingFacts& pending, compile::World* world, compile::Change* change);
  void ReplaceFacts(const store::View& view, const std::string& uid, const std::string& cluster, compile::World* world,
                    compile::Change* change);

  const Clock& clock_;
  mutable Mutex mutex_;
  CondVar noted_;
  bool stopped_ WEIR_GUARDED_BY(mutex_) = false;
  int64_t revision_ WEIR_GUARDED_BY(mutex_) = 0;  // Of the newest event noted.
  uint64_t sequence_ WEIR_GUARDED_BY(mutex_) = 0;
  MonoTime last_event_ WEIR_GUARDED_BY(mutex_){};
  std::map<std::string, int64_t> fqns_ WEIR_GUARDED_BY(mutex_);        // Touched -> newest revision.
  std::map<std::string, PendingFacts> facts_ WEIR_GUARDED_BY(mutex_);  // By cluster uid.
  bool resync_ WEIR_GUARDED_BY(mutex_) = false;

  std::map<std::string, std::string> clusters_;  // Uid -> FQN, of the clusters in the world.
};

}  // namespace weir::push
