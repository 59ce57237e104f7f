#include "libs/rpc/gate.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/server_interceptor.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <list>
#include <map>
#include <thread>
#include <utility>

#include "libs/base/admission.h"
#include "libs/base/descriptors.h"
#include "libs/base/fd.h"
#include "libs/base/mutex.h"
#include "libs/rpc/server.h"

namespace weir::rpc {
namespace {

constexpr std::chrono::milliseconds kRetry(50);  // After an accept that failed.
constexpr int kBacklog = 1024;
constexpr int kAcceptsAtOnce = 64;
constexpr uint64_t kListener = 0;  // Admission's ids begin with 1.
constexpr uint64_t kWake = UINT64_MAX;

using Acceptor = grpc::experimental::ExternalConnectionAcceptor;

// How a call's peer and an accepted socket's are known to be the same: "192.0.2.1 4711".
std::string NameOf(std::string_view peer) {
  return fmt::format("{} {}", PeerAddress(peer), peer.substr(peer.rfind(':') + 1));
}
std::string NameOf(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto& four = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &four.sin_addr, text, sizeof text);
    return fmt::format("{} {}", text, ntohs(four.sin_port));
  }
  const auto& six = reinterpret_cast<const sockaddr_in6&>(address);
  if (IN6_IS_ADDR_V4MAPPED(&six.sin6_addr)) {
    inet_ntop(AF_INET, &six.sin6_addr.s6_addr[12], text, sizeof text);
  } else {
    inet_ntop(AF_INET6, &six.sin6_addr, text, sizeof text);
  }
  return fmt::format("{} {}", text, ntohs(six.sin6_port));
}

Result<Fd> Listen(const std::string& listen) {
  const auto failed = [&](const char* why) {
    return Unavailable("LISTEN_FAILED", "cannot listen on {}: {}", listen, why);
  };
  const size_t colon = listen.rfind(':');
  if (colon == std::string::npos) return failed("no port");
  std::string host = listen.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo wish{};
  wish.ai_socktype = SOCK_STREAM;
  wish.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int code = getaddrinfo(host.empty() ? nullptr : host.c_str(), listen.c_str() + colon + 1, &wish, &found);
  if (code != 0) return failed(gai_strerror(code));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, freeaddrinfo);
  Fd fd(socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd.get(), found->ai_addr, found->ai_addrlen) != 0 || ::listen(fd.get(), kBacklog) != 0) {
    if (errno == EADDRINUSE) return FailedPrecondition("ADDRESS_IN_USE", "{} is in use by another process", listen);
    return failed(std::strerror(errno));
  }
  return fd;
}

// One that has a place.
struct Connection {
  Fd fd;  // Its own until gRPC has it, then a second descriptor of it, by which it is seen to end and can be ended.
  std::string name;
  Admission::Id id = 0;
  bool given = false;                                        // To gRPC.
  MonoTime until{};                                          // Speaks by then.
  std::list<std::shared_ptr<Connection>>::iterator in_mute;  // Until it is given.
  int calls = 0;                                             // Under the gate's mutex.
};

}  // namespace

struct Gate::State {
  GateBounds bounds;
  const Clock* clock = nullptr;
  Fd listener, poll, wake;
  int port = 0;
  std::unique_ptr<Acceptor> acceptor;
  std::unique_ptr<Admission> places;
  std::thread thread;
  // The thread's own.
  std::map<Admission::Id, std::shared_ptr<Connection>> connections;
  std::list<std::shared_ptr<Connection>> mute;  // Accepted and not given yet, the longest first.
  MonoTime retry = MonoTime::max();             // When the listener is looked at again.

  Mutex mutex;  // Guards every Connection's `calls`, too.
  std::map<std::string, std::shared_ptr<Connection>> by_name WEIR_GUARDED_BY(mutex);

