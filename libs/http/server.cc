#include "libs/http/server.h"

#include <poll.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <set>

#include "libs/base/admission.h"
#include "libs/base/descriptors.h"
#include "libs/base/fair_pool.h"
#include "libs/base/mutex.h"
#include "libs/http/response_head.h"
#include "libs/http/socket.h"
#include "libs/http/tls_context.h"
#include "libs/obs/log.h"

namespace weir::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using Tcp = asio::ip::tcp;
using ErrorCode = boost::system::error_code;
using SslStream = asio::ssl::stream<Tcp::socket>;

constexpr std::chrono::milliseconds kSweep(500);  // How exactly timeouts are kept.
constexpr std::chrono::milliseconds kRetry(50);   // After an accept that failed.
constexpr std::chrono::seconds kDrainTime(2);     // For the rest of a refused request.
constexpr size_t kDrainBytes = 16u << 20, kDrainChunk = 64u << 10;
constexpr size_t kReadChunk = 4u << 10;  // While a head is read.

Response PlainText(int status, const Error& error) {
  return {status, {{"Content-Type", "text/plain"}}, error.message + "\n"};
}

}  // namespace

class Connection;

// One thread runs each loop, so what belongs to a connection needs no lock.
struct Loop {
  asio::io_context context{1};
  asio::steady_timer sweep{context};
  std::set<std::shared_ptr<Connection>> connections;
  std::thread thread;
};

struct Server::State {
  explicit State(std::shared_ptr<SslContext> first) : ssl(std::move(first)) {}
  ServerOptions options;
  Handler handler;
  std::vector<std::unique_ptr<Loop>> loops;
  std::unique_ptr<Tcp::acceptor> acceptor;
  std::unique_ptr<FairPool> pool;
  Mutex context_mutex;
  std::shared_ptr<SslContext> ssl WEIR_GUARDED_BY(context_mutex);
  std::unique_ptr<Admission> admission;
  std::atomic<bool> stopping{false};
  size_t next_loop = 0;
  uint16_t port = 0;
  bool stopped = false;

  void Accept();
  void Admit(Loop& loop, Tcp::socket socket);
  void Sweep(Loop& loop);
};

