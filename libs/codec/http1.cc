#include "libs/codec/http1.h"

#include <algorithm>
#include <cstring>

#include "libs/codec/http1_bytes.h"

namespace weir::codec {
namespace {

// Control characters but HTAB have no place in a value: no NUL, no bare CR. Eight bytes at a time.
bool HasControl(const char* data, size_t size) {
  constexpr uint64_t kOnes = 0x0101010101010101, kHigh = 0x8080808080808080;
  size_t i = 0;
  for (; i + 8 <= size; i += 8) {
    uint64_t word;
    std::memcpy(&word, data + i, 8);
    const uint64_t below_space = (word - kOnes * 0x20) & ~word & kHigh;
    const uint64_t del = ((word ^ (kOnes * 0x7f)) - kOnes) & ~(word ^ (kOnes * 0x7f)) & kHigh;
    if ((below_space | del) != 0) break;  // May be HTAB or a false alarm: the loop below decides.
  }
  for (; i < size; ++i) {
    const auto c = static_cast<unsigned char>(data[i]);
    if ((c < 0x20 && c != '\t') || c == 0x7f) return true;
  }
  return false;
}

Parse Bad(Head& head, int status, std::string_view why) {
  head.error_status = status;
  head.error = why;
  return Parse::kBad;
}

bool ParseLength(std::string_view text, uint64_t& out) {
  if (text.empty() || text.size() > 18) return false;
  uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  out = value;
  return true;
}

void Trim(std::string_view& text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
}

// The next element of a comma-separated list, trimmed; may be empty. `rest` is what lies behind it.
std::string_view NextElement(std::string_view& rest) {
  const size_t comma = rest.find(',');
  std::string_view element = rest.substr(0, comma);
  rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  Trim(element);
  return element;
}

struct Framing {
  HeadBounds bounds;
  bool answer = false;
  bool length = false;
  bool chunked = false;
  bool connection_lists = false;
  bool odd_length = false;  // Of an answer: several that agree.
  bool date = false;
};

// Fields that Connection must not take away: others decide by them.
bool MustStay(std::string_view name) {
  return Is(name, "host") || Is(name, "content-length") || Is(name, "transfer-encoding") || Is(name, "authorization") ||
         Is(name, "cookie");
}

// Marks the fields that Connection lists (RFC 9110 section 7.6.1) in time linear to the head. False: a request lists
// one that must stay, or what is no name, or anybody lists more than kMaxConnectionTokens.
bool MarkListed(Head& head, bool answer) {
  std::array<uint64_t, kMesh.fields> hashes;
  bool hashed = false;
  size_t tokens = 0;
  for (size_t i = 0; i < head.count; ++i) {
    if (head.lines[i].field != Field::kConnection) continue;
    for (std::string_view rest = head.Value(head.lines[i]); !rest.empty();) {
      const std::string_view token = NextElement(rest);
      if (token.empty()) continue;
      if (++tokens > kMaxConnectionTokens) return false;
      head.close |= Is(token, "close");
      head.upgrade |= Is(token, "upgrade");
      bool name = true;
      for (const char c : token) name = name && IsToken(c);
      if (!name || MustStay(token)) {
        if (!answer) return false;
        continue;  // The application's odd wish is not followed; where its answer ends is clear all the same.
      }
      if (!hashed) {
        for (size_t k = 0; k < head.count; ++k) hashes[k] = HashName(head.Name(head.lines[k]));
        hashed = true;
      }
      const uint64_t hash = HashName(token);
      for (size_t k = 0; k < head.count; ++k) head.lines[k].dropped |= hashes[k] == hash;
    }
  }
  return true;
}

// One Content-Length. Of an answer several are forgiven that say the same ("5, 5", two lines; RFC 9112 section 6.3).
bool TakeLength(std::string_view text, Head& head, Framing& framing) {
  uint64_t value = 0;
  if (!framing.answer) {
    if (!ParseLength(text, value)) return false;
    head.content_length = value;
    return framing.length = true;
  }
  size_t elements = 0;
  if (text.ends_with(',')) return false;
  do {
    if (!ParseLength(NextElement(text), value)) return false;
    if (framing.length && value != head.content_length) return false;
    framing.odd_length |= framing.length || ++elements > 1;
    framing.length = true;
    head.content_length = value;
  } while (!text.empty());
  return true;
}

// What the line says about the framing; kComplete = nothing against it.
Parse TakeLine(const HeaderLine& line, Head& head, Framing& framing) {
  const std::string_view text = head.Value(line);
  switch (line.field) {
    case Field::kContentLength:
      if (framing.length && !framing.answer) return Bad(head, 400, "duplicate_content_length");
      if (!TakeLength(text, head, framing)) return Bad(head, 400, "bad_content_length");
      break;
    case Field::kTransferEncoding:
      if (framing.chunked) return Bad(head, 400, "duplicate_transfer_encoding");
      if (!Is(text, "chunked")) return Bad(head, 501, "unknown_transfer_encoding");
      framing.chunked = true;
      break;
    case Field::kConnection:
      if (Is(text, "close")) {
        head.close = true;
      } else if (!Is(text, "keep-alive")) {
        framing.connection_lists = true;
      }
      break;
    case Field::kDate:
      framing.date = true;
      break;
    default:
      break;
  }
  return Parse::kComplete;
}

// The line that stands from `at` to `end`, its CRLF included.
Parse ReadLine(Head& head, size_t at, size_t end, Framing& framing) {
  const char* const data = head.data;
  if (head.count == framing.bounds.fields) return Bad(head, 431, "too_many_headers");
  HeaderLine& line = head.lines[head.count++];
  size_t colon = at;
  bool underscore = false;
  while (IsToken(data[colon])) underscore |= data[colon++] == '_';
  const size_t name_end = colon;
  if (framing.answer) {
    while (data[colon] == ' ' || data[colon] == '\t') ++colon;
  }
  // Catches white space before the colon of a request, obs-fold and empty names alike.
  if (data[colon] != ':' || name_end == at) return Bad(head, 400, "bad_header_name");
  // Other servers fold '_' into '-', so it would be believed to be another header.
  if (underscore && !framing.answer) return Bad(head, 400, kUnderscoreInName);
  size_t value = colon + 1, value_end = end - 2;
  while (value < value_end && (data[value] == ' ' || data[value] == '\t')) ++value;
  while (value_end > value && (data[value_end - 1] == ' ' || data[value_end - 1] == '\t')) --value_end;
  if (HasControl(data + value, value_end - value)) return Bad(head, 400, "bad_header_value");
  line.begin = static_cast<uint32_t>(at);
  line.name_size = static_cast<uint16_t>(name_end - at);
  line.value = static_cast<uint32_t>(value);
  line.value_end = static_cast<uint32_t>(value_end);
  line.end = static_cast<uint32_t>(end);
  line.dropped = false;
  line.loose = colon != name_end;
  line.field = Classify({data + at, name_end - at});
  return line.field == Field::kOther ? Parse::kComplete : TakeLine(line, head, framing);
}

void Drop(Head& head, Field field) {
  for (size_t i = 0; i < head.count; ++i) head.lines[i].dropped |= head.lines[i].field == field;
}

// All lines behind the first. kIncomplete when the empty line is not there yet.
Parse ParseLines(Head& head, size_t size, size_t at, Framing& framing) {
  const char* const data = head.data;
  head.count = 0;
  while (true) {
    const char* newline = static_cast<const char*>(std::memchr(data + at, '\n', size - at));
    if (newline == nullptr) {
      return size > framing.bounds.bytes ? Bad(head, 431, "head_too_large") : Parse::kIncomplete;
    }
    const size_t end = static_cast<size_t>(newline - data) + 1;
    if (end > framing.bounds.bytes) return Bad(head, 431, "head_too_large");
    if (end - at < 2 || newline[-1] != '\r') return Bad(head, 400, "bare_lf");
    if (end - at == 2) {
      head.size = end;
      break;
    }
    if (ReadLine(head, at, end, framing) == Parse::kBad) return Parse::kBad;
    at = end;
  }
  if (framing.length && framing.chunked && !framing.answer) return Bad(head, 400, "length_and_chunked");
  if (framing.connection_lists && !MarkListed(head, framing.answer)) return Bad(head, 400, "bad_connection_header");
  return Parse::kComplete;
}

// How often Via names a gateway of ours: "1.1 weir" (RFC 9110 section 7.6.3).
uint32_t CountWeir(std::string_view via) {
  uint32_t count = 0;
  while (!via.empty()) {
    std::string_view hop = NextElement(via);
    const size_t space = hop.find(' ');
    if (space == std::string_view::npos) continue;
    hop.remove_prefix(space + 1);
    Trim(hop);
    count += Is(hop.substr(0, hop.find(' ')), "weir");
  }
  return count;
}

bool ListsWebSocket(std::string_view upgrade) {
  while (!upgrade.empty()) {
    if (Is(NextElement(upgrade), "websocket")) return true;
  }
  return false;
}

void ResetHead(Head& head, const char* data) {
  head.data = data;
  head.size = 0;
  head.count = 0;
  head.body = BodyKind::kNone;
  head.content_length = 0;
  head.close = head.upgrade = false;
  head.error_status = 400;
  head.error = {};
}

void ResetRequest(RequestHead& out, const char* data) {
  ResetHead(out, data);
  out.method = out.target = out.host = out.request_id = {};
  out.expect_continue = out.idempotency_key = out.has_forwarded_proto = out.websocket = false;
  out.https_target = out.lacks_host = false;
  out.via_weir = 0;
  out.max_forwards = -1;
}

// "HTTP/1.x": a minor version above 1 is taken as 1, the highest we speak (RFC 9110 section 2.5).
Parse ParseVersion(std::string_view text, Head& head) {
  const auto digit = [&](size_t at) { return text[at] >= '0' && text[at] <= '9'; };
  if (text.size() != 8 || !text.starts_with("HTTP/") || text[6] != '.' || !digit(5) || !digit(7)) {
    return Bad(head, 400, "bad_version");
  }
  if (text[5] != '1') return Bad(head, 505, "bad_version");
  head.minor = text[7] == '0' ? 0 : 1;
  return Parse::kComplete;
}

// RFC 9112 section 3.2: only 1.1 needs the field, but somebody must be meant.
Parse CheckHost(RequestHead& out, bool seen) {
  out.lacks_host = !seen && out.minor == 0;
  if (out.lacks_host) out.host = AuthorityOf(out.target);
  return (seen || out.lacks_host) && GoodHost(out.host) ? Parse::kComplete : Bad(out, 400, "bad_host");
}

// What single fields of a request say beyond its framing.
Parse ReadFields(RequestHead& out) {
  bool host_seen = false, websocket = false;
  for (size_t i = 0; i < out.count; ++i) {
    const HeaderLine& line = out.lines[i];
    switch (line.field) {
      case Field::kHost:
        if (host_seen) return Bad(out, 400, "duplicate_host");
        host_seen = true;
        out.host = out.Value(line);
        break;
      case Field::kExpect:
        if (!Is(out.Value(line), "100-continue")) return Bad(out, 417, "unknown_expectation");
        out.expect_continue = true;
        break;
      case Field::kRequestId:
        out.request_id = out.Value(line);
        break;
      case Field::kIdempotencyKey:
        out.idempotency_key = true;
        break;
      case Field::kForwardedProto:
        out.has_forwarded_proto = true;
        break;
      case Field::kVia:
        out.via_weir += CountWeir(out.Value(line));
        break;
      case Field::kMaxForwards:
        if (uint64_t hops = 0;
            (out.method == "OPTIONS" || out.method == "TRACE") && ParseLength(out.Value(line), hops)) {
          out.max_forwards = static_cast<int32_t>(std::min<uint64_t>(hops, 1'000));
        }
        break;
      case Field::kUpgrade:
        websocket = websocket || ListsWebSocket(out.Value(line));
        break;
      default:
        break;
    }
  }
  out.websocket = websocket && out.upgrade;
  return CheckHost(out, host_seen);
}

// Absolute form (RFC 9112 section 3.2.2): its authority must be the Host; what is left is the origin form.
Parse ReadTarget(RequestHead& out) {
  if (out.target.empty()) return Bad(out, 400, "bad_target");
  if (out.target.front() == '/' || (out.target == "*" && out.method == "OPTIONS")) return Parse::kComplete;
  const size_t scheme = SchemeOf(out.target);
  if (scheme == 0) return Bad(out, 400, "bad_target");
  const std::string_view authority = AuthorityOf(out.target);
  out.https_target = scheme == 8;
  if (!SameHost(authority, out.host, out.https_target)) return Bad(out, 400, "host_mismatch");
  out.target.remove_prefix(scheme + authority.size());
  if (out.target.empty()) out.target = out.method == "OPTIONS" ? "*" : "/";  // Section 3.2.4.
  return Parse::kComplete;
}

}  // namespace

bool RequestHead::SafeToRepeat() const {
  return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "TRACE" || idempotency_key;
}

Parse ParseRequest(const char* data, size_t size, RequestHead& out, const HeadBounds& bounds) {
  ResetRequest(out, data);
  const char* newline = static_cast<const char*>(std::memchr(data, '\n', size));
  // The method is looked at before the line is complete: TLS or HTTP/2 bytes are refused at once.
  size_t space = 0;
  while (space < size && IsToken(data[space])) ++space;
  if (space > 32 || (space < size && (data[space] != ' ' || space == 0))) return Bad(out, 400, "bad_request_line");
  if (newline == nullptr) return size > kMaxTarget + 64 ? Bad(out, 414, "target_too_long") : Parse::kIncomplete;
  const size_t line_end = static_cast<size_t>(newline - data) + 1;
  if (line_end < 2 || newline[-1] != '\r') return Bad(out, 400, "bare_lf");
  if (space + 1 >= line_end) return Bad(out, 400, "bad_request_line");
  out.method = {data, space};
  const char* target = data + space + 1;
  const size_t rest = line_end - 2 - (space + 1);
  const char* second = static_cast<const char*>(std::memchr(target, ' ', rest));
  if (second == nullptr) return Bad(out, 400, "bad_request_line");
  out.target = {target, static_cast<size_t>(second - target)};
  if (out.target.size() > kMaxTarget) return Bad(out, 414, "target_too_long");
  const std::string_view version(second + 1, rest - out.target.size() - 1);
  if (ParseVersion(version, out) == Parse::kBad) return Parse::kBad;
  for (const char c : out.target) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte == 0x7f) return Bad(out, 400, "bad_target");
  }
  out.first_line_end = static_cast<uint32_t>(line_end);
  Framing framing{.bounds = bounds};
  if (const Parse lines = ParseLines(out, size, line_end, framing); lines != Parse::kComplete) return lines;
  if (ReadFields(out) == Parse::kBad) return Parse::kBad;
  if (out.method == "CONNECT") return Bad(out, 501, "connect_not_served");
  if (ReadTarget(out) == Parse::kBad) return Parse::kBad;
  if (framing.chunked && out.minor == 0) return Bad(out, 400, "chunked_in_http_1_0");
  if (framing.chunked) out.body = BodyKind::kChunked;
  if (framing.length && out.content_length > 0) out.body = BodyKind::kLength;
  if (out.minor == 0) out.close = true;
  return Parse::kComplete;
}

namespace {

// The status line; kIncomplete when its end is not there yet. What can be no answer is refused at its first byte.
Parse ParseStatusLine(const char* data, size_t size, ResponseHead& out) {
  constexpr std::string_view kBegin = "HTTP/1.";
  const std::string_view begin(data, std::min(size, kBegin.size()));
  if (begin != kBegin.substr(0, begin.size())) return Bad(out, 502, "bad_status_line");
  const char* newline = static_cast<const char*>(std::memchr(data, '\n', size));
  if (newline == nullptr) return size > kMaxTarget ? Bad(out, 502, "bad_status_line") : Parse::kIncomplete;
  const size_t line_end = static_cast<size_t>(newline - data) + 1;
  // "HTTP/1.1 200 OK": the reason may be empty, its space too.
  if (line_end < 14 || newline[-1] != '\r' || data[8] != ' ') return Bad(out, 502, "bad_status_line");
  if (ParseVersion({data, 8}, out) == Parse::kBad) return Bad(out, 502, "bad_status_line");
  int status = 0;
  for (size_t i = 9; i < 12; ++i) {
    if (data[i] < '0' || data[i] > '9') return Bad(out, 502, "bad_status_line");
    status = status * 10 + (data[i] - '0');
  }
  if (status < 100 || (data[12] != ' ' && data[12] != '\r')) return Bad(out, 502, "bad_status_line");
  if (HasControl(data + 12, line_end - 2 - 12)) return Bad(out, 502, "bad_status_line");
  out.status = status;
  out.first_line_end = static_cast<uint32_t>(line_end);
  return Parse::kComplete;
}

// Leaves out the framing that an answer must not have or says twice.
void NormalizeFraming(ResponseHead& out, const Framing& framing) {
  if (out.status < 200 || out.status == 204) {  // RFC 9110 section 8.6, RFC 9112 section 6.1.
    if ((framing.length && out.content_length > 0) || framing.chunked) out.close = true;  // A body may follow.
    Drop(out, Field::kContentLength);
    Drop(out, Field::kTransferEncoding);
  } else if (framing.length &&
             framing.chunked) {  // RFC 9112 section 6.3: chunked it is; then nobody is sure of the rest.
    Drop(out, Field::kContentLength);
    out.close = true;
  } else if (framing.odd_length) {
    Drop(out, Field::kContentLength);
    out.own_length = true;
  }
}

}  // namespace

Parse ParseResponse(const char* data, size_t size, bool to_head, ResponseHead& out, const HeadBounds& bounds) {
  ResetHead(out, data);
  out.own_length = out.has_date = false;
  if (const Parse line = ParseStatusLine(data, size, out); line != Parse::kComplete) return line;
  Framing framing{.bounds = bounds, .answer = true};
  const Parse lines = ParseLines(out, size, out.first_line_end, framing);
  if (lines == Parse::kBad) out.error_status = 502;
  if (lines != Parse::kComplete) return lines;
  out.has_date = framing.date;
  if (framing.chunked && out.minor == 0) return Bad(out, 502, "chunked_in_http_1_0");
  if (out.minor == 0) out.close = true;
  const int status = out.status;
  if (status < 200 && status != 101 && (framing.chunked || (framing.length && out.content_length > 0))) {
    return Bad(out, 502, "body_in_interim_response");
  }
  NormalizeFraming(out, framing);
  if (to_head || status < 200 || status == 204 || status == 304) {
    out.body = BodyKind::kNone;
  } else if (framing.chunked) {
    out.body = BodyKind::kChunked;
  } else if (framing.length) {
    out.body = out.content_length > 0 ? BodyKind::kLength : BodyKind::kNone;
  } else {
    out.body = BodyKind::kToClose;
    out.close = true;
  }
  return Parse::kComplete;
}

}  // namespace weir::codec
