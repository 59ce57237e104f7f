#include "libs/proxy/message.h"

#include <fmt/format.h>

#include "libs/dialect/dialect.h"

namespace weir::proxy {
namespace {

using codec::Field;

// Copies the lines that stay, neighbours in one go.
template <typename Keep>
void CopyLines(const codec::Head& head, Keep keep, std::string& out) {
  size_t from = head.first_line_end, to = head.first_line_end;
  for (size_t i = 0; i < head.count; ++i) {
    const codec::HeaderLine& line = head.lines[i];
    const bool stays = !line.dropped && (line.field == Field::kOther || keep(line));
    if (stays && !line.loose) {
      to = line.end;
      continue;
    }
    out.append(head.data + from, to - from);
    from = to = line.end;
    if (stays) out.append(head.Name(line)).append(": ").append(head.Value(line)).append("\r\n");
  }
  out.append(head.data + from, to - from);
}

std::string_view Phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 414:
      return "URI Too Long";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 508:
      return "Loop Detected";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "";
  }
}

// Of the internal header `wanted`; null without one.
template <typename Head>
const codec::HeaderLine* OwnLine(const Head& head, std::string_view wanted) {
  for (size_t i = 0; i < head.count; ++i) {
    const codec::HeaderLine& line = head.lines[i];
    if (line.field != codec::Field::kInternal) continue;
    const std::string_view name = head.Name(line);
    if (name.size() == wanted.size() &&
        std::equal(name.begin(), name.end(), wanted.begin(), [](char a, char b) { return (a | 0x20) == (b | 0x20); })) {
      return &line;
    }
  }
  return nullptr;
}

}  // namespace

bool SaysPanic(const codec::RequestHead& head) { return OwnLine(head, dialect::kPanicHeader) != nullptr; }

std::string_view ReasonOf(const codec::ResponseHead& head) {
  if (const codec::HeaderLine* line = OwnLine(head, dialect::kReasonHeader)) return head.Value(*line);
  return {};
}

bool IsRequestId(std::string_view text) {
  if (text.empty() || text.size() > 128) return false;
  for (const char c : text) {
    const bool good =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.';
    if (!good) return false;
  }
  return true;
}

void WriteRequestHead(const codec::RequestHead& head, std::string_view target, const Forwarding& forwarding,
                      std::string& out) {
  out.clear();
  out.append(head.method).append(" ").append(target).append(" HTTP/1.1\r\n");
  if (head.lacks_host) out.append("host: ").append(head.host).append("\r\n");
  const bool trusted = forwarding.trusted;
  bool forwarded_for = false;
  CopyLines(
      head,
      [&](const codec::HeaderLine& line) {
        switch (line.field) {
          case Field::kConnection:
          case Field::kHopByHop:
          case Field::kUpgrade:
            return false;
          case Field::kRequestId:
            return forwarding.request_id.empty();
          case Field::kMaxForwards:
            return head.max_forwards < 0;
          case Field::kForwardedFor:
            forwarded_for |= trusted;
            return trusted;
          case Field::kForwardedProto:
          case Field::kForwarded:
          case Field::kInternal:
            return trusted;
          default:
            return true;
        }
      },
      out);
  if (!forwarded_for) out.append("x-forwarded-for: ").append(forwarding.peer).append("\r\n");
  if (!trusted || !head.has_forwarded_proto) out.append("x-forwarded-proto: ").append(forwarding.proto).append("\r\n");
  if (!forwarding.request_id.empty()) out.append("x-request-id: ").append(forwarding.request_id).append("\r\n");
  if (forwarding.panic) out.append(dialect::kPanicHeader).append(": 1\r\n");
  if (head.max_forwards > 0) {
    fmt::format_to(std::back_inserter(out), "max-forwards: {}\r\n", head.max_forwards - 1);
  }
  out.append("via: 1.1 weir\r\n\r\n");
}

void WriteResponseHead(const codec::ResponseHead& head, const ResponseOptions& options, std::string& out) {
  out.assign("HTTP/1.1 ");
  out.append(head.data + 9, head.first_line_end - 9);
  CopyLines(
      head,
      [&](const codec::HeaderLine& line) {
        switch (line.field) {
          case Field::kConnection:
          case Field::kHopByHop:
          case Field::kUpgrade:
            return false;
          case Field::kTransferEncoding:
            return !options.unchunk;
          // "x-envoy-…" is nobody's business outside, our own headers are.
          case Field::kInternal:
            return options.from_mesh && (options.trusted || (head.data[line.begin + 2] | 0x20) == 'w');
          default:
            return true;
        }
      },
      out);
  if (head.own_length) fmt::format_to(std::back_inserter(out), "content-length: {}\r\n", head.content_length);
  if (options.chunk) out.append("transfer-encoding: chunked\r\n");
  if (!head.has_date && !options.date.empty()) out.append("date: ").append(options.date).append("\r\n");
  if (options.close) out.append("connection: close\r\n");
  out.append("\r\n");
}

void WriteReply(int status, std::string_view reason, std::string_view body, std::string_view extra,
                const ReplyOptions& options, std::string& out) {
  const std::string text = body.empty() && !reason.empty() ? fmt::format("{}\n", reason) : std::string(body);
  out.clear();
  auto to = std::back_inserter(out);
  fmt::format_to(to, "HTTP/1.1 {} {}\r\n", status, Phrase(status));
  const bool may_have_body = status >= 200 && status != 204 && status != 304;
  if (may_have_body) fmt::format_to(to, "content-length: {}\r\n", text.size());
  if (may_have_body && !text.empty()) out += "content-type: text/plain; charset=utf-8\r\n";
  if (!reason.empty()) fmt::format_to(to, "{}: {}\r\n", dialect::kReasonHeader, reason);
  if (!options.date.empty()) out.append("date: ").append(options.date).append("\r\n");
  out += extra;
  if (options.close) out += "connection: close\r\n";
  out += "\r\n";
  if (may_have_body && !options.head_only) out += text;
}

}  // namespace weir::proxy
