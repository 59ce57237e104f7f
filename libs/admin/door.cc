#include "libs/admin/door.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <list>
#include <map>
#include <thread>
#include <vector>

#include "libs/admin/token.h"
#include "libs/base/ids.h"
#include "libs/base/text.h"
#include "libs/obs/log.h"

namespace weir::admin {
namespace {

constexpr size_t kMaxHead = 8 * 1024;
constexpr size_t kMaxBody = 64 * 1024;
using Steady = std::chrono::steady_clock;

std::string_view StatusText(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 202:
      return "Accepted";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 413:
      return "Content Too Large";
    case 431:
      return "Request Header Fields Too Large";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    default:
      return status < 500 ? "Answer" : "Error";
  }
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) || std::strchr("!#$%&'*+-.^_`|~", c) != nullptr;
  });
}

// What the bytes so far mean: an HTTP status > 0 is a refusal, 0 = a whole request, -1 = more bytes needed.
struct Parsed {
  int refused = -1;
  Request request;
  std::string host;  // "" = absent.
  std::string token;
};

// "127.0.0.1", "127.0.2.10:15000", "[::1]:80": an address, not a name, of this machine.
bool IsLoopback(std::string_view host) {
  const bool six = host.starts_with('[');
  const size_t end = six ? host.find(']') : std::min(host.find(':'), host.size());
  if (end == std::string_view::npos) return false;
  const std::string address(six ? host.substr(1, end - 1) : host.substr(0, end));
  const std::string_view port = host.substr(six ? end + 1 : end);
  const bool good_port = port.empty() || (port.size() > 1 && port.size() <= 6 && port[0] == ':' &&
                                          port.find_first_not_of("0123456789", 1) == std::string_view::npos);
  in_addr four{};
  in6_addr sixteen{};
  if (!good_port) return false;
  if (six) return inet_pton(AF_INET6, address.c_str(), &sixteen) == 1 && IN6_IS_ADDR_LOOPBACK(&sixteen);
  return inet_pton(AF_INET, address.c_str(), &four) == 1 && (ntohl(four.s_addr) >> 24) == 127;
}

// Strict and small: one request, Content-Length bodies only.
Parsed Parse(std::string_view bytes) {
  Parsed out;
  const size_t end = bytes.find("\r\n\r\n");
  if (end > kMaxHead) {  // Or not there yet: npos.
    out.refused = bytes.size() > kMaxHead ? 431 : -1;
    return out;
  }
  std::string_view head = bytes.substr(0, end);
  const size_t line_end = std::min(head.find("\r\n"), head.size());
  const std::string_view line = head.substr(0, line_end);
  head.remove_prefix(std::min(line_end + 2, head.size()));
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  out.refused = 400;
  if (first == std::string_view::npos || first == last) return out;
  const std::string_view method = line.substr(0, first), target = line.substr(first + 1, last - first - 1),
                         version = line.substr(last + 1);
  if (!IsToken(method) || (version != "HTTP/1.1" && version != "HTTP/1.0")) return out;
  if (!target.starts_with('/') || target.find_first_of(std::string_view(" \t\r\n\0", 5)) != std::string_view::npos)
    return out;
  size_t body = 0;
  bool have_length = false;
  while (!head.empty()) {
    const size_t stop = std::min(head.find("\r\n"), head.size());
    const std::string_view field = head.substr(0, stop);
    head.remove_prefix(std::min(stop + 2, head.size()));
    const size_t colon = field.find(':');
    if (colon == std::string_view::npos || !IsToken(field.substr(0, colon))) return out;
    const std::string name = AsciiLower(field.substr(0, colon));
    const std::string_view value = Trim(field.substr(colon + 1));
    if (name == "transfer-encoding") {
      out.refused = 501;
      return out;
    }
    if (name == "origin") {
      out.refused = 403;
      return out;
    }
    if (name == "host") {
      if (!out.host.empty() || value.empty()) return out;
      out.host = value;
    }
    if (name == "authorization" && AsciiLower(value.substr(0, 7)) == "bearer ") out.token = Trim(value.substr(7));
    if (name == "content-length") {
      const auto [stopped, error] = std::from_chars(value.data(), value.data() + value.size(), body);
      if (have_length || value.empty() || error != std::errc() || stopped != value.data() + value.size()) return out;
      have_length = true;
    }
  }
  if (body > kMaxBody) {
    out.refused = 413;
    return out;
  }
  if (bytes.size() < end + 4 + body) {
    out.refused = -1;
    return out;
  }
  out.refused = 0;
  out.request.method = method;
  const size_t question = target.find('?');
  out.request.path = target.substr(0, question);
  if (question != std::string_view::npos) out.request.query = target.substr(question + 1);
  out.request.body = bytes.substr(end + 4, body);
  return out;
}

