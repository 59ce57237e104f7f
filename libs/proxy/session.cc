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
constexpr uint64_t kLookMs = 5'000;  // A timer looks at least this often; deadlines that move on cost nothing.
constexpr int kReadsPerTurn = 8;
constexpr size_t kHeldBody = 256 * 1024;  // Bound of body bytes that wait for a connection.
}  // namespace

Session::Session(Worker& worker, ListenerSocket& listener, const net::Address& peer)
    : worker_(worker), listener_(listener) {
  const std::string ip = peer.Ip();
  peer_size_ = static_cast<uint8_t>(std::min(ip.size(), peer_.size()));
  std::copy_n(ip.data(), peer_size_, peer_.data());
  worker_.Opened(this);
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
    Deadline(static_cast<uint64_t>(worker_.limits().request_head.count()));
    return {};
  }
  state_ = State::kIdle;
  moved_ms_ = worker_.loop().now_ms();
  Deadline(static_cast<uint64_t>(worker_.limits().request_head.count()));
  return Bind() ? Status() : Unavailable("NOT_SERVED", "no chain without TLS");
}

void Session::Close() {
  if (state_ == State::kClosed) return;
  DropUpstream(false);
  LeaveDigest();
  state_ = State::kClosed;
  transport_.Close();
  worker_.loop().wheel().Clear(*this);
  worker_.Closed(this);
  worker_.loop().Retire(std::unique_ptr<net::Watcher>(this));
}

void Session::Deadline(uint64_t in_ms) {
  deadline_ms_ = worker_.loop().now_ms() + in_ms;
  worker_.loop().SetTimer(*this, std::min(in_ms, kLookMs));
}

bool Session::Bind() {
  if (epoch_ == worker_.epoch() && chain_ != nullptr) return true;
  planned_ = listener_.planned;
  epoch_ = worker_.epoch();
  chain_ = nullptr;
  if (planned_ == nullptr) return false;
  const int index = planned_->ChainFor(transport_.tls() != nullptr ? std::string_view(transport_.tls()->sni()) : "");
  if (index < 0 || planned_->tls != (transport_.tls() != nullptr)) return false;
  const auto& rule = planned_->rules[static_cast<size_t>(index)];
  if (rule != nullptr && !rule->Accepts(transport_.tls()->peer_uri())) return false;  // Allowed before, not any more.
  chain_ = &planned_->source->chains[static_cast<size_t>(index)];
  return true;
}

void Session::CloseIdle() {
  if (state_ != State::kIdle) return;
  // The socket itself is asked: a request whose event has not come yet goes first.
  char byte;
  if (recv(transport_.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0) return;
  unread_ = true;
  Depart();
}

// ---- Events

void Session::OnEvents(uint32_t events) {
  if (state_ == State::kClosed) return;
  transport_.Noted(events);
  if (events & EPOLLOUT && transport_.unsent() > 0) {
    if (!transport_.Flush()) return Close();
    if (transport_.unsent() == 0) {
      if (state_ == State::kFlushing) {
        Depart();
      } else if (exchange_.upstream != nullptr) {
        exchange_.upstream->Resume();
      }
    }
  }
  if (state_ == State::kHandshake) {
    Shake();
  } else if (state_ != State::kClosed) {
    Readable();
  }
}

void Session::OnDeferred() {
  if (state_ == State::kClosed) return;
  Readable();
}

void Session::Shake() {
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
    if (!Bind()) return Close();
    return Readable();
  }
  ++worker_.stats.tls_failures;
  if (tls.identity_refused()) ++worker_.stats.identity_refused;
  if (worker_.MayLog()) {
    obs::Log(tls.identity_refused() ? obs::Level::kWarn : obs::Level::kInfo, "TLS handshake refused",
             {{"peer", std::string(peer_.data(), peer_size_)}, {"sni", tls.sni()}, {"error", tls.failure()}});
  }
  Close();
}