// Everything runs on the loop's thread, but for the handler, which runs on the pool while no operation is pending.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Server::State& server, Loop& loop, Tcp::socket socket, std::shared_ptr<SslContext> ssl)
      : server_(server), loop_(loop), ssl_(std::move(ssl)), stream_(std::move(socket), *ssl_) {
    ErrorCode ignored;
    const auto remote = stream_.next_layer().remote_endpoint(ignored);
    if (!ignored) peer_ = remote.address().to_string(ignored);
  }

  void Start(Admission::Id place) {
    place_ = place;
    if (closed_) return server_.admission->Leave(place);
    Deadline(server_.options.handshake_timeout);
    stream_.async_handshake(asio::ssl::stream_base::server, [self = shared_from_this()](const ErrorCode& error) {
      if (error) return self->Close();
      self->ReadHead();
    });
  }

  // True when the connection waited too long for its peer. A running handler has no deadline here.
  bool Overdue(MonoTime now) const { return !handling_ && !waiting_ && now >= deadline_; }
  bool Idle() const { return idle_; }
  // The caller has hung up before its answer: seen by its FIN or RST, whatever bytes lie before it.
  bool Abandoned() {
    if (!waiting_ && !handling_) return false;
    pollfd polled{stream_.next_layer().native_handle(), POLLRDHUP, 0};
    return poll(&polled, 1, 0) > 0 && (polled.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
  }

  void Close() {
    if (closed_) return;
    closed_ = true;
    *gone_ = true;
    if (stream_of_ != nullptr) stream_of_->Leave();
    stream_of_.reset();
    ErrorCode ignored;
    stream_.next_layer().shutdown(Tcp::socket::shutdown_both, ignored);
    stream_.next_layer().close(ignored);
    server_.admission->Leave(place_);
    loop_.connections.erase(shared_from_this());
  }

 private:
  using Parser = beast::http::request_parser<beast::http::string_body>;

  void Deadline(Duration timeout) { deadline_ = server_.options.clock->Now() + timeout; }

  void ReadHead() {
    if (server_.stopping) return Close();  // Nothing is under way; every answer is with the kernel.
    server_.admission->SetSilent(place_, true);
    idle_ = buffer_.size() == 0;
    lines_seen_ = 0;
    Deadline(idle_ && served_ ? server_.options.idle_timeout : server_.options.head_timeout);
    if (idle_) return ReadMore();
    LookAtHead();
  }

  void ReadMore() {
    stream_.async_read_some(buffer_.prepare(kReadChunk), [self = shared_from_this()](const ErrorCode& error, size_t n) {
      if (error) return self->Close();
      if (self->idle_) self->Deadline(self->server_.options.head_timeout);
      self->idle_ = false;
      self->buffer_.commit(n);
      self->LookAtHead();
    });
  }

  // Asks the judge once per completed line, so that what can never become a request is refused at once and a head that
  // comes byte by byte costs no more than its lines.
  void LookAtHead() {
    const ServerOptions& options = server_.options;
    const std::string_view bytes(static_cast<const char*>(buffer_.data().data()), buffer_.size());
    if (!options.screen) return ParseHead({0, std::nullopt, "", options.body_limit, ""});
    const size_t newline = bytes.rfind('\n');
    if (newline != std::string_view::npos && newline + 1 > lines_seen_) {
      lines_seen_ = newline + 1;
      Screening screening = options.screen(bytes, peer_);
      if (screening.refusal) return Refuse(*screening.refusal);
      if (screening.head > 0) return ParseHead(std::move(screening));
    }
    if (bytes.size() > options.header_limit) return HeadTooLarge();
    ReadMore();
  }

  void ParseHead(Screening screening) {
    if (screening.head > server_.options.header_limit) return HeadTooLarge();
    screening_ = std::move(screening);
    screening_.body_limit = std::min(screening_.body_limit, server_.options.body_limit);
    if (screening_.owner.empty()) screening_.owner = SourceOf(peer_);
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(server_.options.header_limit));
    parser_->body_limit(screening_.body_limit);
    beast::http::async_read_header(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](const ErrorCode& error, size_t) { self->OnHead(error); });
  }

  void HeadTooLarge() {
    Refuse(server_.options.render_error(431, ResourceExhausted("HEADER_TOO_LARGE", "the header is larger than {} bytes",
                                                               server_.options.header_limit)));
  }

  void OnHead(const ErrorCode& error) {
    if (error) return OnReadError(error);
    idle_ = false;
    server_.admission->SetSilent(place_, false);
    Deadline(server_.options.request_timeout);
    if (parser_->is_done()) return Handle();
    if (beast::iequals(parser_->get()[beast::http::field::expect], "100-continue")) {
      static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      asio::async_write(stream_, asio::buffer(kContinue), [self = shared_from_this()](const ErrorCode& failed, size_t) {
        if (failed) return self->Close();
        self->ReadBody();
      });
      return;
    }
    ReadBody();
  }

  void ReadBody() {
    beast::http::async_read(stream_, buffer_, *parser_, [self = shared_from_this()](const ErrorCode& error, size_t) {
      if (error) return self->OnReadError(error);
      self->Handle();
    });
  }

  void OnReadError(const ErrorCode& error) {
    using Parsing = beast::http::error;
    if (closed_) return;
    const bool from_parser = error.category() == beast::http::make_error_code(Parsing::end_of_stream).category();
    if (!from_parser || error == Parsing::end_of_stream || error == Parsing::partial_message) return Close();
    if (error == Parsing::body_limit) {
      return Refuse(server_.options.render_error(
          413, ResourceExhausted("BODY_TOO_LARGE", "the body is larger than {} bytes", screening_.body_limit)));
    }
    if (error == Parsing::header_limit) return HeadTooLarge();
    Refuse(
        server_.options.render_error(400, InvalidArgument("BAD_HTTP", "not an HTTP/1.1 request: {}", error.message())));
  }

  // The rest of the request was not read, so the connection cannot go on.
  void Refuse(const Response& response) {
    keep_alive_ = false;
    refused_ = true;
    Write(response);
  }

  // Closing with unread bytes makes the kernel reset the connection, and the client would never see the answer.
  void Drain(size_t limit) {
    if (limit == 0) return Close();
    buffer_.clear();
    stream_.async_read_some(buffer_.prepare(std::min(limit, kDrainChunk)),
                            [self = shared_from_this(), limit](const ErrorCode& error, size_t bytes) {
                              if (error) return self->Close();
                              self->Drain(limit - std::min(limit, bytes));
                            });
  }

  void Handle() {
    auto message = parser_->release();
    keep_alive_ = message.keep_alive();
    head_only_ = message.method() == beast::http::verb::head;
    Request request;
    request.method = std::string(message.method_string());
    request.target = screening_.target.empty() ? std::string(message.target()) : std::move(screening_.target);
    request.body = std::move(message.body());
    request.peer = peer_;
    request.gone = gone_;
    for (const auto& field : message) {
      if (field.name() == beast::http::field::connection || field.name() == beast::http::field::content_length) {
        continue;
      }
      request.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
    }
    handling_ = true;
    auto task = [self = shared_from_this(), request = std::move(request)]() mutable {
      Response response = self->Call(std::move(request));
      if (!response.later) return self->Post(std::move(response));
      asio::post(self->loop_.context, [self] { self->waiting_ = self->handling_; });
      response.later([self](Response late) { self->Post(std::move(late)); });
    };
    if (!server_.pool->Post(screening_.owner, std::move(task)))
      Write(server_.options.render_error(503, Unavailable("OVERLOADED", "too many requests are waiting")));
  }

  void Post(Response response) {
    asio::post(loop_.context, [self = shared_from_this(), response = std::move(response)] { self->Write(response); });
  }

  Response Call(Request&& request) {
    try {
      return server_.handler(std::move(request));
    } catch (const std::exception& exception) {
      obs::Log(obs::Level::kError, "handler threw", {{"what", exception.what()}});
    } catch (...) {
      obs::Log(obs::Level::kError, "handler threw", {});
    }
    return server_.options.render_error(500, Internal("INTERNAL", "internal error"));
  }

  void Write(const Response& response) {
    handling_ = false;
    waiting_ = false;
    served_ = true;
    if (response.stream != nullptr && (closed_ || head_only_)) response.stream->Leave();
    if (closed_) return;
    if (server_.stopping) keep_alive_ = false;
    Deadline(server_.options.request_timeout);
    out_.clear();
    AppendHead(response, !keep_alive_, *server_.options.clock, out_);
    if (!head_only_ && response.stream != nullptr) {
      stream_of_ = response.stream;
      return Send(false);
    }
    if (!head_only_) out_ += response.body;
    Send(true);
  }

  // What is in out_, and then the next piece, or the next request.
  void Send(bool last) {
    if (last && stream_of_ != nullptr) stream_of_.reset();
    asio::async_write(stream_, asio::buffer(out_), [self = shared_from_this(), last](const ErrorCode& error, size_t) {
      if (error) return self->Close();
      if (!last) return self->AwaitPiece();
      if (self->refused_) {
        // The client sees the end at once, while what it still sends is read.
        ErrorCode ignored;
        self->stream_.next_layer().shutdown(Tcp::socket::shutdown_send, ignored);
        self->Deadline(kDrainTime);
        return self->Drain(kDrainBytes);
      }
      if (!self->keep_alive_) return self->Shutdown();
      self->ReadHead();
    });
  }

  // No deadline while there is nothing to send: the caller waits, and is looked after (Abandoned).
  void AwaitPiece() {
    if (closed_) return;
    waiting_ = true;
    stream_of_->Next([self = shared_from_this()](Source::Piece piece) {
      asio::post(self->loop_.context, [self, piece = std::move(piece)] { self->SendPiece(piece); });
    });
  }

  void SendPiece(const Source::Piece& piece) {
    waiting_ = false;
    if (closed_) return;
    Deadline(server_.options.request_timeout);
    out_.clear();
    AppendChunk(piece, out_);
    if (piece.last && server_.stopping) keep_alive_ = false;
    Send(piece.last);
  }

  // Says goodbye, so that the client can tell the end from a cut.
  void Shutdown() {
    Deadline(std::chrono::seconds(1));
    idle_ = false;
    stream_.async_shutdown([self = shared_from_this()](const ErrorCode&) { self->Close(); });
  }

  Server::State& server_;
  Loop& loop_;
  std::shared_ptr<SslContext> ssl_;
  SslStream stream_;
  std::string peer_;
  Admission::Id place_ = 0;
  const std::shared_ptr<std::atomic<bool>> gone_ = std::make_shared<std::atomic<bool>>(false);
  beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  std::string out_;
  Screening screening_;    // Of the request that is read.
  size_t lines_seen_ = 0;  // Bytes of the head up to the last line that was judged.
  MonoTime deadline_{};
  bool keep_alive_ = true;
  bool head_only_ = false;
  bool handling_ = false;
  bool waiting_ = false;               // For an answer that comes later, or its next piece.
  std::shared_ptr<Source> stream_of_;  // Of the answer that is being sent.
  bool served_ = false;                // Something was answered before.
  bool idle_ = false;
  bool refused_ = false;
  bool closed_ = false;
};

