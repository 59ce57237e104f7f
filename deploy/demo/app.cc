// weir-demo-app: the smallest service one can put behind a pod proxy. Answers every request with the cluster and pod
// that served it. One thread, epoll, plain HTTP/1.1 with keep-alive; pod proxies are its only callers.
//
// The query says what else a test wants to see:
//   delay=MS    the answer begins so many milliseconds after the request is complete (default 0)
//   bytes=N     the body is N bytes of lines that number themselves, 0 to 4095 in 15 digits and again (default: the
//               JSON of cluster and pod)
//   rate=B      of which B are sent a second (default: as fast as they are taken)
// A request with `X-Demo-Id: ID` is written down on standard output, so that a test can count how often it arrived,
// also when this program was killed afterwards: "request ID" with its head, "body ID LENGTH" when its body was whole.

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
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "libs/base/result.h"

namespace weir::demo {
namespace {

constexpr size_t kMaxHead = 64 * 1024;
constexpr size_t kMaxConnections = 4096;
constexpr size_t kMaxUnsent = 256 * 1024;
constexpr int kTick = 10;  // Milliseconds between two looks at answers that wait for their time.

using Clock = std::chrono::steady_clock;

struct Connection {
  enum class Phase { kHead, kBody, kWait, kStream };

  Phase phase = Phase::kHead;
  std::string in;
  std::string out;
  std::string head;        // Of the current request, in lower case.
  uint64_t body_left = 0;  // Of the current request: read and forgotten.
  Clock::time_point due;   // kWait: when the answer begins; kStream: when it began.
  uint64_t size = 0;       // kStream: of the body, of which `sent` are in `out` or gone.
  uint64_t sent = 0;
  uint64_t rate = 0;     // Bytes a second; 0 = as fast as they are taken.
  bool closing = false;  // After `out` is sent.

