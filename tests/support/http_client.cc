#include "tests/support/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "libs/base/text.h"

namespace weir::test {
namespace {

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

sockaddr_in Ipv4(const std::string& address, uint16_t port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  inet_pton(AF_INET, address.c_str(), &to.sin_addr);
  return to;
}

}  // namespace

HttpClient::HttpClient(std::string address, uint16_t port, std::chrono::milliseconds timeout)
    : address_(std::move(address)), port_(port), timeout_(timeout) {}
HttpClient::HttpClient(HttpClient&& other) noexcept
    : address_(std::move(other.address_)),
      port_(other.port_),
      timeout_(other.timeout_),
      fd_(other.fd_),
      source_(std::move(other.source_)),
      receive_buffer_(other.receive_buffer_),
      left_(other.left_),
      buffer_(std::move(other.buffer_)) {
  other.fd_ = -1;
}
HttpClient::~HttpClient() { Close(); }

void HttpClient::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  buffer_.clear();
}

Status HttpClient::Connect() {
  if (fd_ >= 0) {
    // The server may have closed the kept connection meanwhile: look before a request is risked on it.
    char byte;
    const ssize_t got = recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return {};
    Close();
  }
  sockaddr_storage storage{};
  socklen_t length = sizeof(sockaddr_in);
  if (address_.starts_with("unix:")) {
    auto* to = reinterpret_cast<sockaddr_un*>(&storage);
    to->sun_family = AF_UNIX;
    std::strncpy(to->sun_path, address_.c_str() + 5, sizeof(to->sun_path) - 1);
    length = sizeof(sockaddr_un);
  } else {
    reinterpret_cast<sockaddr_in&>(storage) = Ipv4(address_, port_);
  }
  fd_ = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval limit{timeout_.count() / 1000, static_cast<suseconds_t>(timeout_.count() % 1000 * 1000)};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (receive_buffer_ > 0) setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_, sizeof receive_buffer_);
  const sockaddr_in source = Ipv4(source_, 0);
  if ((!source_.empty() && bind(fd_, reinterpret_cast<const sockaddr*>(&source), sizeof source) != 0) ||
      connect(fd_, reinterpret_cast<sockaddr*>(&storage), length) != 0) {
    const int why = errno;
    Close();
    return Unavailable("CONNECT_FAILED", "{}:{}: {}", address_, port_, std::strerror(why));
  }
  return {};
}

Status HttpClient::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return Unavailable("CONNECTION_LOST", "sending to {}:{}: {}", address_, port_, std::strerror(errno));
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return {};
}

Status HttpClient::Receive() {
  char buffer[16384];
  for (;;) {
    const ssize_t got = recv(fd_, buffer, sizeof buffer, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      return DeadlineExceeded("TIMEOUT", "no answer from {}:{} within {} ms", address_, port_, timeout_.count());
    }
    if (got < 0) return Unavailable("CONNECTION_LOST", "{}:{}: {}", address_, port_, std::strerror(errno));
    if (got == 0) return Unavailable("CONNECTION_LOST", "{}:{} closed the connection", address_, port_);
    buffer_.append(buffer, static_cast<size_t>(got));
    return {};
  }
}

Result<HttpAnswer> HttpClient::Do(std::string_view method, std::string_view host, std::string_view path,
                                  std::string_view body, std::string_view more_headers) {
  WEIR_TRY(Connect());
  std::string request = fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\n{}", method, path, host, more_headers);
  if (!body.empty()) request += fmt::format("Content-Length: {}\r\n", body.size());
  request += "\r\n";
  request += body;
  auto answer = [&]() -> Result<HttpAnswer> {
    WEIR_TRY(Send(request));
    return ReadAnswer(method == "HEAD");
  }();
  if (!answer.ok()) Close();
  return answer;
}

