#pragma once

#include <cstddef>
#include <cstdint>

namespace weir::rpc {

// Whoever holds a stream open holds one of these: while there is one in the process, gRPC's threads do not sleep.
//
// gRPC's callback API polls its queue with two threads; each of them sleeps 100 ms after a second in which it had
// nothing to do (grpc 1.51, completion_queue_cc.cc, CallbackAlternativeCQ). When both sleep nobody reads any socket, so
// a message that comes about a second after the last one waits up to 100 ms. A call to nowhere each 200 ms keeps at
// least one thread awake: between two of its sleeps the other has had an event within 200 ms. It costs about 50 us.
// Thread-safe.
class KeepAwake {
 public:
  KeepAwake();
  ~KeepAwake();
  KeepAwake(const KeepAwake&) = delete;
  KeepAwake& operator=(const KeepAwake&) = delete;

  static size_t Holders();
  static bool Beating();    // A beat is to come; false soon after the last holder has gone.
  static uint64_t Beats();  // Events so far; stands still while nobody holds one.
};

}  // namespace weir::rpc
