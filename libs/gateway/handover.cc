#include "libs/gateway/handover.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "libs/base/clock.h"
#include "libs/obs/log.h"
#include "libs/process/state_lock.h"

namespace weir::gateway {
namespace {

using std::chrono::milliseconds;

constexpr size_t kBatch = 64;           // Descriptors in one message; the kernel's bound is 253.
constexpr size_t kMessage = 32 * 1024;  // Bytes of one message.
constexpr size_t kName = 256;           // Bytes of one name.
constexpr char kSocketName[] = "/handover.sock";

enum Kind : char { kHello = 'h', kSockets = 's', kEnd = 'e', kRefused = 'x', kGo = 'g', kDone = 'd' };

struct Message {
  char kind = 0;
  std::string text;
  std::vector<net::Fd> fds;
};

// A path of any length: the kernel takes at most 107 bytes, so the folder is named by a descriptor.
struct SocketPath {
  net::Fd folder;
  sockaddr_un address{};
};
Result<SocketPath> PathIn(const std::string& folder, const std::string& name) {
  SocketPath path;
  path.folder = net::Fd(open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!path.folder) return FailedPrecondition("HANDOVER_SOCKET", "{}: {}", folder, strerror(errno));
  const std::string text = fmt::format("/proc/self/fd/{}{}", path.folder.get(), name);
  path.address.sun_family = AF_UNIX;
  std::memcpy(path.address.sun_path, text.c_str(), std::min(text.size() + 1, sizeof path.address.sun_path));
  return path;
}

Status SamePerson(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.uid != geteuid()) {
    return PermissionDenied("HANDOVER_PEER", "the other side runs as user {}, not as {}", peer.uid, geteuid());
  }
  return {};
}

Status Send(int fd, char kind, std::string_view text, const std::vector<int>& fds = {}) {
  std::string bytes{static_cast<char>(kHandoverVersion), kind};
  bytes += text;
  iovec piece{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kBatch)] = {};
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(header), fds.data(), sizeof(int) * fds.size());
  }
  ssize_t sent;
  do {
    sent = sendmsg(fd, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return Unavailable("HANDOVER_LOST", "the other side of the handover is gone: {}", strerror(errno));
  return {};
}

// UNAVAILABLE HANDOVER_LOST when the other side has closed, HANDOVER_SILENT when `within` is over.
Result<Message> Receive(int fd, milliseconds within, int wake = -1) {
  pollfd wait[2] = {{fd, POLLIN, 0}, {wake, POLLIN, 0}};
  int ready;
  const auto until = Clock::Real().Now() + within;
  do {
    const auto left = std::chrono::ceil<milliseconds>(until - Clock::Real().Now()).count();
    ready = poll(wait, 2, static_cast<int>(std::max<int64_t>(0, left)));
  } while (ready < 0 && errno == EINTR);
  if (wait[1].revents != 0) return Cancelled("STOPPING", "stopping");
  if (ready <= 0) return Unavailable("HANDOVER_SILENT", "no answer within {} ms", within.count());
  std::string bytes(kMessage, '\0');
  iovec piece{bytes.data(), bytes.size()};
  msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kBatch)];
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  const ssize_t got = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
  Message message;
  if (got > 0) {
    for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
      if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
      const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < count; ++i) {
        int received;
        std::memcpy(&received, CMSG_DATA(part) + i * sizeof(int), sizeof received);
        message.fds.emplace_back(received);
      }
    }
  }
  if (got <= 0) return Unavailable("HANDOVER_LOST", "the other side of the handover is gone");
  if (got < 2 || (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    return DataLoss("HANDOVER_MALFORMED", "a message of the handover is malformed");
  }
  if (static_cast<uint8_t>(bytes[0]) != kHandoverVersion) {
    return FailedPrecondition("HANDOVER_VERSION", "the other side speaks version {} of the handover, we speak {}",
                              static_cast<uint8_t>(bytes[0]), kHandoverVersion);
  }
  message.kind = bytes[1];
  message.text.assign(bytes, 2, static_cast<size_t>(got) - 2);
  return message;
}

Result<net::Fd> NewSocket() {
  net::Fd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd) return ResourceExhausted("NO_SOCKET", "cannot open a socket: {}", strerror(errno));
  return fd;
}

