#include "libs/http/pool.h"

namespace weir::http {

Pool::Pool(int threads, size_t queue_limit)
    : thread_limit_(threads < 1 ? 1 : static_cast<size_t>(threads)), queue_limit_(queue_limit) {}

Pool::~Pool() { Stop(); }

bool Pool::Post(std::function<void()> task) {
  std::lock_guard lock(mutex_);
  if (stopping_ || queue_.size() >= queue_limit_) return false;
  queue_.push_back(std::move(task));
  if (queue_.size() > idle_ && threads_.size() < thread_limit_) {
    threads_.emplace_back([this] { Run(); });
  } else {
    wake_.notify_one();
  }
  return true;
}

void Pool::Stop() {
  std::vector<std::thread> threads;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    threads.swap(threads_);
  }
  wake_.notify_all();
  for (std::thread& thread : threads) thread.join();
}

void Pool::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    if (queue_.empty()) {
      if (stopping_) return;
      ++idle_;
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      --idle_;
      continue;
    }
    std::function<void()> task = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    task();
    task = nullptr;  // What it captured dies outside the lock.
    lock.lock();
  }
}

}  // namespace weir::http
