// weir-bench-load ADDRESS:PORT HOST CONNECTIONS SECONDS [headers]: one thread, HTTP/1.1 keep-alive closed loop.
// Prints one JSON line {done, errors, p50_us, p99_us}; every answer must be 200 with a Content-Length that arrives
// whole.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

// Like a browser's; about 650 bytes.
constexpr char kBrowserHeaders[] =
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    "Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\nAccept-Encoding: gzip, deflate, br\r\n"
    "Referer: https://servicea.example.com/catalogue/index\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes\r\n"
    "Cache-Control: no-cache\r\nPragma: no-cache\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n"
    "Sec-Fetch-Site: same-origin\r\n";

struct Connection {
  int fd = -1;
  std::string head;     // Until the blank line.
  long body_left = -1;  // -1: still reading the head.
  Clock::time_point sent;
};

struct Totals {
  long done = 0;
  long errors = 0;
  std::vector<unsigned> micros;
};

int Connect(const sockaddr_in& address) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    ::close(fd);
    return -1;
  }
  return fd;
}

bool Send(Connection& c, const std::string& request) {
  c.head.clear();
  c.body_left = -1;
  c.sent = Clock::now();
  return ::send(c.fd, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size());
}

// One more piece of an answer. 1 = complete, 0 = goes on, -1 = wrong.
int Take(Connection& c, std::string_view data) {
  if (c.body_left < 0) {
    c.head.append(data);
    const size_t end = c.head.find("\r\n\r\n");
    if (end == std::string::npos) return c.head.size() > 65536 ? -1 : 0;
    if (c.head.compare(0, 12, "HTTP/1.1 200") != 0) return -1;
    const char* length = ::strcasestr(c.head.c_str(), "\r\ncontent-length:");
    if (length == nullptr) return -1;
    c.body_left = std::atol(length + 17) - static_cast<long>(c.head.size() - end - 4);
  } else {
    c.body_left -= static_cast<long>(data.size());
  }
  return c.body_left < 0 ? -1 : c.body_left == 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5)
    return std::fprintf(stderr, "usage: weir-bench-load ADDRESS:PORT HOST CONNECTIONS SECONDS [headers]\n"), 2;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const std::string where = argv[1];
  const size_t colon = where.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::atoi(where.c_str() + colon + 1)));
  ::inet_pton(AF_INET, where.substr(0, colon).c_str(), &address.sin_addr);
  const std::string request = "GET /catalogue/item?id=1 HTTP/1.1\r\nHost: " + std::string(argv[2]) + "\r\n" +
                              (argc > 5 ? kBrowserHeaders : "Accept: */*\r\n") + "\r\n";
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  std::vector<Connection> connections(static_cast<size_t>(std::atoi(argv[3])));
  Totals totals;
  const auto open = [&](size_t i) {
    Connection& c = connections[i];
    c.fd = Connect(address);
    if (c.fd < 0) return false;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, c.fd, &event);
    return Send(c, request);
  };
  for (size_t i = 0; i < connections.size(); ++i) {
    if (!open(i)) return std::fprintf(stderr, "weir-bench-load: cannot connect to %s\n", argv[1]), 1;
  }
  const auto end = Clock::now() + std::chrono::duration<double>(std::atof(argv[4]));
  static char buffer[262144];
  for (epoll_event events[256]; Clock::now() < end;) {
    const int count = ::epoll_wait(epoll, events, 256, 100);
    for (int i = 0; i < count; ++i) {
      Connection& c = connections[events[i].data.u64];
      const ssize_t n = ::recv(c.fd, buffer, sizeof(buffer), MSG_DONTWAIT);
      if (n < 0 && errno == EAGAIN) continue;
      const int state = n <= 0 ? -1 : Take(c, std::string_view(buffer, static_cast<size_t>(n)));
      if (state == 0) continue;
      if (state == 1) {
        ++totals.done;
        totals.micros.push_back(static_cast<unsigned>(
            std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - c.sent).count()));
        if (Send(c, request)) continue;
      }
      ++totals.errors;
      ::close(c.fd);
      if (totals.errors > 1000 || !open(events[i].data.u64))
        return std::fprintf(stderr, "weir-bench-load: too many errors\n"), 1;
    }
  }
  std::sort(totals.micros.begin(), totals.micros.end());
  const auto at = [&](double q) {
    return totals.micros.empty() ? 0u : totals.micros[static_cast<size_t>(q * (totals.micros.size() - 1))];
  };
  std::printf("{\"done\": %ld, \"errors\": %ld, \"p50_us\": %u, \"p99_us\": %u}\n", totals.done, totals.errors, at(0.5),
              at(0.99));
}
