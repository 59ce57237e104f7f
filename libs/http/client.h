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
  std::string ca_pem;       // Trusts exactly these. Required.
  std::string server_name;  // Name or IP address demanded of the certificate; "" = host.
  Duration connect_timeout = std::chrono::seconds(5);
  Duration request_timeout = std::chrono::seconds(30);
  size_t response_limit = 64u << 20;
};

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