void Server::State::Accept() {
  Loop& loop = *loops[next_loop++ % loops.size()];
  acceptor->async_accept(loop.context, [this, &loop](const ErrorCode& error, Tcp::socket socket) {
    if (error == asio::error::operation_aborted || stopping) return;
    if (error) {  // Out of file descriptors: the longest silent one gives its own; pause instead of spinning.
      admission->CloseOldestSilent();
      loops[0]->sweep.expires_after(kRetry);
      loops[0]->sweep.async_wait([this](const ErrorCode& cancelled) {
        if (cancelled) return;
        Sweep(*loops[0]);
        Accept();
      });
      return;
    }
    Admit(loop, std::move(socket));
    Accept();
  });
}

void Server::State::Admit(Loop& loop, Tcp::socket socket) {
  ErrorCode ignored;
  const auto remote = socket.remote_endpoint(ignored);
  if (ignored) return;
  PrepareSocket(socket.native_handle());
  MutexLock lock(context_mutex);
  std::shared_ptr<SslContext> context = ssl;
  lock.Unlock();
  auto connection = std::make_shared<Connection>(*this, loop, std::move(socket), std::move(context));
  const auto place = admission->Enter(SourceOf(remote.data()), [&loop, weak = std::weak_ptr(connection)] {
    asio::post(loop.context, [weak] {
      if (const auto goes = weak.lock()) goes->Close();
    });
  });
  if (!place) return;
  asio::post(loop.context, [&loop, connection, place = *place] {
    loop.connections.insert(connection);
    connection->Start(place);
  });
}