  bool Reads() const { return !closing && (phase == Phase::kHead || phase == Phase::kBody); }
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

// Of a head in lower case; "" = absent.
std::string_view Header(std::string_view head, std::string_view name) {
  for (size_t at = head.find("\r\n"); at != std::string_view::npos; at = head.find("\r\n", at + 2)) {
    std::string_view line = head.substr(at + 2, head.find("\r\n", at + 2) - at - 2);
    if (!line.starts_with(name) || !line.substr(name.size()).starts_with(":")) continue;
    line.remove_prefix(name.size() + 1);
    while (line.starts_with(' ')) line.remove_prefix(1);
    return line;
  }
  return {};
}

uint64_t Number(std::string_view text) {
  uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// Of the query of the request line; 0 = absent.
uint64_t Asked(std::string_view head, std::string_view name) {
  const std::string_view line = head.substr(0, head.find("\r\n"));
  for (size_t at = line.find('?'); at != std::string_view::npos; at = line.find('&', at + 1)) {
    const std::string_view rest = line.substr(at + 1);
    if (rest.starts_with(name) && rest.substr(name.size()).starts_with("="))
      return Number(rest.substr(name.size() + 1));
  }
  return 0;
}

void Note(const Connection& connection, std::string_view what, std::string_view more) {
  const std::string_view id = Header(connection.head, "x-demo-id").substr(0, 128);
  if (id.empty()) return;
  const std::string line = fmt::format("{} {}{}\n", what, id, more);
  [[maybe_unused]] const ssize_t written = write(STDOUT_FILENO, line.data(), line.size());
}

void BeginRequest(std::string head, Connection& connection) {
  std::transform(head.begin(), head.end(), head.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  connection.head = std::move(head);
  connection.body_left = Number(Header(connection.head, "content-length"));
  connection.phase = Connection::Phase::kBody;
  Note(connection, "request", "");
  if (Header(connection.head, "expect") == "100-continue" && connection.body_left > 0)
    connection.out += "HTTP/1.1 100 Continue\r\n\r\n";
}

void EndRequest(Connection& connection) {
  Note(connection, "body", fmt::format(" {}", Number(Header(connection.head, "content-length"))));
  connection.due = Clock::now() + std::chrono::milliseconds(Asked(connection.head, "delay"));
  connection.phase = Connection::Phase::kWait;
}

void BeginAnswer(const App& app, Connection& connection) {
  const std::string& head = connection.head;
  // A chunked body is not read: the answer says that the connection ends here.
  const bool last = Header(head, "connection").find("close") != std::string_view::npos ||
                    !Header(head, "transfer-encoding").empty() || head.find(" http/1.0\r\n") != std::string::npos;
  connection.size = Asked(head, "bytes");
  connection.rate = Asked(head, "rate");
  connection.sent = 0;
  const bool numbered = connection.size > 0;
  connection.out +=
      fmt::format("HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: {}\r\nX-Served-By: {}\r\nX-Pod: {}\r\n{}\r\n",
                  numbered ? "text/plain" : "application/json", numbered ? connection.size : app.body.size(),
                  app.cluster, app.pod, last ? "Connection: close\r\n" : "");
  if (head.starts_with("head ")) {
    connection.size = 0;
  } else if (!numbered) {
    connection.out += app.body;
  }
  connection.phase = Connection::Phase::kStream;
  if (last) connection.in.clear();
  connection.head = last ? "close" : "";
}

// 4096 lines, each its own number in 15 digits; a body repeats them.
const std::string& Lines() {
  static const std::string lines = [] {
    std::string out;
    for (int line = 0; line < 4096; ++line) out += fmt::format("{:015}\n", line);
    return out;
  }();
  return lines;
}

// The next of the body, as far as time and the bound of what is unsent allow.
void Stream(Connection& connection) {
  uint64_t until = connection.size;
  if (connection.rate > 0) {
    const std::chrono::duration<double> since = Clock::now() - connection.due;
    until = std::min(until, static_cast<uint64_t>(since.count() * static_cast<double>(connection.rate)));
  }
  while (connection.sent < until && connection.out.size() < kMaxUnsent) {
    const uint64_t from = connection.sent % Lines().size();
    const uint64_t size = std::min(Lines().size() - from, until - connection.sent);
    connection.out.append(Lines(), from, size);
    connection.sent += size;
  }
  if (connection.sent < connection.size) return;
  connection.closing = connection.head == "close";
  connection.phase = Connection::Phase::kHead;
}

// Goes on with what is there until it must wait: for bytes, for time, or for the peer to take what it has got.
void Advance(const App& app, Connection& connection) {
  using Phase = Connection::Phase;
  while (!connection.closing) {
    if (connection.phase == Phase::kHead) {
      const size_t end = connection.in.find("\r\n\r\n");
      if (end == std::string::npos) {
        connection.closing = connection.in.size() > kMaxHead;
        return;
      }
      std::string head = connection.in.substr(0, end + 2);
      connection.in.erase(0, end + 4);
      BeginRequest(std::move(head), connection);
    } else if (connection.phase == Phase::kBody) {
      const uint64_t skipped = std::min<uint64_t>(connection.body_left, connection.in.size());
      connection.in.erase(0, skipped);
      connection.body_left -= skipped;
      if (connection.body_left > 0) return;
      EndRequest(connection);
    } else if (connection.phase == Phase::kWait) {
      if (Clock::now() < connection.due) return;
      BeginAnswer(app, connection);
    } else {
      Stream(connection);
      if (connection.phase == Phase::kStream) return;
    }
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
  Advance(app, connection);
  while (connection.Reads() && connection.out.size() < kMaxUnsent) {
    const ssize_t got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got == 0) return false;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK) return false;
    if (got < 0) break;
    connection.in.append(buffer, static_cast<size_t>(got));
    Advance(app, connection);
  }
  while (!connection.out.empty()) {
    const ssize_t sent = send(fd, connection.out.data(), connection.out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK) return false;
    if (sent < 0) break;
    connection.out.erase(0, static_cast<size_t>(sent));
  }
  if (connection.closing && connection.out.empty()) return false;
  Watch(app, fd,
        (connection.Reads() ? static_cast<uint32_t>(EPOLLIN) : 0u) |
            (connection.out.empty() ? 0u : static_cast<uint32_t>(EPOLLOUT)),
        EPOLL_CTL_MOD);
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

void ServeOrEnd(App& app, int fd, uint32_t events) {
  const auto connection = app.connections.find(fd);
  if (connection == app.connections.end()) return;
  if ((events & EPOLLERR) == 0 && Serve(app, fd, connection->second)) return;
  close(fd);
  app.connections.erase(connection);
}

void Run(App& app) {
  epoll_event events[64];
  std::vector<int> waiting;  // For time, not for bytes.
  while (!stopping) {
    const int ready = epoll_wait(app.epoll, events, 64, waiting.empty() ? 1000 : kTick);
    for (int i = 0; i < ready; ++i) {
      const int fd = events[i].data.fd;
      if (fd == app.listener)
        Accept(app);
      else
        ServeOrEnd(app, fd, events[i].events);
    }
    for (const int fd : waiting) ServeOrEnd(app, fd, 0);
    waiting.clear();
    for (const auto& [fd, connection] : app.connections) {
      if (!connection.closing && !connection.Reads() && connection.out.empty()) waiting.push_back(fd);
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
