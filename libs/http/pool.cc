#include "libs/http/pool.h"

#include "libs/base/mutex.h"

namespace weir::http {

Pool::Pool(int threads, size_t queue_limit)
    : thread_limit_(threads < 1 ? 1 : static_cast<size_t>(threads)), queue_limit_(queue_limit) {}

Pool::~Pool() { Stop(); }

bool Pool::Post(std::function<void()> task) {
  MutexLock lock(mutex_);
  if (stopping_ || queue_.size() >= queue_limit_) return false;
  if (!idle_.empty()) {
    Sleeper* last = idle_.back();
    idle_.pop_back();
    last->task = std::move(task);
    last->wake.NotifyOne();
    return true;
  }
  queue_.push_back(std::move(task));
  if (threads_.size() < thread_limit_) threads_.emplace_back([this] { Run(); });
  return true;
}

void Pool::Stop() {
  std::vector<std::thread> threads;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    threads.swap(threads_);
    for (Sleeper* sleeper : idle_) sleeper->wake.NotifyOne();
    idle_.clear();  // They end with their threads; Stop may be called again.
  }
  for (std::thread& thread : threads) thread.join();
}

void Pool::Run() {
  Sleeper self;
  MutexLock lock(mutex_);
  while (true) {
    if (!queue_.empty()) {
      self.task = std::move(queue_.front());
      queue_.pop_front();
    } else if (!stopping_) {
      idle_.push_back(&self);
      self.wake.Wait(mutex_, [&]() WEIR_REQUIRES(mutex_) { return stopping_ || self.task; });
    }
    if (!self.task) return;
    lock.Unlock();
    self.task();
    self.task = nullptr;  // What it captured dies outside the lock.
    lock.Lock();
  }
}

}  // namespace weir::http
