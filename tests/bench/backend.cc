// weir-bench-backend ADDRESS:PORT BODY_BYTES: one thread, one precomputed keep-alive answer for every request.
// Cheap on purpose: what is measured is the proxy in front of it.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <unordered_map>

namespace {

struct Connection {
  std::string in;   // An unfinished head.
  std::string out;  // What the socket did not take.
};

bool Flush(int fd, Connection& c) {
  while (!c.out.empty()) {
    const ssize_t n = ::send(fd, c.out.data(), c.out.size(), MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    c.out.erase(0, static_cast<size_t>(n));
  }
  return true;
}

// Answers every complete head (requests carry no body). False: close.
bool Serve(int fd, Connection& c, const std::string& answer) {
  static char buffer[65536];
  for (;;) {
    const ssize_t n = ::recv(fd, buffer, sizeof(buffer), 0);
    if (n == 0) return false;
    if (n < 0) return errno == EAGAIN;
    std::string_view data(buffer, static_cast<size_t>(n));
    if (!c.in.empty()) data = c.in.append(data);
    size_t at = 0;
    for (size_t end; (end = data.find("\r\n\r\n", at)) != std::string_view::npos; at = end + 4) {
      if (c.out.empty()) {
        const ssize_t sent = ::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) return false;
        if (static_cast<size_t>(sent < 0 ? 0 : sent) < answer.size()) c.out = answer.substr(sent < 0 ? 0 : sent);
      } else {
        c.out += answer;
      }
    }
    c.in = std::string(data.substr(at));
    if (static_cast<size_t>(n) < sizeof(buffer)) return true;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fprintf(stderr, "usage: weir-bench-backend ADDRESS:PORT BODY_BYTES\n"), 2;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const std::string where = argv[1];
  const size_t colon = where.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::atoi(where.c_str() + colon + 1)));
  ::inet_pton(AF_INET, where.substr(0, colon).c_str(), &address.sin_addr);
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 || ::listen(listener, 4096) != 0) {
    return std::perror(argv[1]), 1;
  }
  const size_t body = static_cast<size_t>(std::atol(argv[2]));
  const std::string answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(body) +
                             "\r\n\r\n" + std::string(body, 'w');
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listener;
  ::epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
  std::unordered_map<int, Connection> connections;
  for (epoll_event events[256];;) {
    const int count = ::epoll_wait(epoll, events, 256, -1);
    for (int i = 0; i < count; ++i) {
      const int fd = events[i].data.fd;
      if (fd == listener) {
        for (int client; (client = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
          ::setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
          connections[client] = {};
          event.events = EPOLLIN | EPOLLOUT | EPOLLET;
          event.data.fd = client;
          ::epoll_ctl(epoll, EPOLL_CTL_ADD, client, &event);
        }
        continue;
      }
      Connection& c = connections[fd];
      if (!Flush(fd, c) || !Serve(fd, c, answer)) {
        ::close(fd);
        connections.erase(fd);
      }
    }
  }
}