Result<HttpAnswer> HttpClient::Open(std::string_view host, std::string_view path) {
  WEIR_TRY(Connect());
  auto answer = [&]() -> Result<HttpAnswer> {
    WEIR_TRY(Send(fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", path, host)));
    return ReadHead();
  }();
  if (!answer.ok()) {
    Close();
    return answer;
  }
  const auto length = answer->headers.find("content-length");
  if (length == answer->headers.end()) return Internal("BAD_RESPONSE", "no Content-Length");
  std::from_chars(length->second.data(), length->second.data() + length->second.size(), left_);
  return answer;
}

Result<std::string> HttpClient::More() {
  if (left_ == 0) return std::string();
  if (buffer_.empty()) WEIR_TRY(Receive());
  std::string piece = buffer_.substr(0, left_);
  buffer_.erase(0, piece.size());
  left_ -= piece.size();
  return piece;
}

Result<HttpAnswer> HttpClient::ReadHead() {
  size_t end;
  HttpAnswer answer;
  do {
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) WEIR_TRY(Receive());
    std::string_view lines = std::string_view(buffer_).substr(0, end + 2);
    if (!lines.starts_with("HTTP/1.") || lines.size() < 12)
      return Internal("BAD_RESPONSE", "not HTTP: {}", lines.substr(0, 40));
    answer = {};
    std::from_chars(lines.data() + 9, lines.data() + 12, answer.status);
    lines.remove_prefix(lines.find("\r\n") + 2);
    while (!lines.empty()) {
      const std::string_view line = lines.substr(0, lines.find("\r\n"));
      lines.remove_prefix(line.size() + 2);
      const size_t colon = line.find(':');
      if (colon == std::string_view::npos) return Internal("BAD_RESPONSE", "bad header line '{}'", line);
      answer.headers[AsciiLower(line.substr(0, colon))] = Trim(line.substr(colon + 1));
    }
    buffer_.erase(0, end + 4);
  } while (answer.status >= 100 && answer.status < 200 && answer.status != 101);
  return answer;
}

Result<HttpAnswer> HttpClient::ReadAnswer(bool head) {
  WEIR_ASSIGN(HttpAnswer answer, ReadHead());
  const bool no_body = head || answer.status == 204 || answer.status == 304;
  const auto length = answer.headers.find("content-length");
  bool close_after = AsciiLower(answer.headers["connection"]).find("close") != std::string::npos;
  if (no_body) {
  } else if (AsciiLower(answer.headers["transfer-encoding"]).find("chunked") != std::string::npos) {
    for (;;) {
      size_t line;
      while ((line = buffer_.find("\r\n")) == std::string::npos) WEIR_TRY(Receive());
      size_t size = 0;
      if (std::from_chars(buffer_.data(), buffer_.data() + line, size, 16).ec != std::errc()) {
        return Internal("BAD_RESPONSE", "bad chunk");
      }
      buffer_.erase(0, line + 2);
      while (buffer_.size() < size + 2) WEIR_TRY(Receive());
      answer.body.append(buffer_, 0, size);
      buffer_.erase(0, size + 2);
      if (size == 0) break;  // Trailers are not served by what we test.
    }
  } else if (length != answer.headers.end()) {
    size_t size = 0;
    std::from_chars(length->second.data(), length->second.data() + length->second.size(), size);
    while (buffer_.size() < size) WEIR_TRY(Receive());
    answer.body = buffer_.substr(0, size);
    buffer_.erase(0, size);
  } else {
    for (;;) {
      const Status more = Receive();
      if (more.ok()) continue;
      if (more.error().code != Code::kUnavailable) return more.error();
      break;
    }
    answer.body = std::move(buffer_);
    close_after = true;
  }
  if (close_after) Close();
  return answer;
}

Result<std::string> HttpClient::Raw(std::string_view bytes) {
  Close();
  WEIR_TRY(Connect());
  WEIR_TRY(Send(bytes));
  for (;;) {
    const Status more = Receive();
    if (more.ok()) continue;
    if (more.error().code != Code::kUnavailable) return more.error();
    std::string out = std::move(buffer_);
    Close();
    return out;
  }
}

}  // namespace weir::test