std::string Render(const Response& response, std::string_view extra, bool without_body) {
  std::string out = fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n"
      "X-Content-Type-Options: nosniff\r\nConnection: close\r\n{}\r\n",
      response.status, StatusText(response.status), response.content_type, response.body.size(), extra);
  if (!without_body) out += response.body;
  return out;
}

struct Bound {
  int fd = -1;
  std::string address;
  std::string unix_path;
};

Result<Bound> Bind(const DoorOptions& options) {
  const std::string& text = options.address;
  Bound bound;
  sockaddr_storage storage{};
  socklen_t length = 0;
  int family = AF_INET;
  if (text.starts_with("unix:")) {
    auto* address = reinterpret_cast<sockaddr_un*>(&storage);
    bound.unix_path = text.substr(5);
    if (bound.unix_path.empty() || bound.unix_path.size() >= sizeof(address->sun_path)) {
      return InvalidArgument("BAD_ADDRESS", "'{}': a unix socket path has 1 to {} bytes", text,
                             sizeof(address->sun_path) - 1);
    }
    family = address->sun_family = AF_UNIX;
    std::memcpy(address->sun_path, bound.unix_path.c_str(), bound.unix_path.size() + 1);
    length = sizeof(sockaddr_un);
    struct stat info{};
    if (options.listening < 0 && lstat(bound.unix_path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode)) {
      const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const bool alive = probe >= 0 && connect(probe, reinterpret_cast<sockaddr*>(&storage), length) == 0;
      if (probe >= 0) close(probe);
      if (alive) return FailedPrecondition("ADDRESS_IN_USE", "another process answers at {}", text);
      unlink(bound.unix_path.c_str());
    }
  } else {
    const size_t colon = text.rfind(':');
    unsigned port = 0;
    std::string host = colon == std::string::npos ? "" : text.substr(0, colon);
    const char* begin = text.c_str() + (colon == std::string::npos ? 0 : colon + 1);
    const auto [stop, error] = std::from_chars(begin, text.c_str() + text.size(), port);
    if (host.empty() || error != std::errc() || *stop != '\0' || port > 65535) {
      return InvalidArgument("BAD_ADDRESS", "'{}' is neither 'IP:port' nor 'unix:/path'", text);
    }
    auto* four = reinterpret_cast<sockaddr_in*>(&storage);
    auto* six = reinterpret_cast<sockaddr_in6*>(&storage);
    bool loopback = false;
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    if (inet_pton(AF_INET, host.c_str(), &four->sin_addr) == 1) {
      four->sin_family = AF_INET;
      four->sin_port = htons(static_cast<uint16_t>(port));
      length = sizeof(sockaddr_in);
      loopback = (ntohl(four->sin_addr.s_addr) >> 24) == 127;
    } else if (inet_pton(AF_INET6, host.c_str(), &six->sin6_addr) == 1) {
      family = six->sin6_family = AF_INET6;
      six->sin6_port = htons(static_cast<uint16_t>(port));
      length = sizeof(sockaddr_in6);
      loopback = IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
    } else {
      return InvalidArgument("BAD_ADDRESS", "'{}' is not an IP address", host);
    }
    if (!loopback && !options.allow_remote) {
      return InvalidArgument("NOT_LOOPBACK", "the admin door listens on loopback or a unix socket only, not on {}",
                             text);
    }
  }
  const bool inherited = options.listening >= 0;
  bound.fd = inherited ? options.listening : socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (bound.fd < 0) return Unavailable("SOCKET", "no socket: {}", std::strerror(errno));
  const int on = 1;
  if (family != AF_UNIX) setsockopt(bound.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const mode_t mask = family == AF_UNIX ? umask(0177) : 0;
  const int failed = inherited ? 0 : bind(bound.fd, reinterpret_cast<sockaddr*>(&storage), length);
  const int why = errno;
  if (family == AF_UNIX) umask(mask);
  if (failed != 0 || listen(bound.fd, 64) != 0) {
    const int reason = failed != 0 ? why : errno;
    close(bound.fd);
    if (reason == EADDRINUSE) return FailedPrecondition("ADDRESS_IN_USE", "{} is in use by another process", text);
    return FailedPrecondition("BIND_FAILED", "cannot listen on {}: {}", text, std::strerror(reason));
  }
  bound.address = text;
  if (family != AF_UNIX) {
    getsockname(bound.fd, reinterpret_cast<sockaddr*>(&storage), &length);
    const auto port = family == AF_INET ? reinterpret_cast<sockaddr_in*>(&storage)->sin_port
                                        : reinterpret_cast<sockaddr_in6*>(&storage)->sin6_port;
    bound.address = fmt::format("{}:{}", text.substr(0, text.rfind(':')), ntohs(port));
  }
  return bound;
}

struct Connection {
  int fd = -1;
  Steady::time_point deadline;
  std::string in;
  std::string out;
  size_t sent = 0;
  bool answering = false;
};

class SocketDoor : public Door {
 public:
  SocketDoor(Bound bound, const DoorOptions& options, Routes routes, std::string token)
      : bound_(std::move(bound)),
        options_(options),
        routes_(std::move(routes)),
        token_(std::move(token)),
        wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    thread_ = std::thread([this] { Run(); });
  }

  ~SocketDoor() override {
    stop_ = true;
    const uint64_t one = 1;
    [[maybe_unused]] const auto written = write(wake_, &one, sizeof one);
    thread_.join();
    for (const Connection& connection : connections_) close(connection.fd);
    close(bound_.fd);
    close(wake_);
    if (!handed_over_ && !bound_.unix_path.empty()) unlink(bound_.unix_path.c_str());
  }

  const std::string& address() const override { return bound_.address; }
  int listening() const override { return bound_.fd; }
  void HandOver() override {
    handed_over_ = true;
    const uint64_t one = 1;
    [[maybe_unused]] const auto written = write(wake_, &one, sizeof one);
  }

 private:
  void Run() {
    std::vector<pollfd> polled;
    while (!stop_) {
      polled.clear();
      polled.push_back({wake_, POLLIN, 0});
      // At the bound the backlog waits: nobody is accepted only to be refused.
      const bool accepting = !handed_over_ && connections_.size() < options_.connections;
      polled.push_back({accepting ? bound_.fd : -1, POLLIN, 0});
      auto soonest = Steady::now() + std::chrono::seconds(60);
      for (const Connection& connection : connections_) {
        polled.push_back({connection.fd, static_cast<short>(connection.answering ? POLLOUT : POLLIN), 0});
        soonest = std::min(soonest, connection.deadline);
      }
      const auto wait = std::chrono::ceil<std::chrono::milliseconds>(soonest - Steady::now()).count();
      if (poll(polled.data(), polled.size(), static_cast<int>(std::max<int64_t>(0, wait))) < 0 && errno != EINTR)
        return;
      size_t at = 2;
      for (auto connection = connections_.begin(); connection != connections_.end(); ++at) {
        const bool keep = polled[at].revents == 0 ? Steady::now() < connection->deadline : Advance(*connection);
        if (!keep) close(connection->fd);
        connection = keep ? std::next(connection) : connections_.erase(connection);
      }
      uint64_t woken;
      if (polled[0].revents != 0) [[maybe_unused]]
        const auto got = read(wake_, &woken, sizeof woken);
      if (polled[1].revents != 0 && !handed_over_) Accept();
    }
  }

  void Accept() {
    while (connections_.size() < options_.connections) {
      const int fd = accept4(bound_.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) {
        // Out of descriptors: poll would spin on the waiting connection.
        if (errno == EMFILE || errno == ENFILE) std::this_thread::sleep_for(std::chrono::milliseconds(50));
        return;
      }
      if (!bound_.unix_path.empty() && !IsOwner(fd)) {
        close(fd);
        continue;
      }
      connections_.push_back({fd, Steady::now() + options_.deadline, {}, {}, 0, false});
    }
  }

  // The mode of the socket says so already; a folder that was copied or a umask of others may not.
  static bool IsOwner(int fd) {
    ucred peer{};
    socklen_t size = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && (peer.uid == geteuid() || peer.uid == 0);
  }

  // Who may ask this; "" = go on, else what to answer with 403.
  std::string Objection(const Parsed& parsed) const {
    if (!bound_.unix_path.empty()) return "";
    const bool reads = parsed.request.method == "GET" || parsed.request.method == "HEAD";
    if (!options_.allow_remote && !IsLoopback(parsed.host)) {
      return "the Host must be a loopback address, like 127.0.0.1: ask by address, not by name\n";
    }
    if (reads || (!token_.empty() && ConstantTimeEquals(parsed.token, token_))) return "";
    return "changes need the token of the token file (Authorization: Bearer ...), or the unix socket\n";
  }

  // False: done with this connection.
  bool Advance(Connection& connection) {
    if (!connection.answering) {
      char buffer[4096];
      const ssize_t got = recv(connection.fd, buffer, sizeof buffer, 0);
      if (got == 0) return false;
      if (got < 0) return errno == EAGAIN || errno == EINTR;
      connection.in.append(buffer, static_cast<size_t>(got));
      const Parsed parsed = Parse(connection.in);
      if (parsed.refused < 0) return true;
      connection.out = parsed.refused > 0
                           ? Render({parsed.refused, fmt::format("{}\n", StatusText(parsed.refused))}, "", false)
                           : Answer(parsed);
      connection.answering = true;
    }
    while (connection.sent < connection.out.size()) {
      const ssize_t sent = send(connection.fd, connection.out.data() + connection.sent,
                                connection.out.size() - connection.sent, MSG_NOSIGNAL);
      if (sent < 0) return errno == EAGAIN || errno == EINTR;
      connection.sent += static_cast<size_t>(sent);
    }
    shutdown(connection.fd, SHUT_WR);
    return false;
  }

  std::string Answer(const Parsed& parsed) {
    const Request& request = parsed.request;
    if (std::string objection = Objection(parsed); !objection.empty()) {
      return Render({403, std::move(objection)}, "", request.method == "HEAD");
    }
    const bool head = request.method == "HEAD";
    const auto methods = routes_.find(request.path);
    if (methods == routes_.end()) return Render({404, Index()}, "", head);
    const auto route = methods->second.find(head ? "GET" : request.method);
    if (route == methods->second.end()) {
      std::string allow;
      for (const auto& [name, unused] : methods->second) allow += (allow.empty() ? "" : ", ") + name;
      return Render({405, "use " + allow + "\n"}, "Allow: " + allow + "\r\n", head);
    }
    try {
      return Render(route->second(request), "", head);
    } catch (const std::exception& error) {
      return Render({500, fmt::format("{}\n", error.what())}, "", head);
    }
  }

  std::string Index() const {
    std::string out = "there is:\n";
    for (const auto& [path, methods] : routes_) {
      for (const auto& [method, unused] : methods) out += fmt::format("  {} {}\n", method, path);
    }
    return out;
  }

  const Bound bound_;
  const DoorOptions options_;
  const Routes routes_;
  const std::string token_;
  const int wake_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> handed_over_{false};
  std::list<Connection> connections_;  // Of thread_.
  std::thread thread_;
};