void Session::OnTimer() {
  if (state_ == State::kClosed) return;
  const uint64_t now = worker_.loop().now_ms();
  if (state_ == State::kExchange) {
    if (exchange_.deadline_ms != 0 && now >= exchange_.deadline_ms) return Abort(504, "request_timeout");
    const auto stalled = static_cast<uint64_t>(worker_.limits().stalled_body.count());
    const bool moving = exchange_.response_started || !exchange_.request.done;
    if (moving && now >= moved_ms_ + stalled) return Abort(408, "stalled");
    uint64_t next = moving ? moved_ms_ + stalled : now + kLookMs;
    if (exchange_.deadline_ms != 0) next = std::min(next, exchange_.deadline_ms);
    worker_.loop().SetTimer(*this, std::min(next - now, kLookMs));
    return;
  }
  if (now < deadline_ms_) return worker_.loop().SetTimer(*this, std::min(deadline_ms_ - now, kLookMs));
  if (state_ == State::kHead) {
    ++worker_.stats.bad_requests;
    return Refuse(408, "head_timeout");
  }
  Close();
}

void Session::Readable() {
  for (int i = 0; i < kReadsPerTurn; ++i) {
    if (!ReadOnce()) return;
  }
  worker_.loop().Defer(*this);
}

bool Session::ReadOnce() {
  char* buffer = worker_.loop().buffer();
  switch (state_) {
    case State::kIdle:
      if (!pending_.empty()) {  // Requests that came early go first.
        const std::string bytes = std::exchange(pending_, {});
        Consume(bytes.data(), bytes.size());
        return state_ != State::kClosed;
      }
      break;
    case State::kHead:
      break;
    case State::kExchange:
      if (exchange_.request.done) {
        // What follows waits in the socket; only the end of the caller matters now.
        if (transport_.hung_up() && transport_.PeerGone()) Abort(499, "caller_gone");
        return false;
      }
      if (exchange_.upstream == nullptr || exchange_.upstream->transport.unsent() > worker_.limits().unsent_bytes) {
        if (transport_.hung_up() && transport_.PeerGone()) Abort(499, "caller_gone");
        return false;
      }
      break;
    case State::kLingering:
      break;
    default:
      return false;
  }
  if (!transport_.readable()) return false;
  const ssize_t got = transport_.Read(buffer, net::Loop::kBufferSize);
  if (got == net::Transport::kAgain) return false;
  if (got < 0) {
    if (state_ == State::kExchange) {
      Abort(499, "caller_gone");
    } else {
      Close();
    }
    return false;
  }
  const auto size = static_cast<size_t>(got);
  if (state_ == State::kExchange) {
    ForwardRequestBody(buffer, size);
  } else if (state_ != State::kLingering) {
    Consume(buffer, size);
  }
  return state_ != State::kClosed;
}

// Bytes at the beginning of a request, or more of one whose head was not complete.
void Session::Consume(const char* data, size_t size) {
  std::string kept;
  if (state_ == State::kHead) {
    const size_t before = pending_.size();
    pending_.append(data, size);
    // Only a complete head is parsed again, so that a slow sender costs no more than a fast one.
    const size_t from = before < 3 ? 0 : before - 3;
    if (pending_.size() <= codec::kMaxHead &&
        memmem(pending_.data() + from, pending_.size() - from, "\r\n\r\n", 4) == nullptr) {
      return;
    }
    kept.swap(pending_);
    data = kept.data();
    size = kept.size();
  } else {
    // Empty lines before a request are forgiven (RFC 9112 section 2.2).
    while (size >= 2 && data[0] == '\r' && data[1] == '\n') {
      data += 2;
      size -= 2;
    }
    if (size == 0) return;
  }
  codec::RequestHead& head = worker_.request_head;
  switch (codec::ParseRequest(data, size, head)) {
    case codec::Parse::kIncomplete:
      if (state_ != State::kHead) {
        state_ = State::kHead;
        Deadline(static_cast<uint64_t>(worker_.limits().request_head.count()));
      }
      pending_.assign(data, size);
      return;
    case codec::Parse::kBad:
      ++worker_.stats.bad_requests;
      return Refuse(head.error_status, head.error);
    case codec::Parse::kComplete:
      break;
  }
  StartExchange(head, data + head.size, size - head.size);
}

// ---- The request

void Body::Begin(const codec::Head& head) {
  kind = head.body;
  done = kind == codec::BodyKind::kNone;
  unchunk = false;
  left = head.content_length;
  chunks.Reset();
}