  void Watch(int fd, uint64_t id, uint32_t events, int operation = EPOLL_CTL_ADD) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = id;
    epoll_ctl(poll.get(), operation, fd, &event);
  }

  // A connection on which a call is under way is not silent.
  std::shared_ptr<Connection> Begin(const std::string& name) {
    MutexLock lock(mutex);
    const auto at = by_name.find(name);
    if (at == by_name.end()) return nullptr;
    if (++at->second->calls == 1) places->SetSilent(at->second->id, false);
    return at->second;
  }
  void End(Connection& connection) {
    MutexLock lock(mutex);
    if (--connection.calls == 0) places->SetSilent(connection.id, true);
  }

  void Forget(const std::shared_ptr<Connection>& connection) {
    places->Leave(connection->id);
    if (!connection->given) mute.erase(connection->in_mute);
    connections.erase(connection->id);
    MutexLock lock(mutex);
    const auto at = by_name.find(connection->name);
    if (at != by_name.end() && at->second == connection) by_name.erase(at);
  }

  // Its place is another's now. What gRPC has, gRPC closes when it finds it shut down.
  void Expel(const std::shared_ptr<Connection>& connection) {
    if (connection->given) {
      shutdown(connection->fd.get(), SHUT_RDWR);
    } else {
      Forget(connection);
      connection->fd = Fd();
    }
  }

  void Give(const std::shared_ptr<Connection>& connection) {
    Fd second(fcntl(connection->fd.get(), F_DUPFD_CLOEXEC, 0));
    if (second.get() < 0) return Expel(connection);
    Watch(connection->fd.get(), 0, 0, EPOLL_CTL_DEL);
    Watch(second.get(), connection->id, 0);  // Ended, which is told unasked.
    mute.erase(connection->in_mute);
    connection->given = true;
    {
      MutexLock lock(mutex);
      by_name[connection->name] = connection;
    }
    Acceptor::NewConnectionParameters parameters;
    parameters.listener_fd = listener.get();
    parameters.fd = connection->fd.Release();
    connection->fd = std::move(second);
    acceptor->HandleNewConnection(&parameters);
  }

  void Admit(Fd fd, const sockaddr_storage& address) {
    const int on = 1;
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    auto connection = std::make_shared<Connection>();
    const auto id =
        places->Enter(SourceOf(reinterpret_cast<const sockaddr*>(&address)), [this, weak = std::weak_ptr(connection)] {
          if (const auto goes = weak.lock()) Expel(goes);
        });
    if (!id) return;
    connection->fd = std::move(fd);
    connection->name = NameOf(address);
    connection->id = *id;
    connection->until = clock->Now() + bounds.silence;
    connection->in_mute = mute.insert(mute.end(), connection);
    connections.emplace(*id, connection);
    Watch(connection->fd.get(), *id, EPOLLIN | EPOLLRDHUP);
  }

  void Accept() {
    for (int i = 0; i < kAcceptsAtOnce; ++i) {
      sockaddr_storage address{};
      socklen_t size = sizeof address;
      Fd fd(accept4(listener.get(), reinterpret_cast<sockaddr*>(&address), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (fd.get() >= 0) {
        Admit(std::move(fd), address);
        continue;
      }
      if (errno == ECONNABORTED || errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return;
      places->CloseOldestSilent();  // No descriptor is left: that one gives its own. A pause instead of spinning.
      Watch(listener.get(), kListener, 0, EPOLL_CTL_MOD);
      retry = clock->Now() + kRetry;
      return;
    }
  }

  void Take(const epoll_event& event) {
    const uint64_t id = event.data.u64;  // Copied: the struct is packed.
    if (id == kListener) return Accept();
    const auto at = connections.find(id);
    if (at == connections.end()) return;  // Gone since.
    const std::shared_ptr<Connection> connection = at->second;
    if (event.events == EPOLLIN) return Give(connection);
    Forget(connection);
    connection->fd = Fd();
  }

  // Until when nothing is to be done unasked.
  MonoTime Tidy() {
    const MonoTime now = clock->Now();
    while (!mute.empty() && mute.front()->until <= now) Expel(std::shared_ptr(mute.front()));
    if (retry <= now) {
      retry = MonoTime::max();
      Watch(listener.get(), kListener, EPOLLIN, EPOLL_CTL_MOD);
    }
    return mute.empty() ? retry : std::min(retry, mute.front()->until);
  }

  int Patience(MonoTime next) const {
    if (next == MonoTime::max()) return -1;
    const Duration nap = clock->MaxSleep(next - clock->Now());
    return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(std::max(nap, Duration(0))).count());
  }

  void Run() {
    std::array<epoll_event, 64> events;
    for (;;) {
      const int count = epoll_wait(poll.get(), events.data(), events.size(), Patience(Tidy()));
      for (int i = 0; i < count; ++i) {
        if (events[i].data.u64 == kWake) return;
        Take(events[i]);
      }
    }
  }
};

namespace {

// Tells the gate from when to when a call runs.
template <typename State>
class Calls : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit Calls(std::shared_ptr<State> state) : state_(std::move(state)) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(grpc::experimental::ServerRpcInfo* info) override {
    auto connection = state_->Begin(NameOf(info->server_context()->peer()));
    return connection == nullptr ? nullptr : new Call(state_, std::move(connection));
  }

 private:
  class Call : public grpc::experimental::Interceptor {
   public:
    Call(std::shared_ptr<State> state, std::shared_ptr<Connection> connection)
        : state_(std::move(state)), connection_(std::move(connection)) {}
    ~Call() override { state_->End(*connection_); }
    void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override { methods->Proceed(); }

   private:
    const std::shared_ptr<State> state_;
    const std::shared_ptr<Connection> connection_;
  };
  const std::shared_ptr<State> state_;
};

}  // namespace

