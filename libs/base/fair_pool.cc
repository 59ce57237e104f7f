#include "libs/base/fair_pool.h"

#include <algorithm>

namespace weir {
namespace {

thread_local const std::string* owner_of_this_thread = nullptr;

}  // namespace

std::string FairPool::OwnerOfThisThread() {
  return owner_of_this_thread == nullptr ? std::string() : *owner_of_this_thread;
}

FairPool::FairPool(size_t threads, size_t queue_limit)
    : thread_limit_(std::max<size_t>(threads, 1)), queue_limit_(queue_limit) {}

FairPool::~FairPool() { Stop(); }

size_t FairPool::Share(size_t all, size_t of_others) {
  const size_t left = all - std::min(all, of_others);
  return std::max<size_t>(left - left / 4, 1);
}

bool FairPool::Post(const std::string& owner, std::function<void()> work) {
  MutexLock lock(mutex_);
  if (stopping_) return false;
  const auto found = owners_.try_emplace(owner).first;
  std::deque<std::function<void()>>& queue = found->second.queue;
  queue.push_back(std::move(work));
  ++waiting_;
  if (queue.size() == 1) turns_.push_back(found);
  Dispatch();
  if (queue.empty()) return true;
  const size_t of_others = waiting_ - queue.size();
  if (waiting_ <= queue_limit_ && queue.size() <= Share(queue_limit_, of_others)) return true;
  // It is the newest of its owner, so it waits still.
  work = std::move(queue.back());
  queue.pop_back();
  --waiting_;
  if (queue.empty()) std::erase(turns_, found);
  if (queue.empty() && found->second.running == 0) owners_.erase(found);
  return false;
}

std::unique_ptr<FairPool::Task> FairPool::Next() {
  for (auto turn = turns_.begin(); turn != turns_.end(); ++turn) {
    const Owners::iterator owner = *turn;
    Owner& of = owner->second;
    if (of.running >= Share(thread_limit_, running_ - of.running)) continue;
    auto task = std::make_unique<Task>(Task{std::move(of.queue.front()), owner});
    of.queue.pop_front();
    ++of.running;
    --waiting_;
    ++running_;
    turns_.erase(turn);
    if (!of.queue.empty()) turns_.push_back(owner);
    return task;
  }
  return nullptr;
}

void FairPool::Dispatch() {
  while (!idle_.empty() || (started_ < thread_limit_ && !stopping_)) {
    std::unique_ptr<Task> task = Next();
    if (task == nullptr) break;
    if (idle_.empty()) {
      ++started_;
      threads_.emplace_back(
          [this, first = std::make_shared<std::unique_ptr<Task>>(std::move(task))] { Run(std::move(*first)); });
      continue;
    }
    Sleeper* last = idle_.back();
    idle_.pop_back();
    last->task = std::move(task);
    last->wake.NotifyOne();
  }
  if (!stopping_ || waiting_ > 0) return;
  for (Sleeper* sleeper : idle_) sleeper->wake.NotifyOne();  // Nothing will come for them any more.
  idle_.clear();
}

void FairPool::Finished(Owners::iterator owner) {
  --running_;
  if (--owner->second.running == 0 && owner->second.queue.empty()) owners_.erase(owner);
}

void FairPool::Run(std::unique_ptr<Task> first) {
  Sleeper self;
  self.task = std::move(first);
  MutexLock lock(mutex_);
  while (self.task != nullptr) {
    lock.Unlock();
    owner_of_this_thread = &self.task->owner->first;
    self.task->work();
    self.task->work = nullptr;  // What it captured dies outside the lock.
    lock.Lock();
    Finished(self.task->owner);
    self.task = nullptr;
    idle_.push_back(&self);
    Dispatch();  // Mostly to this thread itself.
    self.wake.Wait(mutex_,
                   [&]() WEIR_REQUIRES(mutex_) { return self.task != nullptr || (stopping_ && waiting_ == 0); });
  }
}

void FairPool::Stop() {
  std::vector<std::thread> threads;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    Dispatch();  // Ends those that are idle.
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace weir
