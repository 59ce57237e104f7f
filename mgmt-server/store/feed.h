#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "libs/base/mutex.h"
#include "mgmt-server/store/store.h"

namespace weir::store {

// Hands events, numbered without gaps, to subscribers on threads of their own. The newest stand in memory; older ones
// come from `older(after)`: the events above `after` in order, at least one and as many as it likes, up to the newest.
// A subscriber that was just called sleeps on for kNap through events that `may_wait`, so that a stream of them costs
// its writer no wake-up each.
template <typename Event>
class Feed {
 public:
  using Callback = std::function<void(const Event&)>;
  using Older = std::function<std::vector<Event>(int64_t after)>;
  static constexpr size_t kKept = 4096;
  static constexpr std::chrono::milliseconds kNap{5};

  Feed(int64_t newest, std::function<int64_t(const Event&)> number, Older older,
       std::function<bool(const Event&)> may_wait)
      : core_(std::make_shared<Core>()) {
    core_->newest = core_->urgent = newest;
    core_->may_wait = std::move(may_wait);
    core_->number = std::move(number);
    core_->older = std::move(older);
  }
  ~Feed() { Close(); }

  void Publish(const std::vector<Event>& events) {
    if (events.empty()) return;
    MutexLock lock(core_->mutex);
    const int64_t urgent = core_->urgent;
    for (const Event& event : events) {
      core_->kept.push_back(event);
      core_->newest = core_->number(event);
      if (!core_->may_wait(event)) core_->urgent = core_->newest;
      if (core_->kept.size() > kKept) core_->kept.pop_front();
    }
    core_->changed.NotifyAll();
    if (core_->urgent > urgent) core_->disturbed.NotifyAll();
  }

  std::unique_ptr<Subscription> Subscribe(int64_t after, Callback callback) {
    return std::make_unique<Reader>(core_, after, std::move(callback));
  }

  // No callback starts after this; `older` is not called any more.
  void Close() {
    MutexLock lock(core_->mutex);
    core_->closed = true;
    core_->changed.NotifyAll();
    core_->disturbed.NotifyAll();
    core_->changed.Wait(core_->mutex, [&]() WEIR_REQUIRES(core_->mutex) { return core_->reading == 0; });
  }

 private:
  struct Core {
    Mutex mutex;
    CondVar changed;    // For who has seen everything.
    CondVar disturbed;  // For who naps.
    std::deque<Event> kept WEIR_GUARDED_BY(mutex);
    int64_t newest WEIR_GUARDED_BY(mutex) = 0;
    int64_t urgent WEIR_GUARDED_BY(mutex) = 0;  // The newest that may not wait.
    int reading WEIR_GUARDED_BY(mutex) = 0;
    bool closed WEIR_GUARDED_BY(mutex) = false;
    std::function<int64_t(const Event&)> number;
    Older older;
    std::function<bool(const Event&)> may_wait;
  };

  class Reader : public Subscription {
   public:
    Reader(std::shared_ptr<Core> core, int64_t after, Callback callback) : state_(std::make_shared<State>()) {
      state_->core = std::move(core);
      state_->position = after;
      state_->callback = std::move(callback);
      thread_ = std::thread([state = state_] { state->Run(); });
    }
    ~Reader() override {
      {
        MutexLock lock(state_->core->mutex);
        state_->stopped = true;
        state_->core->changed.NotifyAll();
        state_->core->disturbed.NotifyAll();
      }
      if (thread_.get_id() == std::this_thread::get_id()) {
        thread_.detach();
      } else {
        thread_.join();
      }
    }

   private:
    struct State {
      std::shared_ptr<Core> core;
      int64_t position = 0;
      bool stopped WEIR_GUARDED_BY(core->mutex) = false;
      Callback callback;

      void Run() {
        MutexLock lock(core->mutex);
        while (true) {
          core->changed.Wait(core->mutex, [&]() WEIR_REQUIRES(core->mutex) {
            return stopped || core->closed || core->newest > position;
          });
          if (stopped || core->closed) return;
          std::vector<Event> batch;
          if (!core->kept.empty() && core->number(core->kept.front()) <= position + 1) {
            const int64_t from = position + 1 - core->number(core->kept.front());  // There are no gaps.
            batch.assign(core->kept.begin() + from, core->kept.end());
          } else {
            ++core->reading;
            lock.Unlock();
            batch = core->older(position);
            lock.Lock();
            --core->reading;
            core->changed.NotifyAll();
            if (batch.empty()) {  // The disk did not answer: try again, not at once.
              core->changed.WaitRealTime(core->mutex, std::chrono::milliseconds(100),
                                         [&]() WEIR_REQUIRES(core->mutex) { return stopped || core->closed; });
              continue;
            }
          }
          for (const Event& event : batch) {
            if (stopped || core->closed) return;
            position = core->number(event);
            lock.Unlock();
            callback(event);
            lock.Lock();
          }
          core->disturbed.WaitRealTime(core->mutex, kNap, [&]() WEIR_REQUIRES(core->mutex) {
            return stopped || core->closed || core->urgent > position;
          });
        }
      }
    };

    std::shared_ptr<State> state_;
    std::thread thread_;
  };

  std::shared_ptr<Core> core_;
};

}  // namespace weir::store
