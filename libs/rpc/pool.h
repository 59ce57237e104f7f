#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "libs/base/mutex.h"

namespace weir::rpc {

// Where blocking handlers run, so that gRPC's own threads never wait. Both bounds are fixed at the start.
class Pool {
 public:
  Pool(size_t threads, size_t queue_limit);  // threads 1 to 256.
  ~Pool();                                   // Stop().
  // False: full or stopped; shed the load (RESOURCE_EXHAUSTED).
  bool Post(std::function<void()> work);
  // Finishes what is queued and joins. Not from a thread of the pool.
  void Stop();

 private:
  void Run();
  const size_t queue_limit_;
  Mutex mutex_;
  CondVar wake_;
  std::deque<std::function<void()>> queue_ WEIR_GUARDED_BY(mutex_);
  bool stopped_ WEIR_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

// A unary callback method by a blocking function `work() -> grpc::Status` on the pool; a full pool answers
// RESOURCE_EXHAUSTED POOL_FULL.
grpc::ServerUnaryReactor* RunOn(Pool& pool, grpc::CallbackServerContext* context, std::function<grpc::Status()> work);

}  // namespace weir::rpc
