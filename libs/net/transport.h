#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "libs/net/loop.h"
#include "libs/net/socket.h"
#include "libs/net/tls.h"

namespace weir::net {

// One connected socket of a loop, plain or TLS: direct non-blocking calls, what does not go out at once is kept.
class Transport {
 public:
  static constexpr ssize_t kAgain = 0;
  static constexpr ssize_t kEof = -1;
  static constexpr ssize_t kBroken = -2;

  // Registers with the loop; events go to `watcher`, which hands them to RecordEvents first.
  Status Open(Loop& loop, Fd fd, Watcher* watcher);
  void StartTls(std::unique_ptr<TlsSession> tls) { tls_ = std::move(tls); }
  enum class End : uint8_t {
    kGoodbye,  // All was said: with close_notify when TLS is up and nothing is unsent.
    kCut,      // Something is missing: never with close_notify, so that nobody takes it for the whole (RFC 8446 6.1).
    kReset,    // The same where only the end of the connection ends a message: the peer sees a reset; unsent is lost.
  };
  void Close(End end = End::kGoodbye);
  // Says goodbye and ends our direction, as soon as what is unsent has left.
  void ShutdownWrite();

  // Remembers what the events say about reading and hanging up. Called first in Watcher::OnEvents.
  void RecordEvents(uint32_t events);
  // > 0 bytes into `buffer`, or kAgain, kEof, kBroken. After kAgain the next event brings more.
  ssize_t Read(char* buffer, size_t size);
  // May there be bytes to read without a new event?
  bool readable() const { return readable_ || (tls_ != nullptr && tls_->HasPending()); }
  // The peer has closed its side and nothing is left to read. Looks at the socket; only after a hang-up event.
  bool PeerGone();

  // Sends all pieces in order; what the kernel does not take is kept. False = broken.
  bool Send(const iovec* pieces, int count);
  bool Send(std::string_view bytes);
  bool Flush();  // Tries to send what is kept. False = broken.
  size_t unsent() const { return queue_.size() - sent_; }

  bool is_open() const { return static_cast<bool>(fd_); }
  int fd() const { return fd_.get(); }
  TlsSession* tls() { return tls_.get(); }
  const TlsSession* tls() const { return tls_.get(); }
  bool hung_up() const { return hung_up_; }
  Loop& loop() { return *loop_; }

  // For TlsSession only: the raw socket.
  ssize_t RawRead(char* buffer, size_t size);
  bool FlushCipher();

 private:
  bool SendRaw(const iovec* pieces, int count);
  void Keep(const iovec* pieces, int count, size_t skip);

  Loop* loop_ = nullptr;
  Fd fd_;
  bool readable_ = false;
  bool hung_up_ = false;
  bool shut_when_sent_ = false;
  std::unique_ptr<TlsSession> tls_;
  std::string queue_;
  size_t sent_ = 0;  // Of queue_.
};

}  // namespace weir::net
