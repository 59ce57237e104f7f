#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "libs/base/result.h"

namespace weir::test {

struct HttpAnswer {
  int status = 0;
  std::map<std::string, std::string> headers;  // Names in lower case.
  std::string body;
};

// One blocking HTTP/1.1 connection, kept alive, dialled again when it was closed. Plain only. Not thread-safe.
class HttpClient {
 public:
  // `address`: IPv4 literal, or "unix:/path" (port unused).
  HttpClient(std::string address, uint16_t port, std::chrono::milliseconds timeout = std::chrono::seconds(10));
  ~HttpClient();
  HttpClient(HttpClient&& other) noexcept;
  HttpClient& operator=(HttpClient&&) = delete;

  // UNAVAILABLE CONNECT_FAILED, CONNECTION_LOST; DEADLINE_EXCEEDED TIMEOUT; INTERNAL BAD_RESPONSE. Never repeats a
  // request.
  Result<HttpAnswer> Get(std::string_view host, std::string_view path) { return Do("GET", host, path); }
  Result<HttpAnswer> Do(std::string_view method, std::string_view host, std::string_view path,
                        std::string_view body = "", std::string_view more_headers = "");
  // A GET whose body is read piece by piece, for as long as the caller likes: the head of the answer, then More() until
  // it gives "". Only with Content-Length (else INTERNAL BAD_RESPONSE).
  Result<HttpAnswer> Open(std::string_view host, std::string_view path);
  Result<std::string> More();
  // Of the kernel, in bytes, from the next connection on: who reads slowly is felt by the sender sooner.
  void SetReceiveBuffer(int bytes) { receive_buffer_ = bytes; }
  // From which IPv4 address it connects; unset = the kernel chooses.
  void SetSource(std::string address) { source_ = std::move(address); }
  // Sends `bytes` as they are and reads until the other side closes.
  Result<std::string> Raw(std::string_view bytes);
  void Close();

 private:
  Status Connect();
  Status Send(std::string_view bytes);
  Status Receive();  // Appends to buffer_; UNAVAILABLE at the end of the stream.
  Result<HttpAnswer> ReadHead();
  Result<HttpAnswer> ReadAnswer(bool head);

  std::string address_;
  uint16_t port_;
  std::chrono::milliseconds timeout_;
  int fd_ = -1;
  std::string source_;
  int receive_buffer_ = 0;  // 0 = as the kernel will have it.
  uint64_t left_ = 0;       // Of the body that Open began.
  std::string buffer_;
};

}  // namespace weir::test
