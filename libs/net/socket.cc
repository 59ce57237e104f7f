#include "libs/net/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace weir::net {
namespace {

Error BindError(const Address& address, int code) {
  if (code == EADDRINUSE) {
    return FailedPrecondition("ADDRESS_IN_USE", "{} is in use by another process", address.ToString());
  }
  return InvalidArgument("BAD_ADDRESS", "cannot listen on {}: {}", address.ToString(), strerror(code));
}

Result<Fd> Bind(const Address& address, bool shared) {
  Fd fd(socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return ResourceExhausted("LOCAL_SHORTAGE", "cannot open a socket: {}", strerror(errno));
  const int one = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (address.family() == AF_INET6) setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
  if (shared) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
  if (bind(fd.get(), address.data(), address.size()) != 0) return BindError(address, errno);
  return fd;
}

}  // namespace

Result<Address> Address::Parse(std::string_view ip, uint16_t port) {
  const std::string text(ip);
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage_);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage_);
  if (inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.size_ = sizeof *v4;
  } else if (inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    address.size_ = sizeof *v6;
  } else {
    return InvalidArgument("BAD_ADDRESS", "\"{}\" is not an IP address", text);
  }
  return address;
}

Address Address::From(const sockaddr* from, socklen_t size) {
  Address address;
  address.size_ = size <= sizeof address.storage_ ? size : socklen_t{sizeof address.storage_};
  std::memcpy(&address.storage_, from, address.size_);
  return address;
}

uint16_t Address::port() const {
  if (family() == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in*>(&storage_)->sin_port);
  if (family() == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_port);
  return 0;
}

std::string Address::Ip() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (family() == AF_INET)
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(&storage_)->sin_addr, text, sizeof text);
  if (family() == AF_INET6) {
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_addr, text, sizeof text);
  }
  return text;
}

std::string Address::ToString() const {
  return family() == AF_INET6 ? fmt::format("[{}]:{}", Ip(), port()) : fmt::format("{}:{}", Ip(), port());
}

Status ProbeAddress(const Address& address) {
  WEIR_ASSIGN(Fd fd, Bind(address, false));
  return {};
}

Result<Fd> ListenShared(const Address& address, int backlog) {
  WEIR_ASSIGN(Fd fd, Bind(address, true));
  if (listen(fd.get(), backlog) != 0) return BindError(address, errno);
  return fd;
}

Result<uint16_t> BoundPort(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) {
    return Internal("NO_SOCKET_NAME", "getsockname: {}", strerror(errno));
  }
  return Address::From(reinterpret_cast<sockaddr*>(&storage), size).port();
}

Result<Fd> Duplicate(int fd) {
  Fd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy) return ResourceExhausted("NO_SOCKET", "cannot duplicate a socket: {}", strerror(errno));
  return copy;
}

void SetNoDelay(int fd) {
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

bool IsLocalShortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM || error == EADDRNOTAVAIL;
}

Result<Fd> StartConnect(const Address& to, const Address* source) {
  Fd fd(socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return ResourceExhausted("NO_SOCKET", "cannot open a socket: {}", strerror(errno));
  if (source != nullptr && source->family() == to.family()) {
    const int one = 1;  // The port is chosen at connect, so that one source address serves many destinations.
    setsockopt(fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(fd.get(), source->data(), source->size()) != 0) {
      return Unavailable("SOURCE_ADDRESS", "cannot connect from {}: {}", source->Ip(), strerror(errno));
    }
  }
  SetNoDelay(fd.get());
  if (connect(fd.get(), to.data(), to.size()) != 0 && errno != EINPROGRESS) {
    if (IsLocalShortage(errno)) {
      return ResourceExhausted("LOCAL_SHORTAGE", "cannot connect to {}: {}", to.ToString(), strerror(errno));
    }
    return Unavailable("CONNECT_FAILED", "cannot connect to {}: {}", to.ToString(), strerror(errno));
  }
  return fd;
}

}  // namespace weir::net
