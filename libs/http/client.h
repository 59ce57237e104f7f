#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "libs/http/http.h"

namespace weir::http {

struct ClientOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 443;
  std::string ca_pem;  // Trusts exactly these. Required.
  // Who answers, as a SPIFFE id (identity::VerifyPeer): for weir-server and whoever else has one.
  std::string spiffe_id;
  // For servers without: the DNS name or IP address demanded of their certificate's SAN; "" = host.
  std::string server_name;
  Duration connect_timeout = std::chrono::seconds(5);
  Duration request_timeout = std::chrono::seconds(30);
  size_t response_limit = 64u << 20;
};

// Nothing is sent before the other end is known: a SAN that is demanded, never a common name or an e-mail address.
// One keep-alive connection, one request at a time; not thread-safe. Dials on first use and again when the server has
// closed an idle connection.
class Client {
 public:
  // INVALID_ARGUMENT BAD_CERTIFICATE.
  static Result<Client> Create(ClientOptions options);
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  // UNAVAILABLE CONNECT_FAILED, UNAVAILABLE TLS_FAILED, UNAVAILABLE CONNECTION_LOST, DEADLINE_EXCEEDED TIMEOUT. An
  // answer of any status is a value.
  Result<Response> Do(const Request& request);

 private:
  struct State;
  explicit Client(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace weir::http
