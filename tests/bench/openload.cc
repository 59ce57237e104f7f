// weir-bench-openload RATE SECONDS HOST CONNECTIONS OUT ADDRESS:PORT…: open loop over kept connections. Request i is
// due i / RATE seconds after the start, whatever became of those before it, and goes to the next address in turn, on an
// idle connection or a new one (at most CONNECTIONS; then it waits and the wait counts). Nothing is sent twice. With
// CONNECTIONS "new" each request has a connection of its own. Writes one line per request to OUT, in order of the
// answers: "due_us latency_us status backend", times of CLOCK_MONOTONIC; status 0 = no whole answer within 15 s, 1 =
// the connection was refused, reset or closed; backend = the header x-served-by or "-".
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr int64_t kPatienceUs = 15'000'000;

int64_t NowUs() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000ll + now.tv_nsec / 1000;
}

struct Connection {
  int fd = -1;
  size_t target = 0;
  int64_t due = -1;  // Of the request under way; -1 = idle.
  bool connecting = false;
  std::string in;
};

struct Load {
  std::vector<sockaddr_in> targets;
  std::string request;
  size_t most = 0;  // Connections.
  bool fresh = false;
  int epoll = -1;
  FILE* out = nullptr;
  std::vector<Connection> connections;
  std::vector<std::vector<size_t>> idle;           // Per target.
  std::vector<size_t> unused;                      // Slots without a socket.
  std::deque<std::pair<int64_t, size_t>> waiting;  // Due, target.
  size_t next_target = 0;

