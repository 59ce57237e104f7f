#include "libs/http/response_head.h"

#include <fmt/format.h>

#include <boost/beast/http/status.hpp>
#include <ctime>
#include <iterator>

namespace weir::http {
namespace {

namespace beast = boost::beast;

std::string_view StatusText(int status) {
  return beast::http::obsolete_reason(static_cast<beast::http::status>(status));
}

// IMF-fixdate, RFC 9110 section 5.6.7.
std::string HttpDate(const Clock& clock) {
  const std::time_t now = std::chrono::system_clock::to_time_t(clock.Wall());
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[40];
  return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

}  // namespace

void AppendHead(const Response& response, bool close, const Clock& clock, std::string& out) {
  fmt::format_to(std::back_inserter(out), "HTTP/1.1 {} {}\r\nDate: {}\r\n", response.status,
                 StatusText(response.status), HttpDate(clock));
  // Of a 304 it would be that of a 200 (RFC 9110 section 8.6).
  if (response.stream != nullptr) {
    out += "Transfer-Encoding: chunked\r\n";
  } else if (response.status != 304) {
    out += fmt::format("Content-Length: {}\r\n", response.body.size());
  }
  for (const auto& [name, value] : response.headers) out.append(name).append(": ").append(value).append("\r\n");
  if (close) out += "Connection: close\r\n";
  out += "\r\n";
}

void AppendChunk(const Source::Piece& piece, std::string& out) {
  if (!piece.bytes.empty()) {
    fmt::format_to(std::back_inserter(out), "{:x}\r\n", piece.bytes.size());
    out.append(piece.bytes).append("\r\n");
  }
  if (piece.last) out += "0\r\n\r\n";
}

}  // namespace weir::http
