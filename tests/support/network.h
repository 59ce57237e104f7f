#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "libs/base/result.h"
#include "tests/support/process.h"

namespace weir::test {

// A network of this process's own: loopback and nothing else, seen by its children too, gone with them. Every program
// of a Fleet has an address of its own there, so that rules by address cut exactly one link and one direction.
class PrivateNetwork {
 public:
  // Once, before any thread or child is started. Needs root, or a kernel that gives users namespaces, and nft:
  // FAILED_PRECONDITION NO_PRIVATE_NETWORK says what is missing.
  static Status Enter();

  // Packets from `from` to `to` vanish: IPv4 address or prefix ("127.70.1.0/24"), `port` of either end (0 = all). One
  // way; connections stay open and silent, as when a cable is cut.
  static Status Drop(const std::string& from, const std::string& to, uint16_t port = 0);
  // The same for some of the packets.
  static Status Lose(const std::string& from, const std::string& to, unsigned percent);
  // New connections from `from` to `to`:`port` arrive at `at`:`at_port` instead.
  static Status Redirect(const std::string& from, const std::string& to, uint16_t port, const std::string& at,
                         uint16_t at_port);
  // Takes back every Drop and Lose.
  static Status Heal();
};

// Stands between two ends and hands on every byte late. In its own thread.
class DelayRelay {
 public:
  // Accepts on listen:port and connects from `listen` to target:target_port.
  static Result<std::unique_ptr<DelayRelay>> Start(std::string listen, uint16_t port, std::string target,
                                                   uint16_t target_port);
  ~DelayRelay();
  void SetDelay(Milliseconds one_way) { delay_ = one_way; }
  uint64_t connections() const { return connections_; }

 private:
  DelayRelay(int listener, std::string from, std::string target, uint16_t target_port);
  void Run();
  int Dial() const;

  const int listener_;
  const std::string from_, target_;
  const uint16_t target_port_;
  std::atomic<Milliseconds> delay_{Milliseconds(0)};
  std::atomic<uint64_t> connections_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace weir::test
