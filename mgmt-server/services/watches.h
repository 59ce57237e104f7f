#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "api/weir/v2/watch.pb.h"
#include "libs/base/mutex.h"
#include "mgmt-server/services/backends.h"
#include "mgmt-server/services/call.h"
#include "mgmt-server/services/in_work.h"
#include "mgmt-server/services/outflow.h"
#include "mgmt-server/services/quotas.h"
#include "mgmt-server/services/watch_positions.h"
#include "mgmt-server/services/watch_steps.h"

namespace weir::services {

// Those who watch. They hold no thread: one thread follows the store, step by step, and brings each of them as far as
// he takes what he is told. Whoever does not keep up has nothing kept for him: the last steps are kept once for all,
// and whoever falls behind them is cut off and told where to go on. A watch ends with its caller, its token and the
// server.
class Watches : public std::enable_shared_from_this<Watches> {
 public:
  static constexpr size_t kOfOne = 100, kOfAll = 2000;             // Watches at once, of one principal and of all.
  static constexpr size_t kSteps = 256;                            // That are kept for who is behind.
  static constexpr Duration kBeat = std::chrono::seconds(15);      // Between bookmarks.
  static constexpr Duration kPatience = std::chrono::seconds(30);  // With who takes nothing and is behind all steps.

  Watches(const Backends& backends, std::shared_ptr<WatchQuota> quota)
      : backends_(backends), positions_(*backends.store), quota_(std::move(quota)) {}
  ~Watches();  // Stop.
  Watches(const Watches&) = delete;
  Watches& operator=(const Watches&) = delete;

  // Sets call.stream. RESOURCE_EXHAUSTED TOO_MANY_WATCHES, QUOTA_EXCEEDED, PAST_IN_WORK; the errors that watch.proto
  // names; NOT_FOUND RESOURCE_MISSING where nothing of `parent` is the caller's to see.
  Status Start(CallContext& call, const v2::WatchRequest& request);

  // Ends all watches, and there are none from now on. Idempotent.
  void Stop();
  size_t count() const;

 private:
  using Id = uint64_t;
  struct Watcher {
    Watching watching;
    std::string token;
    std::string asked;                         // What a position is bound to.
    std::shared_ptr<const void> place;         // Given back with the last copy; so is the tenant's.
    std::shared_ptr<const void> tenants = {};  // Null: it is not about a single tenant.
    store::ViewPtr from;                       // What was told before; null = nothing.
    store::ViewPtr to;                         // Up to which all is told before the first step.
    bool whole = false;                        // The walk from there to here is said to have ended.
    std::optional<MonoTime> end;
    std::function<void()> cut;

    std::optional<Walk> walk;
    bool say_end = false;    // Of the walk.
    WatchPosition position;  // Up to which all is told, but for the walk's.
    WatchPosition reached;   // Once the walk is over.
    Outflow::Take take;      // Null: he has not taken the last piece yet.
    MonoTime next_beat{};
    MonoTime took{};
  };
  class Flow;
  struct Arrived {
    store::ChangeEvent event;
    store::ViewPtr state;  // Null: it is not kept any more.
  };
  struct News {
    std::deque<Arrived> arrived;
    std::vector<std::pair<Id, Watcher>> fresh;
    std::vector<std::pair<Id, Outflow::Take>> ready;
    std::vector<std::pair<Id, std::function<void()>>> cuts;
    std::vector<Id> left;
    bool empty() const { return arrived.empty() && fresh.empty() && ready.empty() && left.empty(); }
  };

  // Fills in from where.
  Status GoOnAfter(CallContext& call, const std::string& after, Watcher& watcher);
  Result<std::shared_ptr<Outflow>> Enter(Watcher watcher);
  void Open() WEIR_REQUIRES(mutex_);  // The thread and the subscription, by the first watch.
  void Arrive(const store::ChangeEvent& event);

  // Of the thread.
  void Run();
  void TakeIn(News& news, std::vector<Id>& due);
  void Follow(Arrived&& arrived);
  void Begin(Watcher& watcher);
  void WalkTo(Watcher& watcher, store::ViewPtr from, store::ViewPtr to, std::string base, int64_t revision);
  // True: it has more to tell and can at once.
  bool Advance(Id id, MonoTime now, bool tick, bool ending);
  std::optional<Outflow::Piece> NextPiece(Watcher& watcher, MonoTime now, bool tick, bool ending);
  void GoOn(Watcher& watcher, Outflow::Piece& piece);
  void TakeStep(Watcher& watcher, Step& step, const store::View& now, std::vector<Outflow::Item>& items);
  void WalkOn(Watcher& watcher, const store::View& now, std::vector<Outflow::Item>& items);
  bool Behind(const Watcher& watcher) const;
  std::string Sealed(const Watcher& watcher) const { return positions_.Seal(watcher.position, watcher.asked); }
  Outflow::Piece Last(const Watcher& watcher, std::optional<Error> error) const;

  const Backends& backends_;
  WatchPositions positions_;
  const std::shared_ptr<WatchQuota> quota_;
  InWork places_{kOfOne, kOfAll};

  mutable Mutex mutex_;
  CondVar wake_;
  CondVar room_;  // For what arrives.
  bool opened_ WEIR_GUARDED_BY(mutex_) = false;
  bool stopped_ WEIR_GUARDED_BY(mutex_) = false;
  Id next_id_ WEIR_GUARDED_BY(mutex_) = 1;
  size_t count_ WEIR_GUARDED_BY(mutex_) = 0;
  News news_ WEIR_GUARDED_BY(mutex_);
  std::thread thread_ WEIR_GUARDED_BY(mutex_);
  std::unique_ptr<store::Subscription> subscription_ WEIR_GUARDED_BY(mutex_);

  // Only the thread's, once it runs.
  store::ViewPtr head_;     // The last state that was followed.
  std::deque<Step> steps_;  // The last ones; the last of them leads to head_.
  std::map<Id, Watcher> watchers_;
};

}  // namespace weir::services
