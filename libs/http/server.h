#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "libs/http/http.h"

namespace weir::http {

// Runs on a pool thread and may block. What it throws becomes a 500 without details.
using Handler = std::function<Response(Request&&)>;

// What a request head is worth before a byte of its body is read.
struct Screening {
  size_t head = 0;                  // Bytes of the head, its empty line included; 0 = more are needed.
  std::optional<Response> refusal;  // Answer this and close.
  std::string target;               // Origin form.
  size_t body_limit = 0;            // Above: 413.
  std::string owner;                // Whose share of threads and queue it takes (FairPool); "" = its source's.
};
// `bytes` begin at the first one of the request. Called on the connection's thread whenever a line was completed: in
// memory, fast. It is the judge of the head: the server itself only finds the body behind it.
using Screen = std::function<Screening(std::string_view bytes, const std::string& peer)>;

struct ServerOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 0;  // 0 = any free one; see Server::port().
  std::string certificate_chain_pem;
  std::string private_key_pem;
  int io_threads = 1;  // TLS and parsing.
  // FairPool's; above the queue: 503. Writers that share one COMMIT wait here together.
  size_t handler_threads = 64;
  size_t queue_limit = 1024;
  size_t connection_limit = 4096;   // Above: the one that has been silent longest goes.
  size_t source_limit = 256;        // Connections from one address (IPv6: one /64); above: its longest silent one goes.
  size_t header_limit = 16 * 1024;  // Start line and header; above: 431.
  size_t body_limit = 1024 * 1024;  // Above: 413.
  Duration handshake_timeout = std::chrono::seconds(10);  // From accept to the end of the TLS handshake.
  Duration head_timeout = std::chrono::seconds(10);       // From the handshake, then a head's first byte, to its end.
  Duration request_timeout = std::chrono::seconds(30);    // Reading one body; writing one answer.
  Duration idle_timeout = std::chrono::seconds(120);      // Between requests.
  const Clock* clock = &Clock::Real();                    // Of the timeouts and of Date; it outlives the server.
  Screen screen;  // None: the head is only checked for its form, and every body may have body_limit.
  // What the server itself answers to a request that never reached the handler; default: plain text.
  std::function<Response(int status, const Error&)> render_error;
};

// HTTP/1.1 over TLS (1.2 and newer) for management traffic; never on the proxy path.
class Server {
 public:
  // UNAVAILABLE PORT_IN_USE, INVALID_ARGUMENT BAD_CERTIFICATE, INVALID_ARGUMENT BAD_ADDRESS.
  static Result<std::unique_ptr<Server>> Start(ServerOptions options, Handler handler);

  // Stop(), if nobody did.
  ~Server();

  uint16_t port() const;
  size_t connections() const;  // That hold a place.

  // For connections accepted from now on.
  Status SetCertificate(const std::string& chain_pem, const std::string& key_pem);

  // Stops accepting, closes idle connections, lets requests in flight finish for at most `grace`, then cuts them.
  void Stop(Duration grace = std::chrono::seconds(5));

  struct State;  // Of the implementation.

 private:
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace weir::http
