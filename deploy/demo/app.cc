// weir-demo-app: the smallest service one can put behind a pod proxy. Answers every request with the cluster and pod
// that served it. One thread, epoll, plain HTTP/1.1 with keep-alive; pod proxies are its only callers.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <unordered_map>

#include "libs/base/result.h"

namespace weir::demo {
namespace {

constexpr size_t kMaxHead = 64 * 1024;
constexpr size_t kMaxConnections = 4096;
constexpr size_t kMaxUnsent = 256 * 1024;

struct Connection {
  std::string in;
  std::string out;
  uint64_t body_left = 0;  // Of the current request: read and forgotten.
  bool closing = false;    // After `out` is sent.
};

struct App {
  int listener = -1;
  int epoll = -1;
  std::string cluster;
  std::string pod;
  std::string body;
  std::unordered_map<int, Connection> connections;
};

volatile sig_atomic_t stopping = 0;

bool HasToken(std::string_view head, std::string_view name, std::string_view token) {
  // `head` is in lower case.
  for (size_t at = head.find("\r\n"); at != std::string_view::npos; at = head.find("\r\n", at + 2)) {
    const std::string_view line = head.substr(at + 2, head.find("\r\n", at + 2) - at - 2);
    if (line.starts_with(name) && line.substr(name.size()).starts_with(":"))
      return line.find(token, name.size()) != std::string_view::npos;
  }
  return false;
}

uint64_t ContentLength(std::string_view head) {
  const size_t at = head.find("\r\ncontent-length:");
  if (at == std::string_view::npos) return 0;
  size_t begin = at + 17;
  while (begin < head.size() && head[begin] == ' ') ++begin;
  uint64_t length = 0;
  std::from_chars(head.data() + begin, head.data() + head.size(), length);
  return length;
}

void Answer(const App& app, std::string head, Connection& connection) {
  std::transform(head.begin(), head.end(), head.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  connection.body_left = ContentLength(head);
  // A chunked body is not read: the answer says that the connection ends here.
  connection.closing = HasToken(head, "connection", "close") || HasToken(head, "transfer-encoding", "") ||
                       head.find(" http/1.0\r\n") != std::string::npos;
  if (HasToken(head, "expect", "100-continue") && connection.body_left > 0)
    connection.out += "HTTP/1.1 100 Continue\r\n\r\n";
  connection.out += fmt::format(
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nX-Served-By: {}\r\n{}\r\n",
      app.body.size(), app.cluster, connection.closing ? "Connection: close\r\n" : "");
  if (!head.starts_with("head ")) connection.out += app.body;
}

void Consume(const App& app, Connection& connection) {
  while (!connection.closing && !connection.in.empty()) {
    const uint64_t skipped = std::min<uint64_t>(connection.body_left, connection.in.size());
    connection.in.erase(0, skipped);
    connection.body_left -= skipped;
    if (connection.body_left > 0 || connection.in.empty()) return;
    const size_t end = connection.in.find("\r\n\r\n");
    if (end == std::string::npos) {
      if (connection.in.size() > kMaxHead) connection.closing = true;
      return;
    }
    std::string head = connection.in.substr(0, end + 2);
    connection.in.erase(0, end + 4);
    Answer(app, std::move(head), connection);
  }
}

void Watch(const App& app, int fd, uint32_t events, int operation) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  epoll_ctl(app.epoll, operation, fd, &event);
}

// False: the connection is over.
bool Serve(App& app, int fd, Connection& connection) {
  char buffer[16384];
  while (!connection.closing && connection.out.size() < kMaxUnsent) {
    const ssize_t got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got == 0) return false;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK) return false;
    if (got < 0) break;
    connection.in.append(buffer, static_cast<size_t>(got));
    Consume(app, connection);
  }
  while (!connection.out.empty()) {
    const ssize_t sent = send(fd, connection.out.data(), connection.out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK) return false;
    if (sent < 0) break;
    connection.out.erase(0, static_cast<size_t>(sent));
  }
  if (connection.closing && connection.out.empty()) return false;
  Watch(app, fd, EPOLLIN | (connection.out.empty() ? 0u : static_cast<uint32_t>(EPOLLOUT)), EPOLL_CTL_MOD);
  return true;
}

void Accept(App& app) {
  while (app.connections.size() < kMaxConnections) {
    const int fd = accept4(app.listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    app.connections[fd];
    Watch(app, fd, EPOLLIN, EPOLL_CTL_ADD);
  }
}

void Run(App& app) {
  epoll_event events[64];
  while (!stopping) {
    const int ready = epoll_wait(app.epoll, events, 64, 1000);
    for (int i = 0; i < ready; ++i) {
      const int fd = events[i].data.fd;
      if (fd == app.listener) {
        Accept(app);
        continue;
      }
      const auto connection = app.connections.find(fd);
      if (connection == app.connections.end() || Serve(app, fd, connection->second)) continue;
      close(fd);
      app.connections.erase(connection);
    }
  }
}

Result<int> Listen(const std::string& where) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  const size_t colon = where.rfind(':');
  const int port = colon == std::string::npos ? -1 : std::atoi(where.c_str() + colon + 1);
  if (port < 0 || port > 65535 || inet_pton(AF_INET, where.substr(0, colon).c_str(), &address.sin_addr) != 1) {
    return InvalidArgument("BAD_ADDRESS", "--listen '{}' is not IPv4:port", where);
  }
  address.sin_port = htons(static_cast<uint16_t>(port));
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(fd, 1024) != 0) {
    const int why = errno;
    close(fd);
    return FailedPrecondition("ADDRESS_IN_USE", "cannot listen on {}: {}", where, std::strerror(why));
  }
  socklen_t length = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  fmt::print("listening on {}:{}\n", where.substr(0, colon), ntohs(address.sin_port));
  std::fflush(stdout);
  return fd;
}

int Main(int argc, char** argv) {
  std::string listen_on = "127.0.0.1:8080";
  App app;
  app.cluster = "cluster1";
  app.pod = "pod1";
  for (int i = 1; i < argc; i += 2) {
    const std::string_view flag = argv[i];
    std::string* target = flag == "--listen"    ? &listen_on
                          : flag == "--cluster" ? &app.cluster
                          : flag == "--pod"     ? &app.pod
                                                : nullptr;
    if (target == nullptr || i + 1 == argc) {
      fmt::print(stderr, "usage: weir-demo-app --listen IPv4:port --cluster NAME --pod NAME\n");
      return 2;
    }
    *target = argv[i + 1];
  }
  app.body = fmt::format("{{\"cluster\":\"{}\",\"pod\":\"{}\"}}\n", app.cluster, app.pod);
  const auto listener = Listen(listen_on);
  if (!listener.ok()) {
    fmt::print(stderr, "weir-demo-app: {}\n", listener.error().ToString());
    return 1;
  }
  for (const int number : {SIGTERM, SIGINT}) signal(number, [](int) { stopping = 1; });
  app.listener = *listener;
  app.epoll = epoll_create1(EPOLL_CLOEXEC);
  Watch(app, app.listener, EPOLLIN, EPOLL_CTL_ADD);
  Run(app);
  return 0;
}

}  // namespace
}  // namespace weir::demo

int main(int argc, char** argv) { return weir::demo::Main(argc, argv); }
