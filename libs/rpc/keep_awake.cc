#include "libs/rpc/keep_awake.h"

#include <grpcpp/alarm.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/byte_buffer.h>

#include <chrono>
#include <memory>

#include "libs/base/mutex.h"
#include "libs/rpc/time.h"

namespace weir::rpc {
namespace {

constexpr std::chrono::milliseconds kInterval{200};

class Heart {
 public:
  static Heart& Of() {
    static auto* const heart = new Heart;  // Never destroyed: gRPC's threads may still be in it at the end.
    return *heart;
  }

  void Hold() {
    MutexLock lock(mutex_);
    if (++holders_ == 1 && round_ == nullptr) Next();
  }
  void Release() {
    MutexLock lock(mutex_);
    if (--holders_ == 0 && round_ != nullptr) round_->alarm.Cancel();
  }
  size_t holders() {
    MutexLock lock(mutex_);
    return holders_;
  }
  bool beating() {
    MutexLock lock(mutex_);
    return round_ != nullptr;
  }
  uint64_t beats() {
    MutexLock lock(mutex_);
    return beats_;
  }

 private:
  // An alarm, then a call that fails at once: its end is the event. (A callback alarm alone uses no queue.)
  struct Round {
    grpc::Alarm alarm;
    grpc::ClientContext context;
    grpc::Slice nothing;
    grpc::ByteBuffer request{&nothing, 1};  // One without a slice is no message.
    grpc::ByteBuffer response;
  };

  // A round that was cancelled, or that finds nobody left, is the last until somebody comes again.
  void Next() WEIR_REQUIRES(mutex_) {
    round_ = std::make_shared<Round>();
    // The alarm keeps its callback as long as it lives: a callback that held the round would keep it for ever.
    round_->alarm.Set(DeadlineIn(kInterval), [this](bool) { Beat(); });
  }

  void Beat() {
    std::shared_ptr<Round> round;
    {
      MutexLock lock(mutex_);
      round = round_;
      if (holders_ == 0) round_.reset();
      if (round_ == nullptr) return;
    }
    nowhere_.UnaryCall(&round->context, "/", {}, &round->request, &round->response, [this, round](grpc::Status) {
      MutexLock lock(mutex_);
      ++beats_;
      round_.reset();
      if (holders_ > 0) Next();
    });
  }

  Mutex mutex_;
  size_t holders_ WEIR_GUARDED_BY(mutex_) = 0;
  uint64_t beats_ WEIR_GUARDED_BY(mutex_) = 0;
  std::shared_ptr<Round> round_ WEIR_GUARDED_BY(mutex_);
  // Without credentials gRPC makes a channel on which every call fails.
  grpc::GenericStub nowhere_{grpc::CreateChannel("", nullptr)};
};

}  // namespace

KeepAwake::KeepAwake() { Heart::Of().Hold(); }
KeepAwake::~KeepAwake() { Heart::Of().Release(); }
size_t KeepAwake::Holders() { return Heart::Of().holders(); }
bool KeepAwake::Beating() { return Heart::Of().beating(); }
uint64_t KeepAwake::Beats() { return Heart::Of().beats(); }

}  // namespace weir::rpc
