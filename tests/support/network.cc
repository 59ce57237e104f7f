#include "tests/support/network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <memory>

#include "libs/base/file.h"

namespace weir::test {
namespace {

using Steady = std::chrono::steady_clock;

Error NoNetwork(std::string_view why) {
  return FailedPrecondition("NO_PRIVATE_NETWORK", "this test needs a network of its own: {}", why);
}

Status WriteProc(const char* path, const std::string& text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  const bool written = fd >= 0 && write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (fd >= 0) close(fd);
  return written ? Status() : Status(NoNetwork(fmt::format("{} cannot be written", path)));
}

Status RaiseLoopback() {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", sizeof request.ifr_name - 1);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  const bool raised = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
  if (fd >= 0) close(fd);
  return raised ? Status() : Status(NoNetwork("the loopback device cannot be raised"));
}

Status Nft(const std::string& rules) {
  Command command;
  command.name = "nft";
  command.argv = {access("/usr/sbin/nft", X_OK) == 0 ? "/usr/sbin/nft" : "/sbin/nft", "-f", "-"};
  auto finished = RunCommand(std::move(command), Milliseconds(10'000), rules);
  if (!finished.ok()) return NoNetwork("nft is missing (Debian: nftables)");
  if (finished->exit_code != 0) return NoNetwork("nft refused its rules: " + finished->err);
  return {};
}

sockaddr_in AddressOf(const std::string& address, uint16_t port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(port);
  inet_pton(AF_INET, address.c_str(), &out.sin_addr);
  return out;
}

// One direction of a relayed connection. Who takes slowly holds up no other.
struct Lane {
  static constexpr size_t kMostHeld = 1 << 20;

  int from = -1;
  int to = -1;
  std::deque<std::pair<Steady::time_point, std::string>> bytes;  // Due; "" = the end.
  bool ended = false;                                            // Nothing more is read.
  bool full = false;                                             // `to` takes nothing for now.
  size_t held = 0;

  bool MayTake() const { return !ended && held < kMostHeld; }
  void Take(Steady::time_point now, Milliseconds delay) {
    char buffer[65536];
    while (MayTake()) {
      const ssize_t got = recv(from, buffer, sizeof buffer, MSG_DONTWAIT);
      if (got < 0 && errno == EAGAIN) return;
      ended = got <= 0;
      bytes.emplace_back(got < 0 ? now : now + delay,
                         std::string(buffer, static_cast<size_t>(std::max<ssize_t>(got, 0))));
      held += bytes.back().second.size();
    }
  }
  void Give(Steady::time_point now) {
    for (full = false; !bytes.empty() && bytes.front().first <= now; bytes.pop_front()) {
      std::string& front = bytes.front().second;
      if (front.empty()) shutdown(to, SHUT_WR);
      const ssize_t sent = front.empty() ? 0 : send(to, front.data(), front.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      full = sent < 0 ? errno == EAGAIN : static_cast<size_t>(sent) < front.size();
      const size_t gone = full ? static_cast<size_t>(std::max<ssize_t>(sent, 0)) : front.size();
      held -= gone;
      front.erase(0, gone);
      if (full) return;
    }
  }
};

}  // namespace

Status PrivateNetwork::Enter() {
  const uid_t user = geteuid();
  const gid_t group = getegid();
  if (unshare(CLONE_NEWNET | (user == 0 ? 0 : CLONE_NEWUSER)) != 0)
    return NoNetwork(user == 0 ? std::strerror(errno) : "run it as root, or allow user namespaces");
  if (user != 0) {
    WEIR_TRY(WriteProc("/proc/self/setgroups", "deny"));
    WEIR_TRY(WriteProc("/proc/self/uid_map", fmt::format("0 {} 1", user)));
    WEIR_TRY(WriteProc("/proc/self/gid_map", fmt::format("0 {} 1", group)));
  }
  WEIR_TRY(RaiseLoopback());
  return Nft(
      "add table ip weir_faults\nadd chain ip weir_faults lost { type filter hook input priority 0; }\n"
      "add table ip weir_detours\nadd chain ip weir_detours out { type nat hook output priority -100; }\n");
}

Status PrivateNetwork::Drop(const std::string& from, const std::string& to, uint16_t port) {
  const std::string rule = fmt::format("add rule ip weir_faults lost ip saddr {} ip daddr {} ", from, to);
  if (port == 0) return Nft(rule + "drop\n");
  return Nft(fmt::format("{0}tcp dport {1} drop\n{0}tcp sport {1} drop\n", rule, port));
}

Status PrivateNetwork::Lose(const std::string& from, const std::string& to, unsigned percent) {
  return Nft(fmt::format("add rule ip weir_faults lost ip saddr {} ip daddr {} numgen random mod 100 < {} drop\n", from,
                         to, percent));
}

Status PrivateNetwork::Redirect(const std::string& from, const std::string& to, uint16_t port, const std::string& at,
                                uint16_t at_port) {
  return Nft(fmt::format("add rule ip weir_detours out ip saddr {} ip daddr {} tcp dport {} dnat to {}:{}\n", from, to,
                         port, at, at_port));
}

Status PrivateNetwork::Heal() { return Nft("flush chain ip weir_faults lost\n"); }

Result<std::unique_ptr<DelayRelay>> DelayRelay::Start(std::string listen_on, uint16_t port, std::string target,
                                                      uint16_t target_port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const sockaddr_in address = AddressOf(listen_on, port);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || listen(fd, 256) != 0) {
    close(fd);
    return FailedPrecondition("PORT_IN_USE", "the relay cannot listen on {}:{}", listen_on, port);
  }
  return std::unique_ptr<DelayRelay>(new DelayRelay(fd, std::move(listen_on), std::move(target), target_port));
}

DelayRelay::DelayRelay(int listener, std::string from, std::string target, uint16_t target_port)
    : listener_(listener), from_(std::move(from)), target_(std::move(target)), target_port_(target_port) {
  thread_ = std::thread([this] { Run(); });
}

DelayRelay::~DelayRelay() {
  stop_ = true;
  thread_.join();
  close(listener_);
}

int DelayRelay::Dial() const {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in from = AddressOf(from_, 0), to = AddressOf(target_, target_port_);
  const bool dialled = bind(fd, reinterpret_cast<const sockaddr*>(&from), sizeof from) == 0 &&
                       connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
  if (dialled) return fd;
  close(fd);
  return -1;
}

void DelayRelay::Run() {
  std::vector<std::unique_ptr<Lane>> lanes;  // Two for each connection, side by side.
  while (!stop_) {
    std::vector<pollfd> polled{{listener_, POLLIN, 0}};
    auto wake = Steady::now() + Milliseconds(20);
    for (const auto& lane : lanes) {
      if (lane->MayTake()) polled.push_back({lane->from, POLLIN, 0});
      if (lane->full) polled.push_back({lane->to, POLLOUT, 0});
      if (!lane->full && !lane->bytes.empty()) wake = std::min(wake, lane->bytes.front().first);
    }
    const auto left = std::chrono::ceil<Milliseconds>(wake - Steady::now()).count();
    (void)poll(polled.data(), polled.size(), static_cast<int>(std::max<int64_t>(left, 0)));
    for (int client; (client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
      const int server = Dial();
      if (server < 0) {
        close(client);
        continue;
      }
      const int on = 1;
      for (const int fd : {client, server}) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      lanes.push_back(std::make_unique<Lane>(Lane{client, server, {}, false}));
      lanes.push_back(std::make_unique<Lane>(Lane{server, client, {}, false}));
      ++connections_;
    }
    const auto now = Steady::now();
    for (const auto& lane : lanes) {
      lane->Take(now, delay_);
      lane->Give(now);
    }
    for (size_t i = 0; i < lanes.size();) {
      const bool over =
          lanes[i]->ended && lanes[i]->bytes.empty() && lanes[i + 1]->ended && lanes[i + 1]->bytes.empty();
      if (!over) {
        i += 2;
        continue;
      }
      close(lanes[i]->from);
      close(lanes[i]->to);
      lanes.erase(lanes.begin() + static_cast<ptrdiff_t>(i), lanes.begin() + static_cast<ptrdiff_t>(i) + 2);
    }
  }
  for (size_t i = 0; i < lanes.size(); i += 2) {
    close(lanes[i]->from);
    close(lanes[i]->to);
  }
}

}  // namespace weir::test
