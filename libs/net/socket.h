#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "libs/base/fd.h"
#include "libs/base/result.h"

namespace weir::net {

using weir::Fd;

// An IP and a port, ready for the kernel.
class Address {
 public:
  Address() = default;
  // IPv4 or IPv6 text, no names, no scope. INVALID_ARGUMENT BAD_ADDRESS.
  static Result<Address> Parse(std::string_view ip, uint16_t port);
  static Address From(const sockaddr* address, socklen_t size);

  const sockaddr* data() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t size() const { return size_; }
  int family() const { return storage_.ss_family; }
  uint16_t port() const;
  std::string Ip() const;        // "127.0.0.1", "::1"
  std::string ToString() const;  // "127.0.0.1:80", "[::1]:80"

 private:
  sockaddr_storage storage_{};
  socklen_t size_ = 0;
};

// Binds once without SO_REUSEPORT, so that a foreign owner of the address is noticed instead of shared with.
// FAILED_PRECONDITION ADDRESS_IN_USE names the address; INVALID_ARGUMENT BAD_ADDRESS when it is not of this machine.
Status ProbeAddress(const Address& address);
// A non-blocking listening socket with SO_REUSEPORT; same errors.
Result<Fd> ListenShared(const Address& address, int backlog = 4096);
Result<uint16_t> BoundPort(int fd);
Result<Fd> Duplicate(int fd);  // A second descriptor of the same socket, closed on exec.
// Errors that say nothing about a peer: this process or machine has no descriptor, buffer or port left.
bool IsLocalShortage(int error);
// Starts a non-blocking connect (TCP_NODELAY); `source` may be null. UNAVAILABLE when refused on the spot,
// RESOURCE_EXHAUSTED LOCAL_SHORTAGE as above.
Result<Fd> StartConnect(const Address& to, const Address* source);
void SetNoDelay(int fd);

}  // namespace weir::net