void Server::State::Sweep(Loop& loop) {
  const MonoTime now = options.clock->Now();
  const auto connections_now = loop.connections;  // Close() changes the set.
  for (const auto& connection : connections_now) {
    if (connection->Overdue(now) || connection->Abandoned() || (stopping && connection->Idle())) connection->Close();
  }
  loop.sweep.expires_after(options.clock->MaxSleep(kSweep));
  loop.sweep.async_wait([this, &loop](const ErrorCode& error) {
    if (!error) Sweep(loop);
  });
}

Result<std::unique_ptr<Server>> Server::Start(ServerOptions options, Handler handler) {
  if (!options.render_error) options.render_error = PlainText;
  WEIR_ASSIGN(auto context, MakeContext(options.certificate_chain_pem, options.private_key_pem));
  auto state = std::make_unique<State>(std::move(context));
  ErrorCode error;
  const auto address = asio::ip::make_address(options.address, error);
  if (error) return InvalidArgument("BAD_ADDRESS", "{} is not an IP address", options.address);
  const Tcp::endpoint endpoint(address, options.port);
  state->loops.push_back(std::make_unique<Loop>());
  for (int i = 1; i < options.io_threads; ++i) state->loops.push_back(std::make_unique<Loop>());
  state->acceptor = std::make_unique<Tcp::acceptor>(state->loops[0]->context);
  state->acceptor->open(endpoint.protocol(), error);
  if (!error) state->acceptor->set_option(Tcp::acceptor::reuse_address(true), error);
  if (!error) state->acceptor->bind(endpoint, error);
  if (!error) state->acceptor->listen(1024, error);
  if (error == asio::error::address_in_use) {
    return Unavailable("PORT_IN_USE", "{}:{} is in use by another program", options.address, options.port);
  }
  if (error) {
    return Unavailable("LISTEN_FAILED", "cannot listen on {}:{}: {}", options.address, options.port, error.message());
  }
  state->port = state->acceptor->local_endpoint(error).port();
  state->admission =
      std::make_unique<Admission>(AffordableDescriptors(options.connection_limit, 2), options.source_limit);
  state->pool = std::make_unique<FairPool>(options.handler_threads, options.queue_limit);
  state->options = std::move(options);
  state->handler = std::move(handler);
  State* raw = state.get();
  raw->Accept();
  for (auto& loop : raw->loops) {
    raw->Sweep(*loop);
    loop->thread = std::thread([raw_loop = loop.get()] {
      auto guard = asio::make_work_guard(raw_loop->context);
      raw_loop->context.run();
    });
  }
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}
Server::~Server() { Stop(); }
uint16_t Server::port() const { return state_->port; }
size_t Server::connections() const { return state_->admission->size(); }

Status Server::SetCertificate(const std::string& chain_pem, const std::string& key_pem) {
  WEIR_ASSIGN(auto context, MakeContext(chain_pem, key_pem));
  MutexLock lock(state_->context_mutex);
  state_->ssl = std::move(context);
  return {};
}

void Server::Stop(Duration grace) {
  if (state_->stopped) return;
  state_->stopped = true;
  state_->stopping = true;
  asio::post(state_->loops[0]->context, [state = state_.get()] {
    ErrorCode ignored;
    state->acceptor->close(ignored);
  });
  for (auto& loop : state_->loops) {
    asio::post(loop->context, [state = state_.get(), raw = loop.get()] { state->Sweep(*raw); });
  }
  const MonoTime until = Clock::Real().Now() + grace;
  while (state_->admission->size() > 0 && Clock::Real().Now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  state_->pool->Stop();  // A handler that still runs is waited for; its answer goes nowhere.
  for (auto& loop : state_->loops) {
    asio::post(loop->context, [raw = loop.get()] {
      const auto rest = raw->connections;
      for (const auto& connection : rest) connection->Close();
      raw->context.stop();
    });
    loop->thread.join();
  }
  for (auto& loop : state_->loops) loop->connections.clear();
}

}  // namespace weir::http
