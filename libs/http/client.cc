#include "libs/http/client.h"

#include <openssl/ssl.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <optional>

#include "libs/identity/peer.h"

namespace weir::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using Tcp = asio::ip::tcp;
using ErrorCode = boost::system::error_code;

}  // namespace

struct Client::State {
  ClientOptions options;
  asio::io_context io{1};
  asio::ssl::context ssl{asio::ssl::context::tls_client};
  std::optional<asio::ssl::stream<Tcp::socket>> stream;
  beast::flat_buffer buffer;

  // Runs one asynchronous step to its end or cuts the connection at the deadline.
  bool Run(MonoTime deadline, const std::optional<ErrorCode>& done) {
    io.restart();
    while (!done && io.run_one_until(deadline) > 0) {
    }
    if (done) return true;
    Cut();
    io.restart();
    io.run();
    return false;
  }

  void Cut() {
    if (!stream) return;
    ErrorCode ignored;
    stream->next_layer().close(ignored);
  }

  Status Dial() {
    const MonoTime deadline = Clock::Real().Now() + options.connect_timeout;
    buffer.clear();
    stream.emplace(io, ssl);
    ErrorCode error;
    std::vector<Tcp::endpoint> endpoints;
    const auto address = asio::ip::make_address(options.host, error);
    if (!error) {
      endpoints.emplace_back(address, options.port);
    } else {
      Tcp::resolver resolver(io);
      for (const auto& entry : resolver.resolve(options.host, std::to_string(options.port), error)) {
        endpoints.push_back(entry.endpoint());
      }
      if (error) return Unavailable("CONNECT_FAILED", "cannot resolve {}: {}", options.host, error.message());
    }
    std::optional<ErrorCode> done;
    asio::async_connect(stream->next_layer(), endpoints,
                        [&](const ErrorCode& result, const Tcp::endpoint&) { done = result; });
    if (!Run(deadline, done)) {
      return DeadlineExceeded("TIMEOUT", "no connection to {}:{} in time", options.host, options.port);
    }
    if (*done) {
      return Unavailable("CONNECT_FAILED", "cannot connect to {}:{}: {}", options.host, options.port, done->message());
    }
    stream->next_layer().set_option(Tcp::no_delay(true), error);
    DemandName();
    done.reset();
    stream->async_handshake(asio::ssl::stream_base::client, [&](const ErrorCode& result) { done = result; });
    if (!Run(deadline, done)) {
      return DeadlineExceeded("TIMEOUT", "no TLS handshake with {}:{} in time", options.host, options.port);
    }
    if (*done) {
      const std::string why = done->message();
      return Unavailable("TLS_FAILED", "TLS with {}:{}: {}", options.host, options.port, why);
    }
    return CheckPeer();
  }

  void DemandName() {
    SSL* raw = stream->native_handle();
    const std::string& name = options.server_name.empty() ? options.host : options.server_name;
    ErrorCode error;
    asio::ip::make_address(name, error);
    const bool is_address = !error;
    if (!is_address) SSL_set_tlsext_host_name(raw, name.c_str());
    if (!options.spiffe_id.empty()) return;
    SSL_set_hostflags(raw, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (is_address) {
      X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(raw), name.c_str());
    } else {
      SSL_set1_host(raw, name.c_str());
    }
  }

  Status CheckPeer() {
    if (options.spiffe_id.empty()) return {};
    const auto peer =
        identity::VerifyPeer(identity::PresentedChain(stream->native_handle()), {options.ca_pem, options.spiffe_id});
    if (peer.ok()) return {};
    Cut();
    return Unavailable("TLS_FAILED", "TLS with {}:{}: {}", options.host, options.port, peer.error().message);
  }

  Result<Response> Exchange(const std::string& bytes, bool head) {
    const MonoTime deadline = Clock::Real().Now() + options.request_timeout;
    std::optional<ErrorCode> done;
    asio::async_write(*stream, asio::buffer(bytes), [&](const ErrorCode& result, size_t) { done = result; });
    if (!Run(deadline, done)) return DeadlineExceeded("TIMEOUT", "the request could not be sent in time");
    // A server that refuses a large body answers before it has read all of it: read on after a failed write.
    beast::http::response<beast::http::string_body> message;
    do {  // Interim answers (1xx) come before the real one (RFC 9110 15.2).
      beast::http::response_parser<beast::http::string_body> parser;
      parser.body_limit(options.response_limit);
      parser.skip(head);
      done.reset();
      beast::http::async_read(*stream, buffer, parser, [&](const ErrorCode& result, size_t) { done = result; });
      if (!Run(deadline, done)) return DeadlineExceeded("TIMEOUT", "no answer in time");
      if (*done) return Unavailable("CONNECTION_LOST", "the connection ended: {}", done->message());
      message = parser.release();
    } while (message.result_int() < 200);
    Response response;
    response.status = static_cast<int>(message.result_int());
    for (const auto& field : message) {
      response.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
    }
    response.body = std::move(message.body());
    if (!message.keep_alive()) {
      Cut();
      stream.reset();
    }
    return response;
  }
};

Result<Client> Client::Create(ClientOptions options) {
  auto state = std::make_unique<State>();
  ErrorCode error;
  state->ssl.add_certificate_authority(asio::buffer(options.ca_pem), error);
  if (error) return InvalidArgument("BAD_CERTIFICATE", "root certificate: {}", error.message());
  state->ssl.set_verify_mode(asio::ssl::verify_peer, error);
  SSL_CTX_set_min_proto_version(state->ssl.native_handle(), TLS1_2_VERSION);
  state->options = std::move(options);
  return Client(std::move(state));
}

Client::Client(std::unique_ptr<State> state) : state_(std::move(state)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

Result<Response> Client::Do(const Request& request) {
  std::string bytes = fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n", request.method,
                                  request.target, state_->options.host, request.body.size());
  for (const auto& [name, value] : request.headers) bytes.append(name).append(": ").append(value).append("\r\n");
  bytes.append("\r\n").append(request.body);
  const bool head = request.method == "HEAD";
  const bool reused = state_->stream.has_value();
  if (!reused) {
    Status dialled = state_->Dial();
    if (!dialled.ok()) {
      state_->stream.reset();
      return std::move(dialled).error();
    }
  }
  Result<Response> answer = state_->Exchange(bytes, head);
  if (answer.ok()) return answer;
  state_->stream.reset();
  // An idle connection may be closed under us; only what is safe to repeat is repeated (RFC 9110 9.2.2).
  const bool repeatable = request.method == "GET" || head;
  if (!reused || !repeatable || answer.error().reason != "CONNECTION_LOST") return answer;
  WEIR_TRY(state_->Dial());
  return state_->Exchange(bytes, head);
}

}  // namespace weir::http