Result<std::unique_ptr<Gate>> Gate::Open(const std::string& listen,
                                         const std::shared_ptr<grpc::ServerCredentials>& credentials,
                                         grpc::ServerBuilder& builder, const GateBounds& bounds, const Clock& clock) {
  auto state = std::make_shared<State>();
  state->bounds = bounds;
  state->clock = &clock;
  WEIR_ASSIGN(state->listener, Listen(listen));
  state->poll = Fd(epoll_create1(EPOLL_CLOEXEC));
  state->wake = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (state->poll.get() < 0 || state->wake.get() < 0) {
    return Unavailable("LISTEN_FAILED", "cannot listen on {}: {}", listen, std::strerror(errno));
  }
  sockaddr_storage own{};
  socklen_t size = sizeof own;
  getsockname(state->listener.get(), reinterpret_cast<sockaddr*>(&own), &size);
  state->port = ntohs(own.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(own).sin6_port
                                                : reinterpret_cast<sockaddr_in&>(own).sin_port);
  state->places =
      std::make_unique<Admission>(AffordableDescriptors(bounds.connections * 2, bounds.divisor) / 2, bounds.per_source);
  using Builder = grpc::ServerBuilder::experimental_type;
  state->acceptor =
      builder.experimental().AddExternalConnectionAcceptor(Builder::ExternalConnectionType::FROM_FD, credentials);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(std::make_unique<Calls<State>>(state));
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  return std::unique_ptr<Gate>(new Gate(std::move(state)));
}

Gate::Gate(std::shared_ptr<State> state) : state_(std::move(state)) {}
Gate::~Gate() { Stop(); }
int Gate::port() const { return state_->port; }
size_t Gate::connections() const { return state_->places->size(); }

void Gate::Start() {
  state_->Watch(state_->wake.get(), kWake, EPOLLIN);
  state_->Watch(state_->listener.get(), kListener, EPOLLIN);
  state_->thread = std::thread([state = state_.get()] { state->Run(); });
}

void Gate::Stop() {
  if (state_->thread.joinable()) {
    eventfd_write(state_->wake.get(), 1);
    state_->thread.join();
  }
  state_->listener = Fd();
  while (!state_->connections.empty()) {
    const std::shared_ptr<Connection> connection = state_->connections.begin()->second;
    state_->Forget(connection);
    connection->fd = Fd();
  }
}

}  // namespace weir::rpc