void LimitSending(int fd, milliseconds most) {
  const timeval limit{most.count() / 1000, static_cast<suseconds_t>(most.count() % 1000 * 1000)};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

}  // namespace

Result<net::Fd> LockFolder(const std::string& folder) {
  WEIR_ASSIGN(process::StateLock lock,
              process::StateLock::Take(folder, "gateway",
                                       "stop it, or start with --take-over to replace it without losing a request"));
  return net::Fd(lock.Release());
}

// ---- HandoverDoor

Result<std::unique_ptr<HandoverDoor>> HandoverDoor::Start(const std::string& folder, Callbacks callbacks,
                                                          HandoverTimes times) {
  // Bound beside and renamed: at every moment somebody answers at the path.
  WEIR_ASSIGN(const SocketPath fresh, PathIn(folder, std::string(kSocketName) + ".new"));
  WEIR_ASSIGN(net::Fd fd, NewSocket());
  const std::string from = fresh.address.sun_path;
  const std::string to = from.substr(0, from.size() - 4);
  unlink(from.c_str());
  const mode_t mask = umask(0177);
  const bool bound = bind(fd.get(), reinterpret_cast<const sockaddr*>(&fresh.address), sizeof fresh.address) == 0;
  const int why = errno;
  umask(mask);
  if (!bound) return FailedPrecondition("HANDOVER_SOCKET", "{}{}: {}", folder, kSocketName, strerror(why));
  if (listen(fd.get(), 4) != 0 || rename(from.c_str(), to.c_str()) != 0) {
    return FailedPrecondition("HANDOVER_SOCKET", "{}{}: {}", folder, kSocketName, strerror(errno));
  }
  net::Fd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return ResourceExhausted("NO_SOCKET", "cannot open an eventfd: {}", strerror(errno));
  return std::unique_ptr<HandoverDoor>(
      new HandoverDoor(folder, std::move(fd), std::move(wake), std::move(callbacks), times));
}

HandoverDoor::HandoverDoor(std::string folder, net::Fd listening, net::Fd wake, Callbacks callbacks,
                           HandoverTimes times)
    : folder_(std::move(folder)),
      listening_(std::move(listening)),
      wake_(std::move(wake)),
      callbacks_(std::move(callbacks)),
      times_(times),
      thread_([this] { Run(); }) {}

HandoverDoor::~HandoverDoor() {
  const uint64_t one = 1;
  [[maybe_unused]] const auto written = write(wake_.get(), &one, sizeof one);
  thread_.join();
  if (!gone_) unlink((folder_ + kSocketName).c_str());
}

