#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::http {

using Headers = std::vector<std::pair<std::string, std::string>>;

// The first value of a field, by case-insensitive name (RFC 9110 5.1); "" when it is absent.
std::string_view FindHeader(const Headers& headers, std::string_view name);

struct Request {
  std::string method = "GET";
  std::string target = "/";  // Origin form: path and query, as sent.
  Headers headers;           // Without Host, Content-Length and Connection: those are the connection's.
  std::string body;
  std::string peer;  // Server side only: the remote address, without port.
  // Server side only: true once the caller has left and nobody reads the answer.
  std::shared_ptr<const std::atomic<bool>> gone = nullptr;

  std::string_view Header(std::string_view name) const { return FindHeader(headers, name); }
};

// A body that comes piece by piece, as the connection has sent the piece before. Thread-safe.
class Source {
 public:
  struct Piece {
    std::string bytes;
    bool last = false;
  };
  virtual ~Source() = default;
  // Calls `take` once with what comes next, from any thread, perhaps before this returns; not after the last piece.
  virtual void Next(std::function<void(Piece)> take) = 0;
  // Nobody reads any more. `take` may still be called.
  virtual void Leave() = 0;
};

struct Response {
  int status = 200;
  Headers headers;  // Without Content-Length, Connection and Date.
  std::string body;
  // Server side only: the answer comes later, from any thread, by the function that this one is given; no thread is
  // held meanwhile. The rest of the response does not count then.
  std::function<void(std::function<void(Response)>)> later = nullptr;
  // Server side only: the body comes from here, in chunks (RFC 9112 section 7.1). A piece that nobody takes has the
  // time that an answer has; the wait for the next one has no end but the caller's.
  std::shared_ptr<Source> stream = nullptr;

  std::string_view Header(std::string_view name) const { return FindHeader(headers, name); }
};

}  // namespace weir::http