  void Report(int64_t due, int status, std::string_view backend) {
    std::fprintf(out, "%lld %lld %d %.*s\n", static_cast<long long>(due), static_cast<long long>(NowUs() - due), status,
                 static_cast<int>(backend.size()), backend.data());
  }
  void Drop(size_t index) {
    Connection& c = connections[index];
    if (c.fd >= 0) ::close(c.fd);
    c.fd = -1;
    c.due = -1;
    c.in.clear();
    unused.push_back(index);
  }
  void Fail(size_t index, int status) {
    if (connections[index].due >= 0) Report(connections[index].due, status, "-");
    Drop(index);
  }
  void Send(size_t index) {
    Connection& c = connections[index];
    c.in.clear();
    const ssize_t sent = ::send(c.fd, request.data(), request.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent != static_cast<ssize_t>(request.size())) Fail(index, 1);
  }
  bool Start(int64_t due, size_t target) {
    while (!fresh && !idle[target].empty()) {
      const size_t index = idle[target].back();
      idle[target].pop_back();
      connections[index].due = due;
      Send(index);
      return true;
    }
    if (unused.empty()) return false;
    const size_t index = unused.back();
    unused.pop_back();
    Connection& c = connections[index];
    c.target = target;
    c.due = due;
    c.connecting = true;
    c.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    ::setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    const auto* to = reinterpret_cast<const sockaddr*>(&targets[target]);
    if (::connect(c.fd, to, sizeof(sockaddr_in)) != 0 && errno != EINPROGRESS) return Fail(index, 1), true;
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.u64 = index;
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, c.fd, &event);
    return true;
  }
  void Done(size_t index, int status, std::string_view backend) {
    Connection& c = connections[index];
    Report(c.due, status, backend);
    c.due = -1;
    if (fresh || ::strcasestr(c.in.c_str(), "\r\nconnection: close") != nullptr) return Drop(index);
    idle[c.target].push_back(index);
  }
  void Read(size_t index) {
    static char buffer[65536];
    Connection& c = connections[index];
    while (c.fd >= 0) {
      const ssize_t n = ::recv(c.fd, buffer, sizeof(buffer), MSG_DONTWAIT);
      if (n < 0 && errno == EAGAIN) return;
      if (n <= 0 || c.due < 0) {
        if (c.due < 0) std::erase(idle[c.target], index);
        return Fail(index, 1);
      }
      c.in.append(buffer, static_cast<size_t>(n));
      const size_t end = c.in.find("\r\n\r\n");
      if (end == std::string::npos) continue;
      const char* length = ::strcasestr(c.in.c_str(), "\r\ncontent-length:");
      const size_t body = length == nullptr ? 0 : static_cast<size_t>(std::atol(length + 17));
      if (c.in.size() < end + 4 + body) continue;
      std::string_view backend = "-";
      if (const char* by = ::strcasestr(c.in.c_str(), "\r\nx-served-by:")) {
        by += 14;
        while (*by == ' ') ++by;
        backend = std::string_view(by, std::strcspn(by, "\r"));
      }
      Done(index, std::atoi(c.in.c_str() + 9), backend);
    }
  }
  void OnEvent(size_t index, uint32_t events) {
    Connection& c = connections[index];
    if (c.fd < 0) return;
    if (c.connecting) {
      if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) return;
      int error = 0;
      socklen_t size = sizeof error;
      ::getsockopt(c.fd, SOL_SOCKET, SO_ERROR, &error, &size);
      if (error != 0) return Fail(index, 1);
      c.connecting = false;
      Send(index);
      return;
    }
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) Read(index);
  }
  void GiveUp(int64_t now) {
    for (size_t i = 0; i < connections.size(); ++i) {
      if (connections[i].fd >= 0 && connections[i].due >= 0 && now - connections[i].due > kPatienceUs) Fail(i, 0);
    }
  }
  size_t UnderWay() const {
    size_t count = waiting.size();
    for (const Connection& c : connections) count += c.due >= 0;
    return count;
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 7) {
    std::fprintf(stderr, "usage: weir-bench-openload RATE SECONDS HOST CONNECTIONS|new OUT ADDRESS:PORT...\n");
    return 2;
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::signal(SIGPIPE, SIG_IGN);
  Load load;
  load.fresh = std::string_view(argv[4]) == "new";
  load.most = load.fresh ? 4096 : static_cast<size_t>(std::atol(argv[4]));
  load.request = "GET /item HTTP/1.1\r\nHost: " + std::string(argv[3]) + "\r\nAccept: */*\r\n\r\n";
  for (int i = 6; i < argc; ++i) {
    const std::string where = argv[i];
    const size_t colon = where.rfind(':');
    sockaddr_in& address = load.targets.emplace_back();
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(std::atoi(where.c_str() + colon + 1)));
    ::inet_pton(AF_INET, where.substr(0, colon).c_str(), &address.sin_addr);
  }
  load.epoll = ::epoll_create1(EPOLL_CLOEXEC);
  load.out = std::fopen(argv[5], "w");
  if (load.out == nullptr) return std::perror(argv[5]), 1;
  load.connections.resize(load.most);
  load.idle.resize(load.targets.size());
  for (size_t i = load.most; i-- > 0;) load.unused.push_back(i);

  const double rate = std::atof(argv[1]);
  const int64_t begin = NowUs();
  const auto total = static_cast<int64_t>(rate * std::atof(argv[2]));
  int64_t sent = 0, looked = begin;
  for (epoll_event events[256];;) {
    const int64_t now = NowUs();
    for (; sent < total; ++sent) {
      const int64_t due = begin + static_cast<int64_t>(static_cast<double>(sent) * 1e6 / rate);
      if (due > now) break;
      load.waiting.emplace_back(due, load.next_target++ % load.targets.size());
    }
    while (!load.waiting.empty() && load.Start(load.waiting.front().first, load.waiting.front().second)) {
      load.waiting.pop_front();
    }
    if (now - looked > 100'000) {
      looked = now;
      load.GiveUp(now);
      if (sent == total && load.UnderWay() == 0) break;
    }
    const int count = ::epoll_wait(load.epoll, events, 256, 1);
    for (int i = 0; i < count; ++i) load.OnEvent(events[i].data.u64, events[i].events);
  }
  std::fclose(load.out);
}
