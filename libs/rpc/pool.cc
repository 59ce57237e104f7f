#include "libs/rpc/pool.h"

#include <algorithm>

#include "libs/base/mutex.h"
#include "libs/rpc/status.h"

namespace weir::rpc {

Pool::Pool(size_t threads, size_t queue_limit) : queue_limit_(queue_limit) {
  threads = std::clamp<size_t>(threads, 1, 256);
  for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

Pool::~Pool() { Stop(); }

bool Pool::Post(std::function<void()> work) {
  {
    MutexLock lock(mutex_);
    if (stopped_ || queue_.size() >= queue_limit_) return false;
    queue_.push_back(std::move(work));
  }
  wake_.NotifyOne();
  return true;
}

void Pool::Stop() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
  }
  wake_.NotifyAll();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void Pool::Run() {
  while (true) {
    std::function<void()> work;
    {
      MutexLock lock(mutex_);
      wake_.Wait(mutex_, [this]() WEIR_REQUIRES(mutex_) { return stopped_ || !queue_.empty(); });
      if (queue_.empty()) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
  }
}

grpc::ServerUnaryReactor* RunOn(Pool& pool, grpc::CallbackServerContext* context, std::function<grpc::Status()> work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (!pool.Post([reactor, work = std::move(work)] { reactor->Finish(work()); })) {
    reactor->Finish(ToGrpc(ResourceExhausted("POOL_FULL", "the server is busy; try again")));
  }
  return reactor;
}

}  // namespace weir::rpc
