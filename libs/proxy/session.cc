#include "libs/proxy/session.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "libs/obs/log.h"
#include "libs/proxy/message.h"
#include "libs/proxy/worker.h"

namespace weir::proxy {
namespace {
using traffic::Reason;
constexpr uint64_t kLookMs = 5'000;  // A timer looks at least this often; deadlines that move on cost nothing.
constexpr int kReadsPerTurn = 8;
constexpr size_t kHeldBody = 256 * 1024;   // Bound of body bytes that wait for a connection.
constexpr uint64_t kIdleLingerMs = 1'000;  // Of a connection on which nothing was under way.
uint64_t Ms(std::chrono::milliseconds time) { return static_cast<uint64_t>(time.count()); }
}  // namespace

Session::Session(Worker& worker, ListenerSocket& listener, const net::Address& peer)
    : worker_(worker), listener_(listener) {
  const std::string ip = peer.Ip();
  peer_size_ = static_cast<uint8_t>(std::min(ip.size(), peer_.size()));
  std::copy_n(ip.data(), peer_size_, peer_.data());
  worker_.Add(this);
}

Session::~Session() = default;

Status Session::Open(net::Fd fd) {
  WEIR_TRY(transport_.Open(worker_.loop(), std::move(fd), this));
  if (listener_.planned == nullptr) return Unavailable("NOT_SERVED", "the listener is gone");
  if (listener_.planned->tls) {
    if (worker_.identity() == nullptr) {
      ++worker_.stats.tls_failures;
      return Unavailable("NO_IDENTITY", "no certificate yet");
    }
    transport_.StartTls(net::TlsSession::Accept(*worker_.identity(), transport_, listener_));
    state_ = State::kHandshake;
    SetDeadline(static_cast<uint64_t>(worker_.limits().request_head.count()));
    return {};
  }
  state_ = State::kIdle;
  moved_ms_ = worker_.loop().now_ms();
  SetDeadline(static_cast<uint64_t>(worker_.limits().request_head.count()));
  return FindChain() ? Status() : Unavailable("NOT_SERVED", "no chain without TLS");
}

void Session::Close() {
  if (state_ == State::kClosed) return;
  DropUpstream(false);
  LeaveDigest();
  // An answer that is not whole must not look as if it were.
  const bool cut = busy() && exchange_.response_started;
  const auto how = exchange_.response.EndsWithConnection() ? net::Transport::End::kReset : net::Transport::End::kCut;
  state_ = State::kClosed;
  transport_.Close(cut ? how : net::Transport::End::kGoodbye);
  worker_.loop().wheel().Clear(*this);
  worker_.Remove(this);
  worker_.loop().Retire(std::unique_ptr<net::Watcher>(this));
}

void Session::SetDeadline(uint64_t in_ms) {
  deadline_ms_ = worker_.loop().now_ms() + in_ms;
  worker_.loop().SetTimer(*this, std::min(in_ms, kLookMs));
}

bool Session::FindChain() {
  if (epoch_ == worker_.epoch() && chain_ != nullptr) return true;
  planned_ = listener_.planned;
  epoch_ = worker_.epoch();
  chain_ = nullptr;
  if (planned_ == nullptr) return false;
  const bool tls = transport_.tls() != nullptr;
  place_ = planned_->Find(tls ? std::string_view(transport_.tls()->sni()) : "");
  if (place_.chain < 0 || planned_->tls != tls) return false;
  if (tls && !planned_->Admits(place_, transport_.tls()->peer_uri())) return false;  // Allowed before, not any more.
  chain_ = &planned_->source->chains[static_cast<size_t>(place_.chain)];
  return true;
}

void Session::CloseIdle() {
  if (state_ != State::kIdle) return;
  // The socket itself is asked: a request whose event has not come yet goes first.
  char byte;
  if (recv(transport_.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0) return;
  unread_ = true;
  lingered_ = 0;
  CloseOrLinger();
  if (state_ == State::kLingering) SetDeadline(std::min(kIdleLingerMs, Ms(worker_.limits().linger)));
}

// ---- Events

void Session::OnEvents(uint32_t events) {
  if (state_ == State::kClosed) return;
  transport_.RecordEvents(events);
  if (events & EPOLLOUT && transport_.unsent() > 0) {
    const size_t before = transport_.unsent();
    if (!transport_.Flush()) return busy() ? Abort(499, "caller_gone") : Close();
    if (transport_.unsent() < before) moved_ms_ = worker_.loop().now_ms();
    if (transport_.unsent() == 0) {
      if (state_ == State::kSending) {
        OnAnswerSent();
      } else if (exchange_.upstream != nullptr) {
        exchange_.upstream->Resume();
      }
    }
  }
  if (state_ == State::kHandshake) {
    ContinueHandshake();
  } else if (state_ != State::kClosed) {
    Readable();
  }
}

void Session::OnDeferred() {
  if (state_ == State::kClosed) return;
  Readable();
}

void Session::ContinueHandshake() {
  net::TlsSession& tls = *transport_.tls();
  const auto step = tls.Handshake();
  const bool flushed = transport_.FlushCipher();
  if (step == net::TlsSession::Step::kAgain && flushed) {
    if (transport_.hung_up() && transport_.PeerGone()) Close();
    return;
  }
  if (step == net::TlsSession::Step::kDone && flushed) {
    state_ = State::kIdle;
    moved_ms_ = worker_.loop().now_ms();
    if (tls.peer_expired()) SayExpired();
    if (!worker_.StillAdmits(transport_) || !FindChain()) return Close();  // Its membership may have ended meanwhile.
    return Readable();
  }
  ++worker_.stats.tls_failures;
  if (tls.identity_refused()) ++worker_.stats.identity_refused;
  if (worker_.MaySay(fmt::format("{} {} {}", std::string_view(peer_.data(), peer_size_), tls.sni(), tls.failure()))) {
    obs::Log(tls.identity_refused() ? obs::Level::kWarn : obs::Level::kInfo, "TLS handshake refused",
             {{"peer", std::string(peer_.data(), peer_size_)}, {"sni", tls.sni()}, {"error", tls.failure()}});
  }
  Close();
}

void Session::OnTimer() {
  if (state_ == State::kClosed) return;
  const uint64_t now = worker_.loop().now_ms();
  if (state_ == State::kExchange) return OnExchangeTimer(now);
  uint64_t due = deadline_ms_;
  if (state_ == State::kSending) due = moved_ms_ + Ms(worker_.limits().stalled_body);
  if (state_ == State::kLingering) due = std::min(due, moved_ms_ + Ms(worker_.limits().linger));
  if (now < due) return worker_.loop().SetTimer(*this, std::min(due - now, kLookMs));
  if (state_ == State::kSending) return Abort(499, "stalled");
  if (state_ == State::kHead) {
    codec::RequestHead& head = worker_.request_head;
    codec::ParseRequest(pending_.data(), pending_.size(), head, HeadBounds());  // For the log: what is known of it.
    head.error_status = 408;
    head.error = "head_timeout";
    return RefuseHead(head, pending_.data(), pending_.size());
  }
  Close();
}

// Who keeps the exchange waiting: its caller, which does not read the answer or does not send its body?
bool Session::CallerHoldsUp() const {
  if (transport_.unsent() > 0) return true;
  return !exchange_.request.done && !exchange_.response_started && exchange_.upstream != nullptr &&
         exchange_.upstream->transport.unsent() <= worker_.limits().unsent_bytes;
}

void Session::OnExchangeTimer(uint64_t now) {
  if (exchange_.deadline_ms != 0 && now >= exchange_.deadline_ms) return Abort(504, Word(Reason::kRequestTimeout));
  const bool caller = CallerHoldsUp();
  const uint64_t stalled = Ms(worker_.limits().stalled_body);
  const uint64_t quiet = caller ? stalled : exchange_.idle_ms;
  if (quiet != 0 && now >= moved_ms_ + quiet) {
    return caller ? Abort(408, "stalled") : Abort(504, Word(Reason::kUpstreamStalled));
  }
  // Whom it waits for may change at any time: looked at again before the shorter of the two is over.
  uint64_t look = std::min(kLookMs, stalled);
  if (exchange_.idle_ms != 0) look = std::min(look, exchange_.idle_ms);
  if (quiet != 0) look = std::min(look, moved_ms_ + quiet - now);
  if (exchange_.deadline_ms != 0) look = std::min(look, exchange_.deadline_ms - now);
  worker_.loop().SetTimer(*this, look);
}

void Session::Readable() {
  for (int i = 0; i < kReadsPerTurn; ++i) {
    if (!ReadOnce()) return;
  }
  worker_.loop().Defer(*this);
}

// In this state, now: are more bytes of the caller wanted? May end the exchange of a caller that is gone.
bool Session::MayRead() {
  switch (state_) {
    case State::kIdle:
    case State::kHead:
    case State::kLingering:
      return true;
    case State::kSending:
      return !exchange_.request.done;  // What is left of a body that nobody wants any more.
    case State::kExchange:
      // What follows the request waits in the socket; then only the end of the caller matters.
      if (!exchange_.request.done && exchange_.upstream != nullptr &&
          exchange_.upstream->transport.unsent() <= worker_.limits().unsent_bytes) {
        return true;
      }
      if (transport_.hung_up() && transport_.PeerGone()) Abort(499, "caller_gone");
      return false;
    default:
      return false;
  }
}

bool Session::ReadOnce() {
  if (state_ == State::kIdle && Waiting()) {  // Requests that came early go first.
    Consume(pending_.data() + pending_at_, pending_.size() - pending_at_);
    return state_ != State::kClosed;
  }
  if (!MayRead() || !transport_.readable()) return false;
  char* buffer = worker_.loop().buffer();
  const ssize_t got = transport_.Read(buffer, net::Loop::kBufferSize);
  if (got == net::Transport::kAgain) return false;
  if (got < 0) {
    if (state_ == State::kExchange) {
      Abort(499, "caller_gone");
    } else if (state_ != State::kSending) {
      Close();
    }
    return false;
  }
  const auto size = static_cast<size_t>(got);
  if (state_ == State::kExchange) {
    ForwardRequestBody(buffer, size);
  } else if (state_ == State::kLingering || state_ == State::kSending) {
    Discard(size);
  } else {
    Consume(buffer, size);
  }
  return state_ != State::kClosed;
}

void Session::Discard(size_t size) {
  lingered_ += size;
  moved_ms_ = worker_.loop().now_ms();
  if (lingered_ > worker_.limits().linger_bytes) Close();
}

// More bytes of a head that was not complete. True: it may be complete now.
bool Session::AddToHead(const char* data, size_t size) {
  const size_t before = pending_.size();
  pending_.append(data, size);
  // Only a complete head is parsed again, so that a slow sender costs no more than a fast one.
  const size_t from = before < 3 ? 0 : before - 3;
  return pending_.size() > HeadBounds().bytes ||
         memmem(pending_.data() + from, pending_.size() - from, "\r\n\r\n", 4) != nullptr;
}

// Bytes that are the next request's, or part of a head: they wait.
void Session::KeepForLater(const char* data, size_t size) {
  if (pending_at_ <= pending_.size() && !pending_.empty() && data + size == pending_.data() + pending_.size()) {
    pending_at_ = pending_.size() - size;
    return;
  }
  pending_.assign(data, size);
  pending_at_ = 0;
}

// Everything that waited has been taken: an idle connection keeps no buffer.
void Session::DropConsumed() {
  if (Waiting() || pending_.empty()) return;
  std::string().swap(pending_);
  pending_at_ = 0;
}

// Bytes at the beginning of a request, or more of one whose head was not complete.
void Session::Consume(const char* data, size_t size) {
  if (state_ == State::kHead) {
    if (!AddToHead(data, size)) return;
    data = pending_.data();
    size = pending_.size();
  }
  pending_at_ = pending_.size();  // All is taken; what is left over is kept anew.
  // Empty lines before a request are forgiven (RFC 9112 section 2.2).
  while (size >= 2 && data[0] == '\r' && data[1] == '\n') {
    data += 2;
    size -= 2;
  }
  codec::RequestHead& head = worker_.request_head;
  const bool half_a_line = size == 1 && data[0] == '\r';
  const codec::Parse parsed =
      size == 0 || half_a_line ? codec::Parse::kIncomplete : codec::ParseRequest(data, size, head, HeadBounds());
  if (parsed == codec::Parse::kBad) return RefuseHead(head, data, size);
  if (parsed == codec::Parse::kComplete) {
    StartExchange(head, data + head.size, size - head.size);
    return DropConsumed();
  }
  if (size == 0) {
    if (state_ == State::kHead) state_ = State::kIdle;
    return DropConsumed();
  }
  KeepForLater(data, size);
  pending_.erase(0, std::exchange(pending_at_, 0));
  if (state_ == State::kHead) return;
  state_ = State::kHead;
  SetDeadline(Ms(worker_.limits().request_head));
}

// ---- The request

void Body::Begin(const codec::Head& head, codec::ChunkReader::Strictness strictness) {
  kind = head.body;
  done = kind == codec::BodyKind::kNone;
  unchunk = rechunk = false;
  left = head.content_length;
  chunks = codec::ChunkReader(strictness);
}

void Session::BeginExchange(const codec::RequestHead& head) {
  state_ = State::kExchange;
  exchange_.request.Begin(head, codec::ChunkReader::Strictness::kRequest);
  exchange_.response = {};
  exchange_.status = 0;
  exchange_.deadline_ms = 0;
  exchange_.idle_ms = Ms(worker_.limits().stalled_body);
  exchange_.response_started = exchange_.body_gone = exchange_.repeated = false;
  exchange_.tried.clear();
  exchange_.reusable = true;
  exchange_.safe = false;
  exchange_.to_head = head.method == "HEAD";
  exchange_.http_1_0 = head.minor == 0;
  exchange_.counters = nullptr;
  exchange_.host = nullptr;
  exchange_.choice = {};
  close_after_ = head.close || worker_.draining();
  unread_ = false;
  lingered_ = 0;
  moved_ms_ = worker_.loop().now_ms();
}

void Session::BeginLog() {
  if (!worker_.log().on()) return;
  exchange_.log = std::make_unique<LogEntry>();
  exchange_.log->peer.assign(peer_.data(), peer_size_);
  if (transport_.tls() != nullptr) exchange_.log->identity = transport_.tls()->peer_uri();
  exchange_.log->started_us = MonotonicUs(worker_.loop().clock());
}

void Session::StartExchange(const codec::RequestHead& head, const char* rest, size_t rest_size) {
  BeginExchange(head);
  if (!FindChain()) return Close();
  exchange_.trusted = FromInside();

  std::string_view target = head.target;
  const codec::PathResult path = codec::CanonicalTarget(head.target, worker_.target);
  if (path == codec::PathResult::kRewritten) target = worker_.target;
  BeginLog();
  if (exchange_.log != nullptr) {
    exchange_.log->method = head.method;
    exchange_.log->host = head.host;
    exchange_.log->target = head.target;
  }
  // From here on a reply may end the exchange; body bytes that came along are looked at first, because the buffer
  // they stand in is shared.
  held_.clear();
  if (rest_size > 0) ForwardRequestBody(rest, rest_size);
  if (state_ != State::kExchange) return;
  if (path == codec::PathResult::kRefused) {
    ++worker_.stats.bad_requests;
    return Refuse(400, "bad_path");
  }
  if (AnsweredBeforeRouting(head)) return;
  const RouteAction* action = nullptr;
  if (!Route(head, target, &action)) return;
  if (action->redirect || action->direct_response) return Answer(head, *action, target);
  exchange_.safe = head.SafeToRepeat() || action->idempotent;
  SetTimes(*action);
  exchange_.destination = worker_.DestinationNamed(action->destination_set);
  if (exchange_.destination == nullptr)
    return Reply(503, Word(Reason::kNoSuchDestinationSet), {}, "retry-after: 1\r\n");
  Dispatch(target, head);
}

void Session::SetTimes(const RouteAction& action) {
  const auto idle = action.idle ? action.idle : chain_->idle;
  exchange_.idle_ms = Ms(idle.value_or(worker_.limits().stalled_body));
  uint64_t look = std::min(kLookMs, Ms(worker_.limits().stalled_body));
  if (exchange_.idle_ms != 0) look = std::min(look, exchange_.idle_ms);
  if (action.timeout.count() > 0) {
    exchange_.deadline_ms = moved_ms_ + Ms(action.timeout);
    look = std::min(look, Ms(action.timeout));
  }
  worker_.loop().SetTimer(*this, look);
}

bool Session::Route(const codec::RequestHead& head, std::string_view target, const RouteAction** action) {
  if (!exchange_.trusted && dialect::IsOwnPath(target)) {
    Reply(404, "no_such_route");
    return false;
  }
  if (AsksForHealth(target)) {
    AnswerHealth(head);
    return false;
  }
  if (transport_.tls() != nullptr && !planned_->exact.empty()) {
    // A host that has a chain of its own is not reached through another one's (RFC 9110 section 15.5.20).
    std::array<char, traffic::kMaxHost> folded;
    const auto own = planned_->exact.find(traffic::FoldedHost(head.host, folded));
    if (own != planned_->exact.end() && &planned_->source->chains[own->second] != chain_) {
      Reply(421, "misdirected");
      return false;
    }
  }
  const Routes& routes = *chain_->routes;
  const traffic::RouteTable::Found found = routes.table.Match(head.host, target);
  exchange_.host = found.host;
  if (place_.host != nullptr && found.host != nullptr && found.host != place_.host) {
    Reply(421, "misdirected");  // Who may call one host may not call another through it.
    return false;
  }
  if (found.rule == nullptr) {
    Reply(404, found.host == nullptr ? Word(Reason::kNoSuchHost) : "no_such_route");
    return false;
  }
  const auto& actions = *routes.actions[found.host_index];
  if (found.rule->action >= actions.size()) {
    Reply(500, "route_without_action");
    return false;
  }
  *action = &actions[found.rule->action];
  return true;
}

// Chooses where the request goes and sends it there, or queues it for the next connection.
void Session::Dispatch(std::string_view target, const codec::RequestHead& head) {
  exchange_.destination->budget.CountRequest(worker_.loop().now_ms());
  Choose(target, head);
  if (exchange_.choice.pool == nullptr) return Reply(503, Word(Reason::kNoClusterCanServe), {}, "retry-after: 1\r\n");
  RecordChoice();
  exchange_.upstream = Upstream::TakeIdle(*exchange_.choice.pool, this);
  BuildRequestHead(head, target, RequestHead());
  if (exchange_.upstream != nullptr) return SendHeld();
  QueueForConnection();
}

// Sends an already serialized head by the present choice.
void Session::SendSerialized(std::string&& head) {
  RecordChoice();
  exchange_.upstream = Upstream::TakeIdle(*exchange_.choice.pool, this);
  RequestHead() = std::move(head);
  if (exchange_.upstream != nullptr) return SendHeld();
  QueueForConnection();
}

void Session::QueueForConnection() {
  const std::shared_ptr<Pool> pool = exchange_.choice.pool;
  pool->waiting.push_back(*this);
  const Upstream::Connects connects = Upstream::ConnectFor(worker_, pool);
  if (connects == Upstream::Connects::kUnderWay) return;
  pool->waiting.erase(pool->waiting.iterator_to(*this));
  OnNoConnection(connects == Upstream::Connects::kShort);
}

std::string& Session::RequestHead() {
  return exchange_.upstream != nullptr ? exchange_.upstream->head : exchange_.head;
}

// Remembers under which label the answer is counted.
void Session::RecordChoice() {
  const size_t locality = exchange_.choice.locality;
  DestinationState& destination = *exchange_.destination;
  if (epoch_ == worker_.epoch() && destination.epoch == epoch_) {
    exchange_.counters = destination.CountersFor(worker_, locality, exchange_.host);
  } else {
    const auto& domains = exchange_.host->domains;
    exchange_.counters = worker_.CountersFor(destination.source()->name, domains.empty() ? "" : domains.front(),
                                             destination.LocalityName(locality));
  }
  if (exchange_.log == nullptr) return;
  exchange_.log->cluster = destination.LocalityName(locality);
  exchange_.log->endpoint = exchange_.choice.pool->address.ToString();
}

void Session::OnConnection(Upstream& upstream) {
  exchange_.upstream = &upstream;
  upstream.head = std::exchange(exchange_.head, {});
  SendHeld();
}

// The head, and the body that waited. The caller was not read meanwhile: the rest of it may be here already.
void Session::SendHeld() {
  Upstream& upstream = *exchange_.upstream;
  const iovec pieces[2] = {{upstream.head.data(), upstream.head.size()}, {held_.data(), held_.size()}};
  if (!upstream.transport.Send(pieces, held_.empty() ? 1 : 2)) upstream.SendFailed();
  if (!held_.empty()) KeepForReplay(nullptr, 0);
  if (state_ == State::kExchange && !exchange_.request.done) worker_.loop().Defer(*this);
}

void Session::BuildRequestHead(const codec::RequestHead& head, std::string_view target, std::string& out) {
  const std::string_view proto = transport_.tls() != nullptr ? "https" : "http";
  Forwarding forwarding{exchange_.trusted, exchange_.panic, {peer_.data(), peer_size_}, proto, {}};
  const bool keep_id = exchange_.trusted && IsRequestId(head.request_id);
  if (!keep_id) forwarding.request_id = worker_.NewRequestId();
  if (exchange_.log != nullptr) exchange_.log->request_id = keep_id ? head.request_id : forwarding.request_id;
  WriteRequestHead(head, target, forwarding, out);
}

// Body bytes from the caller; what lies behind the body is the next request and waits.
void Session::ForwardRequestBody(const char* data, size_t size) {
  moved_ms_ = worker_.loop().now_ms();
  BodyPieces pieces;
  bool ok = true;
  const bool connected = exchange_.upstream != nullptr;
  const auto forward = [&](const iovec* parts, int count) {
    if (!connected) {
      for (int i = 0; i < count; ++i) held_.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
      return held_.size() <= kHeldBody;
    }
    const bool sent = exchange_.upstream->transport.Send(parts, count);
    KeepForReplay(parts, count);
    return sent;
  };
  const FeedResult fed = FeedBody(exchange_.request, data, size, pieces, [&](const iovec* parts, int count) {
    for (int i = 0; i < count && exchange_.log != nullptr; ++i) exchange_.log->bytes_in += parts[i].iov_len;
    return ok = ok && forward(parts, count);
  });
  if (fed.bad) {
    ++worker_.stats.bad_requests;
    return Abort(400, "bad_chunk");
  }
  if (fed.consumed < size) KeepForLater(data + fed.consumed, size - fed.consumed);
  if (ok) return;
  if (!connected) return Abort(503, "body_too_large_to_hold");
  exchange_.upstream->SendFailed();
}

void Session::OnUpstreamDrained() {
  if (state_ == State::kExchange && !exchange_.request.done) worker_.loop().Defer(*this);
}

void Session::OnUpstreamMoved() { moved_ms_ = worker_.loop().now_ms(); }

// ---- The response

bool Session::full() const { return transport_.unsent() > worker_.limits().unsent_bytes; }

void Session::OnUpstreamBytes(const char* data, size_t size) {
  if (exchange_.response_started) return ForwardResponseBody(data, size);
  Upstream& upstream = *exchange_.upstream;
  std::string kept;
  if (!upstream.pending.empty()) {
    upstream.pending.append(data, size);
    kept.swap(upstream.pending);
    data = kept.data();
    size = kept.size();
  }
  while (size > 0) {
    codec::ResponseHead& head = worker_.response_head;
    const codec::HeadBounds& bounds = FromMesh() ? codec::kMesh : codec::kOutside;
    const codec::Parse parsed = codec::ParseResponse(data, size, exchange_.to_head, head, bounds);
    if (parsed == codec::Parse::kIncomplete) {
      upstream.pending.assign(data, size);
      return;
    }
    if (parsed == codec::Parse::kBad) return BadAnswer(head.error);
    if (head.status == 101) return BadAnswer("unasked_upgrade");  // Upgrade was not forwarded, so nobody may agree.
    data += head.size;
    size -= head.size;
    if (head.status >= 200) {
      const bool whole = head.body == codec::BodyKind::kLength && head.content_length == size;
      if (RepeatIfRefused(head, whole)) return;
      return StartResponse(head, data, size);
    }
    if (!exchange_.http_1_0) {
      std::string& out = worker_.loop().scratch();
      WriteResponseHead(head, {.trusted = exchange_.trusted, .from_mesh = FromMesh()}, out);
      if (!transport_.Send(out)) return Abort(499, "caller_gone");
    }
  }
}

void Session::StartResponse(const codec::ResponseHead& head, const char* rest, size_t rest_size) {
  exchange_.response_started = true;
  exchange_.status = head.status;
  exchange_.response.Begin(head, codec::ChunkReader::Strictness::kAnswer);
  exchange_.response.rechunk = head.body == codec::BodyKind::kToClose && !exchange_.http_1_0;
  exchange_.response.unchunk = head.body == codec::BodyKind::kChunked && exchange_.http_1_0;
  exchange_.reusable = !head.close;
  if (!exchange_.request.done) close_after_ = true;  // Answered early: the rest of the body is not wanted.
  if (worker_.draining() || exchange_.response.EndsWithConnection()) close_after_ = true;
  if (exchange_.log != nullptr && FromMesh() && !exchange_.panic) exchange_.log->reason = ReasonOf(head);
  std::string& out = worker_.loop().scratch();
  WriteResponseHead(head,
                    {.trusted = exchange_.trusted,
                     .from_mesh = FromMesh(),
                     .close = close_after_,
                     .unchunk = exchange_.response.unchunk,
                     .chunk = exchange_.response.rechunk,
                     .date = worker_.Date()},
                    out);
  // Head and first body bytes leave together.
  BodyPieces pieces;
  pieces.Add(out.data(), out.size());
  ForwardResponse(rest, rest_size, pieces);
}

void Session::ForwardResponseBody(const char* data, size_t size) {
  BodyPieces pieces;
  ForwardResponse(data, size, pieces);
}

void Session::ForwardResponse(const char* data, size_t size, BodyPieces& pieces) {
  bool ok = true;
  const FeedResult fed = FeedBody(exchange_.response, data, size, pieces, [&](const iovec* parts, int count) {
    for (int i = 0; i < count && exchange_.log != nullptr; ++i) exchange_.log->bytes_out += parts[i].iov_len;
    return ok = ok && transport_.Send(parts, count);
  });
  moved_ms_ = worker_.loop().now_ms();
  if (!ok) return Abort(499, "caller_gone");
  if (fed.bad) return BadAnswer("bad_chunk");
  if (exchange_.response.done) EndOfResponse(fed.consumed == size);
}

// The upstream has ended its connection, and with it the answer.
void Session::EndWithUpstream() {
  exchange_.upstream = nullptr;
  if (exchange_.response.rechunk && !transport_.Send(codec::ChunkReader::kLastChunk)) return Abort(499, "caller_gone");
  exchange_.response.done = true;
  Finish(false);
}

// `clean`: nothing lies behind the response that nobody asked for.
void Session::EndOfResponse(bool clean) { Finish(clean && exchange_.reusable && exchange_.request.done); }

void Session::DropUpstream(bool reusable) {
  if (is_linked()) {
    auto& queue = exchange_.choice.pool->waiting;
    queue.erase(queue.iterator_to(*this));
  }
  Upstream* upstream = std::exchange(exchange_.upstream, nullptr);
  if (upstream == nullptr) return;
  if (reusable) {
    upstream->Release();
  } else {
    upstream->Close();
  }
}

void Session::CountAndLog() {
  if (exchange_.counters == nullptr) {
    // `host` lives: planned_ stays until the next request begins.
    const bool known = exchange_.host != nullptr && !exchange_.host->domains.empty();
    exchange_.counters = worker_.CountersFor("", known ? exchange_.host->domains.front() : "", "");
  }
  exchange_.counters->Add(exchange_.status, worker_.loop().now_ms());
  ++worker_.stats.requests;
  if (exchange_.log == nullptr) return;
  LogEntry& entry = *exchange_.log;
  entry.status = exchange_.status;
  worker_.log().Write(worker_.loop(), entry);
  exchange_.log.reset();
}

// The answer is complete as far as the upstream is concerned. The exchange is over when it has left for the caller.
void Session::Finish(bool upstream_reusable) {
  DropUpstream(upstream_reusable);
  state_ = State::kSending;
  if (transport_.unsent() == 0) return OnAnswerSent();
  SetDeadline(Ms(worker_.limits().stalled_body));
  if (!exchange_.request.done) worker_.loop().Defer(*this);
}

void Session::OnAnswerSent() {
  CountAndLog();
  exchange_.destination.reset();
  exchange_.choice = {};
  if (!held_.empty()) std::string().swap(held_);
  if (close_after_ || !exchange_.request.done) {
    unread_ = !exchange_.request.done || Waiting();
    return CloseOrLinger();
  }
  state_ = State::kIdle;
  moved_ms_ = worker_.loop().now_ms();
  SetDeadline(Ms(worker_.limits().idle));
  if (Waiting() || transport_.readable()) worker_.loop().Defer(*this);
}

}  // namespace weir::proxy