Response FromStatus(const Status& status, std::string_view good) {
  if (status.ok()) return {200, fmt::format("{}\n", good)};
  return {HttpStatus(status.error().code), status.error().ToString() + "\n"};
}

}  // namespace

Result<std::unique_ptr<Door>> Door::Start(const DoorOptions& options, Routes routes) {
  WEIR_ASSIGN(Bound bound, Bind(options));
  std::string token;
  if (!options.token_file.empty() && bound.unix_path.empty()) {
    auto written = WriteToken(options.token_file);
    if (!written.ok()) close(bound.fd);
    WEIR_ASSIGN(token, std::move(written));
  }
  return std::unique_ptr<Door>(
      std::make_unique<SocketDoor>(std::move(bound), options, std::move(routes), std::move(token)));
}

Routes ProbeRoutes(std::function<Status()> ready) {
  Routes routes;
  routes["/live"]["GET"] = [](const Request&) { return Response{200, "live\n"}; };
  if (!ready) return routes;
  routes["/ready"]["GET"] = [ready = std::move(ready)](const Request&) {
    Response response = FromStatus(ready(), "ready");
    if (response.status != 200) response.status = 503;
    return response;
  };
  return routes;
}

Routes StandardRoutes(StandardHandlers handlers) {
  Routes routes = ProbeRoutes(std::move(handlers.ready));
  if (handlers.metrics) {
    routes["/metrics"]["GET"] = [metrics = std::move(handlers.metrics)](const Request&) {
      return Response{200, metrics(), "text/plain; version=0.0.4; charset=utf-8"};
    };
  }
  if (handlers.config_dump) {
    routes["/config_dump"]["GET"] = [dump = std::move(handlers.config_dump)](const Request&) {
      return Response{200, dump(), "application/json"};
    };
  }
  if (!handlers.version.empty()) {
    routes["/version"]["GET"] = [version = std::move(handlers.version)](const Request&) {
      return Response{200, version + "\n"};
    };
  }
  routes["/log-level"]["GET"] = [](const Request&) {
    return Response{200, std::string(obs::LevelName(obs::CurrentLevel())) + "\n"};
  };
  routes["/log-level"]["POST"] = [](const Request& request) {
    std::string_view level =
        request.query.starts_with("level=") ? std::string_view(request.query).substr(6) : request.body;
    while (!level.empty() && (level.back() == '\n' || level.back() == '\r' || level.back() == ' '))
      level.remove_suffix(1);
    const auto parsed = obs::ParseLevel(level);
    if (parsed.ok()) obs::SetLevel(*parsed);
    return FromStatus(parsed.ok() ? Status() : Status(parsed.error()), level);
  };
  if (handlers.drain) {
    routes["/drain"]["POST"] = [drain = std::move(handlers.drain)](const Request&) {
      drain();
      return Response{202, "draining\n"};
    };
  }
  return routes;
}

}  // namespace weir::admin
