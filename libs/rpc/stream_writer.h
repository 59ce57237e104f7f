#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <utility>

#include "libs/base/mutex.h"

namespace weir::rpc {

// The one way to write to a callback stream: one write in flight, the rest queued up to a bound. Works for
// grpc::ServerBidiReactor, ServerWriteReactor and ClientBidiReactor. Write and Close may be called from any thread.
//
//   class Session : public grpc::ServerBidiReactor<In, Out> {
//     rpc::StreamWriter<Out, Session> writer_{this, 1024};
//     void OnWriteDone(bool ok) override { writer_.OnWriteDone(ok); }
//     ... writer_.Write(std::move(message));
//     ... writer_.Close([this] { Finish(grpc::Status::OK); });   // client side: StartWritesDone()
//   };
//
// The caller keeps the reactor alive until OnDone (client side: AddHold) and calls Close exactly where it would
// have called Finish or StartWritesDone.
template <typename Message, typename Reactor>
class StreamWriter {
 public:
  StreamWriter(Reactor* reactor, size_t limit) : reactor_(reactor), limit_(limit) {}

  // False: closed, broken or `limit` messages wait already; the message is dropped and the caller decides (usually:
  // close the stream, the peer asks again).
  bool Write(Message message) {
    const Message* next;
    {
      MutexLock lock(mutex_);
      if (closed_ || broken_ || queue_.size() >= limit_) return false;
      queue_.push_back(std::move(message));
      if (in_flight_) return true;
      in_flight_ = true;
      next = &queue_.front();
    }
    // Nobody else starts a write or finishes while in_flight_ is set; a deque keeps its elements in place.
    reactor_->StartWrite(next);
    return true;
  }

  // Runs `finish` once nothing is in flight: after the queue is flushed, or at once (dropping it) if `flush` is
  // false or the stream is broken. Only the first call counts.
  void Close(std::function<void()> finish, bool flush = true) {
    {
      MutexLock lock(mutex_);
      if (closed_) return;
      closed_ = true;
      if (in_flight_) {
        if (!flush) queue_.erase(queue_.begin() + 1, queue_.end());  // The front is in flight.
        finish_ = std::move(finish);
        return;
      }
    }
    finish();
  }

  void OnWriteDone(bool ok) {
    const Message* next = nullptr;
    std::function<void()> finish;
    {
      MutexLock lock(mutex_);
      queue_.pop_front();
      if (!ok) {
        broken_ = true;
        queue_.clear();
      }
      in_flight_ = !queue_.empty();
      if (in_flight_)
        next = &queue_.front();
      else
        finish = std::exchange(finish_, nullptr);
    }
    if (next != nullptr)
      reactor_->StartWrite(next);
    else if (finish)
      finish();
  }

  size_t queued() const {
    MutexLock lock(mutex_);
    return queue_.size();
  }

 private:
  Reactor* const reactor_;
  const size_t limit_;
  mutable Mutex mutex_;
  std::deque<Message> queue_ WEIR_GUARDED_BY(mutex_);
  bool in_flight_ WEIR_GUARDED_BY(mutex_) = false;
  bool closed_ WEIR_GUARDED_BY(mutex_) = false;
  bool broken_ WEIR_GUARDED_BY(mutex_) = false;
  std::function<void()> finish_;
};

}  // namespace weir::rpc