void HandoverDoor::Run() {
  while (!gone_) {
    pollfd wait[2] = {{listening_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    if (poll(wait, 2, -1) < 0 && errno != EINTR) return;
    if (wait[1].revents != 0) return;
    if (wait[0].revents == 0) continue;
    const net::Fd peer(accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (peer) Serve(peer.get());
  }
}

void HandoverDoor::Serve(int fd) {
  LimitSending(fd, times_.answer);
  const auto refuse = [&](const Error& error) {
    obs::Log(obs::Level::kWarn, "handover refused", {{"error", error.ToString()}});
    [[maybe_unused]] const Status sent = gateway::Send(fd, kRefused, error.message);
  };
  if (const Status same = SamePerson(fd); !same.ok()) return refuse(same.error());
  const auto hello = gateway::Receive(fd, times_.answer, wake_.get());
  if (!hello.ok()) return refuse(hello.error());
  if (hello->kind != kHello) return refuse(InvalidArgument("HANDOVER_MALFORMED", "no hello"));
  obs::Log(obs::Level::kInfo, "a successor asks for the listening sockets");
  if (const Status sent = SendSockets(fd); !sent.ok()) return refuse(sent.error());
  const auto go = gateway::Receive(fd, times_.ready, wake_.get());
  if (!go.ok() || go->kind != kGo) {
    obs::Log(obs::Level::kWarn, "the successor did not take over; serving on",
             {{"error", go.ok() ? "an unexpected message" : go.error().ToString()}});
    if (callbacks_.aborted) callbacks_.aborted();
    return;
  }
  gone_ = true;
  callbacks_.go();
  obs::Log(obs::Level::kInfo, "handed over to the successor");
  [[maybe_unused]] const Status told = gateway::Send(fd, kDone, "");
}

Status HandoverDoor::SendSockets(int fd) {
  WEIR_ASSIGN(const std::vector<HandedSocket> sockets, callbacks_.sockets());
  if (sockets.size() > kHandoverSockets) {
    return ResourceExhausted("HANDOVER_SOCKETS", "{} sockets are more than {}", sockets.size(), kHandoverSockets);
  }
  for (size_t from = 0; from < sockets.size(); from += kBatch) {
    std::string names;
    std::vector<int> fds;
    for (size_t i = from; i < std::min(from + kBatch, sockets.size()); ++i) {
      names += sockets[i].name.substr(0, kName) + "\n";
      fds.push_back(sockets[i].fd.get());
    }
    WEIR_TRY(gateway::Send(fd, kSockets, names, fds));
  }
  return gateway::Send(fd, kEnd, std::to_string(sockets.size()));
}

// ---- Predecessor

// Who does not answer, and what to do about it.
Error WithWhom(Error error, int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (error.reason != "HANDOVER_SILENT" || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return error;
  error.message += fmt::format(
      "; the running gateway (process {}) is stopped or stuck: let it go on, or end it and "
      "start without --take-over",
      peer.pid);
  return error;
}

Result<std::unique_ptr<Predecessor>> Predecessor::Connect(const std::string& folder, HandoverTimes times) {
  WEIR_ASSIGN(const SocketPath path, PathIn(folder, kSocketName));
  WEIR_ASSIGN(net::Fd fd, NewSocket());
  LimitSending(fd.get(), times.answer);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&path.address), sizeof path.address) != 0) {
    if (errno == ENOENT || errno == ECONNREFUSED) {
      return NotFound("NO_PREDECESSOR", "no gateway runs with the state directory {}", folder);
    }
    return Unavailable("HANDOVER_SILENT", "{}{}: {}", folder, kSocketName, strerror(errno));
  }
  WEIR_TRY(SamePerson(fd.get()));
  std::unique_ptr<Predecessor> predecessor(new Predecessor(std::move(fd), times));
  if (Status received = predecessor->Receive(); !received.ok())
    return WithWhom(received.error(), predecessor->fd_.get());
  return predecessor;
}

Status Predecessor::Receive() {
  WEIR_TRY(gateway::Send(fd_.get(), kHello, ""));
  while (true) {
    WEIR_ASSIGN(Message message, gateway::Receive(fd_.get(), times_.answer));
    if (message.kind == kRefused) {
      return FailedPrecondition("HANDOVER_REFUSED", "the running gateway hands nothing over: {}", message.text);
    }
    if (message.kind == kEnd) {
      if (message.text != std::to_string(sockets_.size())) break;
      return {};
    }
    if (message.kind != kSockets || sockets_.size() + message.fds.size() > kHandoverSockets) break;
    std::string_view names = message.text;
    for (net::Fd& fd : message.fds) {
      const size_t end = names.find('\n');
      if (end == std::string_view::npos) return DataLoss("HANDOVER_MALFORMED", "a socket without a name");
      sockets_.push_back({std::string(names.substr(0, end)), std::move(fd)});
      names.remove_prefix(end + 1);
    }
  }
  return DataLoss("HANDOVER_MALFORMED", "the running gateway's sockets did not arrive whole");
}

std::vector<HandedSocket> Predecessor::Take(std::string_view prefix) {
  std::vector<HandedSocket> taken;
  std::erase_if(sockets_, [&](HandedSocket& socket) {
    if (!socket.name.starts_with(prefix)) return false;
    taken.push_back({socket.name.substr(prefix.size()), std::move(socket.fd)});
    return true;
  });
  return taken;
}

Status Predecessor::AnnounceAccepting() {
  WEIR_TRY(gateway::Send(fd_.get(), kGo, ""));
  const auto done = gateway::Receive(fd_.get(), times_.done);
  if (done.ok() && done->kind == kDone) return {};
  if (done.ok()) return DataLoss("HANDOVER_MALFORMED", "an unexpected answer to go");
  return done.error();
}

}  // namespace weir::gateway
