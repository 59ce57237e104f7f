// weir-bench-watchload ADDRESS:PORT TOKENS PATH WATCHERS SLOW: opens WATCHERS streams of server-sent events of PATH
// over TLS, each with the next of the TOKENS (a file, one a line). Of these SLOW take what is there at first and
// nothing after it. Prints {"ready": N} once all were told what is there; then reads until standard input ends, lets
// the slow ones read what was kept for them, and prints one JSON line: slow (how many were told WATCH_TOO_SLOW),
// errors, and `told`, per revision how many of the others were told of it and when the last of them was (s of
// CLOCK_MONOTONIC).
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace {

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

struct Told {
  int watchers = 0;
  double last = 0;
};

struct Watcher {
  int fd = -1;
  SSL* ssl = nullptr;
  bool slow = false, started = false, ended = false;
  std::string unread;
};

// From one of ten addresses: a server lets one have so many connections only.
int Connect(const std::string& where, size_t number, bool slow) {
  const size_t colon = where.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::atoi(where.c_str() + colon + 1)));
  ::inet_pton(AF_INET, where.substr(0, colon).c_str(), &address.sin_addr);
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1, little = 4096;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (slow) ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof(little));
  sockaddr_in source{};
  source.sin_family = AF_INET;
  source.sin_addr.s_addr = htonl(static_cast<uint32_t>(INADDR_LOOPBACK + 1 + number % 10));
  if (::bind(fd, reinterpret_cast<sockaddr*>(&source), sizeof(source)) != 0) return -1;
  return ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 ? fd : -1;
}

bool Open(SSL_CTX* context, const std::string& where, size_t number, const std::string& token, const std::string& path,
          Watcher& watcher) {
  watcher.fd = Connect(where, number, watcher.slow);
  watcher.ssl = SSL_new(context);
  SSL_set_fd(watcher.ssl, watcher.fd);
  if (watcher.fd < 0 || SSL_connect(watcher.ssl) != 1) return false;
  const std::string request =
      fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n", path, token);
  if (SSL_write(watcher.ssl, request.data(), static_cast<int>(request.size())) <= 0) return false;
  return ::fcntl(watcher.fd, F_SETFL, O_NONBLOCK) == 0;
}

int64_t RevisionOf(std::string_view event) {
  constexpr std::string_view kKey = "\"revision\":\"";
  const size_t at = event.find(kKey);
  int64_t revision = 0;
  if (at != std::string_view::npos) {
    std::from_chars(event.data() + at + kKey.size(), event.data() + event.size(), revision);
  }
  return revision;
}

void Hear(Watcher& watcher, std::string_view event, std::map<int64_t, Told>& told) {
  if (event.find("\"initialEnd\":true") != std::string_view::npos) watcher.started = true;
  if (watcher.slow || event.find("event: MODIFIED") == std::string_view::npos) return;
  Told& one = told[RevisionOf(event)];
  ++one.watchers;
  one.last = Now();
}

void Read(Watcher& watcher, std::map<int64_t, Told>& told) {
  char buffer[16384];
  for (;;) {
    const int n = SSL_read(watcher.ssl, buffer, sizeof(buffer));
    if (n <= 0) {
      const int why = SSL_get_error(watcher.ssl, n);
      if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) watcher.ended = true;
      return;
    }
    watcher.unread.append(buffer, static_cast<size_t>(n));
    size_t from = 0;
    for (size_t end; (end = watcher.unread.find("\n\n", from)) != std::string::npos; from = end + 2) {
      Hear(watcher, std::string_view(watcher.unread).substr(from, end - from), told);
    }
    watcher.unread.erase(0, from);
  }
}

class Crowd {
 public:
  explicit Crowd(size_t count) : watchers_(count), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}

  bool OpenAll(SSL_CTX* context, const std::string& where, const std::vector<std::string>& tokens,
               const std::string& path, size_t slow) {
    for (size_t i = 0; i < watchers_.size(); ++i) {
      watchers_[i].slow = i < slow;
      if (!Open(context, where, i, tokens[i % tokens.size()], path, watchers_[i])) return false;
      epoll_event event{.events = EPOLLIN, .data = {.u64 = i}};
      ::epoll_ctl(epoll_, EPOLL_CTL_ADD, watchers_[i].fd, &event);
      Turn(0);
    }
    return true;
  }
  bool all_started() const {
    return std::all_of(watchers_.begin(), watchers_.end(), [](const Watcher& one) { return one.started; });
  }
  // Reads what came, waits for it at most so long. A slow one that knows what is there is not read.
  void Turn(int milliseconds) {
    epoll_event events[256];
    const int n = ::epoll_wait(epoll_, events, 256, milliseconds);
    for (int i = 0; i < n; ++i) {
      Watcher& watcher = watchers_[events[i].data.u64];
      Read(watcher, told_);
      if (watcher.ended || (watcher.slow && watcher.started)) {
        ::epoll_ctl(epoll_, EPOLL_CTL_DEL, watcher.fd, nullptr);
      }
    }
  }
  void ReadTheSlow() {
    for (Watcher& watcher : watchers_) {
      for (const double end = Now() + 0.1; watcher.slow && !watcher.ended && Now() < end;) {
        pollfd one{watcher.fd, POLLIN, 0};
        ::poll(&one, 1, 100);
        Read(watcher, told_);
      }
    }
  }
  void Print() const {
    long slow = 0, errors = 0;
    for (const Watcher& watcher : watchers_) {
      slow += watcher.slow && watcher.ended;
      errors += !watcher.slow && watcher.ended;
    }
    fmt::print("{{\"slow\": {}, \"errors\": {}, \"told\": {{", slow, errors);
    const char* between = "";
    for (const auto& [revision, one] : told_) {
      fmt::print("{}\"{}\": [{}, {:.6f}]", between, revision, one.watchers, one.last);
      between = ", ";
    }
    fmt::print("}}}}\n");
  }

 private:
  std::vector<Watcher> watchers_;
  int epoll_;
  std::map<int64_t, Told> told_;
};

std::vector<std::string> Lines(const char* path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    fmt::print(stderr, "usage: weir-bench-watchload ADDRESS:PORT TOKENS PATH WATCHERS SLOW\n");
    return 2;
  }
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());  // Who the server is does not matter to its cost.
  const std::vector<std::string> tokens = Lines(argv[2]);
  Crowd crowd(static_cast<size_t>(std::atol(argv[4])));
  if (tokens.empty() || !crowd.OpenAll(context, argv[1], tokens, argv[3], static_cast<size_t>(std::atol(argv[5])))) {
    fmt::print(stderr, "weir-bench-watchload: not every watch could be opened\n");
    return 1;
  }
  for (const double end = Now() + 60; !crowd.all_started() && Now() < end;) crowd.Turn(100);
  fmt::print("{{\"ready\": {}}}\n", crowd.all_started());
  std::fflush(stdout);
  for (pollfd input{STDIN_FILENO, POLLIN, 0}; ::poll(&input, 1, 0) == 0;) crowd.Turn(20);
  crowd.ReadTheSlow();
  crowd.Print();
  return 0;
}
