#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string_view>
#include <utility>

namespace weir {

// A connection from `source`, an address of this machine, to a port of 127.0.0.1; it says no more than it is told to.
class Stranger {
 public:
  Stranger(const char* source, int port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const sockaddr_in from = Address(source, 0);
    const sockaddr_in to = Address("127.0.0.1", port);
    const int on = 1;
    setsockopt(fd_, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    connected_ = bind(fd_, reinterpret_cast<const sockaddr*>(&from), sizeof from) == 0 &&
                 connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
  }
  Stranger(Stranger&& other) noexcept : fd_(std::exchange(other.fd_, -1)), connected_(other.connected_) {}
  ~Stranger() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }
  bool connected() const { return connected_; }
  void Say(std::string_view bytes) {
    EXPECT_EQ(send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  bool Closed() const {  // By the other side.
    pollfd polled{fd_, POLLRDHUP, 0};
    return poll(&polled, 1, 0) > 0;
  }

 private:
  static sockaddr_in Address(const char* text, int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    inet_pton(AF_INET, text, &address.sin_addr);
    return address;
  }
  int fd_;
  bool connected_ = false;
};

}  // namespace weir
