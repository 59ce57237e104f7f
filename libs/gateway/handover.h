#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "libs/base/result.h"
#include "libs/net/socket.h"

namespace weir::gateway {

// How a gateway hands its listening sockets to its successor (docs/operating/upgrade.md): a unix socket
// <state_dir>/handover.sock (0600, the peer must be of our user), SOCK_SEQPACKET, every message begins with the
// version and its kind, descriptors travel by SCM_RIGHTS:
//
//   successor                     running gateway
//     hello            ─────►
//                      ◄─────     sockets (names, descriptors) …, end (how many)   or   refused (why)
//     ... starts, becomes ready, accepts ...
//     go               ─────►
//                      ◄─────     done: it accepts no more, drains and ends
//
// Whoever stops talking before "go" has changed nothing: the running gateway goes on.

inline constexpr uint8_t kHandoverVersion = 1;
inline constexpr size_t kHandoverSockets = 4096;  // At most.

// A descriptor and what it is: "listener 10.0.0.1:443", "admin unix:/…", "probes 0.0.0.0:15021", "lock".
struct HandedSocket {
  std::string name;
  net::Fd fd;
};

struct HandoverTimes {
  std::chrono::milliseconds answer{5'000};   // For every single message.
  std::chrono::milliseconds ready{120'000};  // From the sockets to "go".
  std::chrono::milliseconds done{10'000};    // From "go" to "done".
};

// The side of the running gateway. One successor at a time.
class HandoverDoor {
 public:
  struct Callbacks {
    std::function<Result<std::vector<HandedSocket>>()> sockets;  // Copies.
    std::function<void()> go;       // Stops accepting; returns when nobody accepts any more.
    std::function<void()> aborted;  // The successor went away before "go".
  };

  // Takes the path over from whoever had it; on a thread of its own. FAILED_PRECONDITION HANDOVER_SOCKET.
  static Result<std::unique_ptr<HandoverDoor>> Start(const std::string& folder, Callbacks callbacks,
                                                     HandoverTimes times = {});
  ~HandoverDoor();  // Joins; the path is removed unless it was handed over.

 private:
  HandoverDoor(std::string folder, net::Fd listening, net::Fd wake, Callbacks callbacks, HandoverTimes times);
  void Run();
  void Serve(int fd);
  Status SendSockets(int fd);

  const std::string folder_;
  const net::Fd listening_;
  const net::Fd wake_;
  const Callbacks callbacks_;
  const HandoverTimes times_;
  std::atomic<bool> gone_{false};
  std::thread thread_;
};

// The side of the successor: what it has from its predecessor.
class Predecessor {
 public:
  // NOT_FOUND NO_PREDECESSOR when nobody runs there; FAILED_PRECONDITION HANDOVER_REFUSED with its reason,
  // PERMISSION_DENIED of another user, UNAVAILABLE when it does not answer in time.
  static Result<std::unique_ptr<Predecessor>> Connect(const std::string& folder, HandoverTimes times = {});

  // Takes the sockets whose name begins with `prefix` out, prefix removed.
  std::vector<HandedSocket> Take(std::string_view prefix);
  // Tells the predecessor that we accept now; returns when it does not any more, or is gone.
  Status AnnounceAccepting();

 private:
  Predecessor(net::Fd fd, HandoverTimes times) : fd_(std::move(fd)), times_(times) {}
  Status Receive();

  const net::Fd fd_;
  const HandoverTimes times_;
  std::vector<HandedSocket> sockets_;
};

// Holds <folder>/lock (flock); who has the descriptor holds it, so it can be handed on.
// FAILED_PRECONDITION STATE_IN_USE when another gateway runs there.
Result<net::Fd> LockFolder(const std::string& folder);

}  // namespace weir::gateway
