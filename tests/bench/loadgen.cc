// weir-bench-loadgen ADDRESS:PORT HOST CONNECTIONS SECONDS [headers] [CERTIFICATE KEY]: one thread, HTTP/1.1 keep-alive
// closed loop, TLS 1.3 with that client certificate when one is given (SNI = HOST). Prints one JSON line
// {done, errors, p50_us, p99_us}; every answer must be 200 with a Content-Length that arrives whole.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
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
  SSL* ssl = nullptr;   // Null = plain.
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

bool StartTls(Connection& c, SSL_CTX* context, const char* host) {
  c.ssl = SSL_new(context);
  SSL_set_tlsext_host_name(c.ssl, host);
  SSL_set_fd(c.ssl, c.fd);
  return SSL_connect(c.ssl) == 1 && ::fcntl(c.fd, F_SETFL, O_NONBLOCK) == 0;
}

bool Send(Connection& c, const std::string& request) {
  c.head.clear();
  c.body_left = -1;
  c.sent = Clock::now();
  const auto size = static_cast<ssize_t>(request.size());
  if (c.ssl != nullptr) return SSL_write(c.ssl, request.data(), static_cast<int>(size)) == size;
  return ::send(c.fd, request.data(), request.size(), MSG_NOSIGNAL) == size;
}

// > 0 bytes, 0 = nothing now, -1 = lost.
ssize_t Receive(Connection& c, char* buffer, size_t size) {
  if (c.ssl == nullptr) {
    const ssize_t n = ::recv(c.fd, buffer, size, MSG_DONTWAIT);
    return n > 0 ? n : n < 0 && errno == EAGAIN ? 0 : -1;
  }
  const int n = SSL_read(c.ssl, buffer, static_cast<int>(size));
  return n > 0 ? n : SSL_get_error(c.ssl, n) == SSL_ERROR_WANT_READ ? 0 : -1;
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

SSL_CTX* ClientContext(const char* certificate, const char* key) {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256");  // The same for every contender.
  const bool ok = SSL_CTX_use_certificate_chain_file(context, certificate) == 1 &&
                  SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1;
  return ok ? context : nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  const bool headers = argc > 5 && std::string_view(argv[5]) == "headers";
  const int rest = headers ? 6 : 5;
  if (argc < 5 || (argc != rest && argc != rest + 2)) {
    std::fprintf(stderr,
                 "usage: weir-bench-loadgen ADDRESS:PORT HOST CONNECTIONS SECONDS [headers] [CERTIFICATE KEY]\n");
    return 2;
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const bool tls = argc == rest + 2;
  SSL_CTX* context = tls ? ClientContext(argv[rest], argv[rest + 1]) : nullptr;
  if (tls && context == nullptr) return std::fprintf(stderr, "weir-bench-loadgen: bad certificate or key\n"), 1;
  const std::string where = argv[1];
  const size_t colon = where.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::atoi(where.c_str() + colon + 1)));
  ::inet_pton(AF_INET, where.substr(0, colon).c_str(), &address.sin_addr);
  const std::string request = "GET /catalogue/item?id=1 HTTP/1.1\r\nHost: " + std::string(argv[2]) + "\r\n" +
                              (headers ? kBrowserHeaders : "Accept: */*\r\n") + "\r\n";
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  std::vector<Connection> connections(static_cast<size_t>(std::atoi(argv[3])));
  Totals totals;
  const auto open = [&](size_t i) {
    Connection& c = connections[i];
    c.fd = Connect(address);
    if (c.fd < 0 || (tls && !StartTls(c, context, argv[2]))) return false;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, c.fd, &event);
    return Send(c, request);
  };
  for (size_t i = 0; i < connections.size(); ++i) {
    if (!open(i)) return std::fprintf(stderr, "weir-bench-loadgen: cannot connect to %s\n", argv[1]), 1;
  }
  const auto end = Clock::now() + std::chrono::duration<double>(std::atof(argv[4]));
  static char buffer[262144];
  for (epoll_event events[256]; Clock::now() < end;) {
    const int count = ::epoll_wait(epoll, events, 256, 100);
    for (int i = 0; i < count; ++i) {
      Connection& c = connections[events[i].data.u64];
      int state = 0;
      do {  // A TLS record may wait in the library, and then no event comes.
        const ssize_t n = Receive(c, buffer, sizeof(buffer));
        if (n == 0) break;
        state = n < 0 ? -1 : Take(c, std::string_view(buffer, static_cast<size_t>(n)));
      } while (state == 0 && tls);
      if (state == 0) continue;
      if (state == 1) {
        ++totals.done;
        totals.micros.push_back(static_cast<unsigned>(
            std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - c.sent).count()));
        if (Send(c, request)) continue;
      }
      ++totals.errors;
      SSL_free(c.ssl);
      c.ssl = nullptr;
      ::close(c.fd);
      if (totals.errors > 1000 || !open(events[i].data.u64)) {
        return std::fprintf(stderr, "weir-bench-loadgen: too many errors\n"), 1;
      }
    }
  }
  std::sort(totals.micros.begin(), totals.micros.end());
  const auto at = [&](size_t percent) {
    return totals.micros.empty() ? 0u : totals.micros[(totals.micros.size() - 1) * percent / 100];
  };
  std::printf("{\"done\": %ld, \"errors\": %ld, \"p50_us\": %u, \"p99_us\": %u}\n", totals.done, totals.errors, at(50),
              at(99));
}