void Session::StartExchange(const codec::RequestHead& head, const char* rest, size_t rest_size) {
  state_ = State::kExchange;
  exchange_.request.Begin(head);
  exchange_.status = 0;
  exchange_.deadline_ms = 0;
  exchange_.response_started = exchange_.body_gone = exchange_.moved = false;
  exchange_.reusable = true;
  exchange_.safe = false;
  exchange_.to_head = head.method == "HEAD";
  exchange_.http_1_0 = head.minor == 0;
  exchange_.counters = nullptr;
  exchange_.host = nullptr;
  exchange_.choice = {};
  close_after_ = head.close || worker_.draining();
  unread_ = false;
  moved_ms_ = worker_.loop().now_ms();
  if (!Bind()) return Close();
  // Who had to prove an identity to come in here is one of us.
  exchange_.trusted = chain_->tls && chain_->tls->require_client_certificate && !chain_->tls->allowed_uris.empty();

  std::string_view target = head.target;
  const codec::PathResult path = codec::CanonicalTarget(head.target, worker_.target);
  if (path == codec::PathResult::kRewritten) target = worker_.target;
  if (worker_.log().on()) {
    exchange_.log = std::make_unique<LogEntry>();
    exchange_.log->method = head.method;
    exchange_.log->host = head.host;
    exchange_.log->target = head.target;
    exchange_.log->peer.assign(peer_.data(), peer_size_);
    if (transport_.tls() != nullptr) exchange_.log->identity = transport_.tls()->peer_uri();
    exchange_.log->started_us = MonotonicUs();
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
  const RouteAction* action = nullptr;
  if (!Route(head, target, &action)) return;
  if (action->redirect || action->direct_response) return Answer(head, *action, target);
  exchange_.safe = head.SafeToRepeat() || action->idempotent;
  if (action->timeout.count() > 0) {
    exchange_.deadline_ms = moved_ms_ + static_cast<uint64_t>(action->timeout.count());
    worker_.loop().SetTimer(*this, std::min<uint64_t>(static_cast<uint64_t>(action->timeout.count()), kLookMs));
  } else {
    worker_.loop().SetTimer(*this, kLookMs);
  }
  exchange_.cluster = worker_.ClusterNamed(action->cluster);
  if (exchange_.cluster == nullptr) return Reply(503, "no_such_cluster", {}, "retry-after: 1\r\n");
  Dispatch(target, head);
}

bool Session::Route(const codec::RequestHead& head, std::string_view target, const RouteAction** action) {
  if (!exchange_.trusted && target.starts_with("/.weir/")) {
    Reply(404, "no_such_route");
    return false;
  }
  if (AsksForHealth(target)) {
    AnswerHealth(head);
    return false;
  }
  if (transport_.tls() != nullptr && !planned_->exact.empty()) {
    // A host that has a chain of its own is not reached through another one's (RFC 9110 section 15.5.20).
    const auto own = planned_->exact.find(traffic::WithoutPort(head.host));
    if (own != planned_->exact.end() && &planned_->source->chains[own->second] != chain_) {
      Reply(421, "misdirected");
      return false;
    }
  }
  const Routes& routes = *chain_->routes;
  const traffic::RouteTable::Found found = routes.table.Match(head.host, target);
  exchange_.host = found.host;
  if (found.rule == nullptr) {
    Reply(404, found.host == nullptr ? "no_such_host" : "no_such_route");
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

void Session::Answer(const codec::RequestHead& head, const RouteAction& action, std::string_view target) {
  if (action.direct_response) {
    return Reply(static_cast<int>(action.direct_response->status), {}, action.direct_response->body);
  }
  const Redirect& redirect = *action.redirect;
  std::string location = "location: ";
  location += !redirect.scheme.empty() ? redirect.scheme : transport_.tls() != nullptr ? "https" : "http";
  location += "://";
  location += redirect.authority.empty() ? std::string(head.host) : redirect.authority;
  location += redirect.path.empty() ? std::string(target) : redirect.path;
  location += "\r\n";
  Reply(static_cast<int>(redirect.status), {}, {}, location);
}

// Chooses where the request goes and sends it there, or queues it for the next connection.
void Session::Dispatch(std::string_view target, const codec::RequestHead& head) {
  exchange_.cluster->budget.Request(worker_.loop().now_ms());
  exchange_.choice = exchange_.cluster->Pick();
  if (exchange_.choice.pool == nullptr) return Reply(503, "no_cluster_can_serve", {}, "retry-after: 1\r\n");
  Chosen();
  exchange_.upstream = Upstream::TakeIdle(*exchange_.choice.pool, this);
  BuildRequestHead(head, target, RequestHead());
  if (exchange_.upstream != nullptr) return SendHeld();
  Await();
}

// Sends an already serialized head by the present choice.
void Session::Engage(std::string&& head) {
  Chosen();
  exchange_.upstream = Upstream::TakeIdle(*exchange_.choice.pool, this);
  RequestHead() = std::move(head);
  if (exchange_.upstream != nullptr) return SendHeld();
  Await();
}

void Session::Await() {
  const std::shared_ptr<Pool> pool = exchange_.choice.pool;
  pool->waiting.push_back(*this);
  if (Upstream::ConnectFor(worker_, pool)) return;
  pool->waiting.erase(pool->waiting.iterator_to(*this));
  OnNoConnection();
}

std::string& Session::RequestHead() {
  return exchange_.upstream != nullptr ? exchange_.upstream->head : exchange_.head;
}

// Remembers under which label the answer is counted.
void Session::Chosen() {
  const size_t locality = exchange_.choice.locality;
  ClusterState& cluster = *exchange_.cluster;
  if (epoch_ == worker_.epoch() && cluster.epoch == epoch_) {
    exchange_.counters = cluster.CountersFor(worker_, locality, exchange_.host);
  } else {
    const auto& domains = exchange_.host->domains;
    exchange_.counters = worker_.CountersFor(cluster.source()->name, domains.empty() ? "" : domains.front(),
                                             cluster.LocalityName(locality));
  }
  if (exchange_.log == nullptr) return;
  exchange_.log->cluster = cluster.LocalityName(locality);
  exchange_.log->endpoint = exchange_.choice.pool->address.ToString();
}

void Session::OnConnection(Upstream& upstream) {
  exchange_.upstream = &upstream;
  upstream.head = std::exchange(exchange_.head, {});
  SendHeld();
  if (state_ == State::kExchange && !exchange_.request.done) worker_.loop().Defer(*this);
}

// The head, and the body bytes that waited for the connection.
void Session::SendHeld() {
  Upstream& upstream = *exchange_.upstream;
  const iovec pieces[2] = {{upstream.head.data(), upstream.head.size()}, {held_.data(), held_.size()}};
  if (!upstream.transport.Send(pieces, held_.empty() ? 1 : 2)) upstream.SendFailed();
  if (!held_.empty()) KeepForReplay(nullptr, 0);
}

void Session::BuildRequestHead(const codec::RequestHead& head, std::string_view target, std::string& out) {
  Forwarding forwarding;
  forwarding.trusted = exchange_.trusted;
  forwarding.peer = {peer_.data(), peer_size_};
  forwarding.proto = transport_.tls() != nullptr ? "https" : "http";
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
  if (fed.consumed < size) {
    pending_.append(data + fed.consumed, size - fed.consumed);
  }
  if (ok) return;
  if (!connected) return Abort(503, "body_too_large_to_hold");
  exchange_.upstream->SendFailed();
}

void Session::OnUpstreamDrained() {
  if (state_ == State::kExchange && !exchange_.request.done) worker_.loop().Defer(*this);
}

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
    const codec::Parse parsed = codec::ParseResponse(data, size, exchange_.to_head, head);
    if (parsed == codec::Parse::kIncomplete) {
      upstream.pending.assign(data, size);
      return;
    }
    if (parsed == codec::Parse::kBad || head.status == 101) {  // Upgrade was not forwarded, so nobody may agree to it.
      ++worker_.stats.upstream_failures;
      return Abort(502, parsed == codec::Parse::kBad ? head.error : "unasked_upgrade");
    }
    data += head.size;
    size -= head.size;
    if (head.status >= 200) {
      const bool whole = head.body == codec::BodyKind::kLength && head.content_length == size;
      if (Refused(head, whole)) return;
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
  exchange_.response.Begin(head);
  exchange_.reusable = !head.close;
  if (head.body == codec::BodyKind::kToClose) close_after_ = true;
  if (exchange_.http_1_0 && head.body == codec::BodyKind::kChunked) exchange_.response.unchunk = true;
  if (!exchange_.request.done) close_after_ = true;  // Answered early: the rest of the body is not wanted.
  if (worker_.draining()) close_after_ = true;
  std::string& out = worker_.loop().scratch();
  WriteResponseHead(head,
                    {.trusted = exchange_.trusted,
                     .from_mesh = FromMesh(),
                     .close = close_after_,
                     .unchunk = exchange_.response.unchunk},
                    out);
  // Head and first body bytes leave together.
  BodyPieces pieces;
  pieces.Add(out.data(), out.size());
  bool ok = true;
  const FeedResult fed = FeedBody(exchange_.response, rest, rest_size, pieces, [&](const iovec* parts, int count) {
    for (int i = 0; i < count && exchange_.log != nullptr; ++i) exchange_.log->bytes_out += parts[i].iov_len;
    return ok = ok && transport_.Send(parts, count);
  });
  moved_ms_ = worker_.loop().now_ms();
  if (!ok) return Abort(499, "caller_gone");
  if (fed.bad) {
    ++worker_.stats.upstream_failures;
    return Abort(502, "bad_chunk");
  }
  if (exchange_.response.done) EndOfResponse(fed.consumed == rest_size);
}

void Session::ForwardResponseBody(const char* data, size_t size) {
  BodyPieces pieces;
  bool ok = true;
  const FeedResult fed = FeedBody(exchange_.response, data, size, pieces, [&](const iovec* parts, int count) {
    for (int i = 0; i < count && exchange_.log != nullptr; ++i) exchange_.log->bytes_out += parts[i].iov_len;
    return ok = ok && transport_.Send(parts, count);
  });
  moved_ms_ = worker_.loop().now_ms();
  if (!ok) return Abort(499, "caller_gone");
  if (fed.bad) {
    ++worker_.stats.upstream_failures;
    return Abort(502, "bad_chunk");
  }
  if (exchange_.response.done) EndOfResponse(fed.consumed == size);
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

void Session::Account() {
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

// The answer is complete (in our buffers at least).
void Session::Finish(bool upstream_reusable) {
  DropUpstream(upstream_reusable);
  Account();
  exchange_.cluster.reset();
  exchange_.choice = {};
  if (!held_.empty()) std::string().swap(held_);
  if (close_after_ || !exchange_.request.done) {
    unread_ = !exchange_.request.done || !pending_.empty();
    state_ = State::kFlushing;
    Deadline(static_cast<uint64_t>(worker_.limits().stalled_body.count()));
    if (transport_.unsent() == 0) Depart();
    return;
  }
  state_ = State::kIdle;
  moved_ms_ = worker_.loop().now_ms();
  Deadline(static_cast<uint64_t>(worker_.limits().idle.count()));
  if (!pending_.empty() || transport_.readable()) worker_.loop().Defer(*this);
}

// ---- Answers of our own

void Session::Reply(int status, std::string_view reason, std::string_view body, std::string_view extra) {
  exchange_.status = status;
  if (exchange_.log != nullptr) exchange_.log->reason = reason;
  if (!exchange_.request.done || worker_.draining()) close_after_ = true;
  std::string& out = worker_.loop().scratch();
  WriteReply(status, reason, body, extra, {.head_only = exchange_.to_head, .close = close_after_}, out);
  exchange_.response_started = true;
  if (exchange_.log != nullptr) exchange_.log->bytes_out = out.size();
  if (!transport_.Send(out)) {
    Account();
    return Close();
  }
  Finish(false);
}

// Something that cannot be understood: answered, then closed, because nobody knows where the next request begins.
void Session::Refuse(int status, std::string_view reason) {
  if (state_ != State::kExchange) {
    exchange_ = {};
    state_ = State::kExchange;
    if (worker_.log().on()) {
      exchange_.log = std::make_unique<LogEntry>();
      exchange_.log->peer.assign(peer_.data(), peer_size_);
      exchange_.log->started_us = MonotonicUs();
    }
  }
  exchange_.request.done = false;
  close_after_ = true;
  pending_.clear();
  Reply(status, reason);
}

// Ends the exchange because of `reason`, with an answer if none has begun.
void Session::Abort(int status, std::string_view reason) {
  DropUpstream(false);
  if (status == 499 || exchange_.response_started) {
    exchange_.status = exchange_.response_started ? exchange_.status : status;
    if (exchange_.log != nullptr) exchange_.log->reason = reason;
    Account();
    return Close();
  }
  Refuse(status, reason);
}

void Session::Depart() {
  // Closing with unread bytes would reset the connection and could take the answer with it.
  if (!unread_ && !transport_.readable()) return Close();
  transport_.ShutdownWrite();
  state_ = State::kLingering;
  Deadline(static_cast<uint64_t>(worker_.limits().linger.count()));
  worker_.loop().Defer(*this);
}

}  // namespace weir::proxy
