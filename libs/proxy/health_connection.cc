#include "libs/proxy/health_connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cstring>

#include "libs/proxy/worker.h"

namespace weir::proxy {

HealthConnection::Ptr HealthConnection::Open(Worker& worker, const net::Address& to, const PeerWire& wire,
                                             const std::string& sni, Owner& owner, bool* local) {
  *local = false;
  if (!wire.plain() && !wire.tls()) return nullptr;
  auto fd = net::StartConnect(to, worker.source());
  *local = !fd.ok() && fd.error().code == Code::kResourceExhausted;
  if (!fd.ok()) return nullptr;
  Ptr connection(new HealthConnection(worker, wire, sni, owner));
  *local = !connection->transport_.Open(worker.loop(), std::move(*fd), connection.get()).ok();
  if (*local) return nullptr;
  return connection;
}

void HealthConnection::Close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  owner_ = nullptr;
  transport_.Close();
  worker_.loop().Retire(std::unique_ptr<net::Watcher>(this));
}

void HealthConnection::Finish(End end, std::string_view why) {
  // The owner lets go of this object while it hears of the end; the words must outlive that.
  Owner* owner = owner_;
  const std::string text(why);
  if (owner != nullptr) owner->OnEnd(end, text);
}

bool HealthConnection::Send(std::string_view bytes) {
  if (state_ != State::kUp) return false;
  if (transport_.Send(bytes)) return true;
  transport_.RecordEvents(EPOLLHUP);
  worker_.loop().Defer(*this);
  return false;
}

void HealthConnection::ReadWhatArrived() {
  if (state_ != State::kUp) return;
  transport_.RecordEvents(EPOLLIN);
  Readable();
}

void HealthConnection::OnEvents(uint32_t events) {
  if (state_ == State::kClosed) return;
  transport_.RecordEvents(events);
  if (state_ == State::kConnecting) {
    if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) return;
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(transport_.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return Finish(net::IsLocalShortage(error) ? End::kLocal : End::kRefused, strerror(error));
    if (wire_.plain()) {
      state_ = State::kUp;
      owner_->OnUp();
      return Readable();
    }
    if (worker_.identity() == nullptr) return Finish(End::kLost, "no identity yet");
    state_ = State::kHandshake;
    transport_.StartTls(net::TlsSession::Connect(*worker_.identity(), transport_, sni_, wire_.rule()));
    return ContinueHandshake();
  }
  if (events & EPOLLOUT && transport_.unsent() > 0 && !transport_.Flush()) {
    return Finish(state_ == State::kUp ? End::kLost : End::kTls, "cannot send");
  }
  if (state_ == State::kHandshake) return ContinueHandshake();
  Readable();
}

void HealthConnection::ContinueHandshake() {
  net::TlsSession& tls = *transport_.tls();
  const auto step = tls.Handshake();
  const bool flushed = transport_.FlushCipher();
  if (step == net::TlsSession::Step::kAgain && flushed) return;
  if (step == net::TlsSession::Step::kDone && flushed) {
    state_ = State::kUp;
    owner_->OnUp();
    return Readable();
  }
  Finish(tls.identity_refused() ? End::kIdentity : End::kTls, tls.failure());
}

void HealthConnection::Readable() {
  if (state_ == State::kUp && !worker_.StillAdmits(transport_)) {
    return Finish(End::kIdentity, "the peer's membership has ended");
  }
  for (int i = 0; i < 8; ++i) {
    if (state_ != State::kUp || !transport_.readable()) return;
    const ssize_t got = transport_.Read(transport_.loop().buffer(), net::Loop::kBufferSize);
    if (got == net::Transport::kAgain) return;
    if (got < 0) return Finish(End::kLost, got == net::Transport::kEof ? "closed by the peer" : "connection lost");
    owner_->OnBytes(transport_.loop().buffer(), static_cast<size_t>(got));
  }
  if (state_ == State::kUp) worker_.loop().Defer(*this);
}

}  // namespace weir::proxy
