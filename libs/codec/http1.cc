#include "libs/codec/http1.h"

#include <cstring>

namespace weir::codec {
namespace {

// RFC 9110 section 5.6.2.
constexpr std::array<bool, 256> MakeTokenTable() {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[static_cast<size_t>(c)] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[static_cast<size_t>(c)] = true;
  for (int c = 'A'; c <= 'Z'; ++c) table[static_cast<size_t>(c)] = true;
  for (const char c : {'!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~'}) {
    table[static_cast<unsigned char>(c)] = true;
  }
  return table;
}
constexpr std::array<bool, 256> kToken = MakeTokenTable();
bool IsToken(char c) { return kToken[static_cast<unsigned char>(c)]; }

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

// `lower` is lower case already.
bool Is(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (Lower(text[i]) != lower[i]) return false;
  }
  return true;
}

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

Field Classify(std::string_view name) {
  switch (name.size()) {
    case 2:
      return Is(name, "te") ? Field::kHopByHop : Field::kOther;
    case 4:
      return Is(name, "host") ? Field::kHost : Field::kOther;
    case 6:
      return Is(name, "expect") ? Field::kExpect : Field::kOther;
    case 7:
      if (Is(name, "upgrade") || Is(name, "trailer")) return Field::kHopByHop;
      break;
    case 9:
      if (Is(name, "forwarded") || Is(name, "x-real-ip")) return Field::kForwarded;
      break;
    case 10:
      if (Is(name, "connection")) return Field::kConnection;
      if (Is(name, "keep-alive")) return Field::kHopByHop;
      break;
    case 12:
      if (Is(name, "x-request-id")) return Field::kRequestId;
      break;
    case 14:
      if (Is(name, "content-length")) return Field::kContentLength;
      break;
    case 15:
      if (Is(name, "x-forwarded-for")) return Field::kForwardedFor;
      if (Is(name, "idempotency-key")) return Field::kIdempotencyKey;
      break;
    case 16:
      if (Is(name, "proxy-connection")) return Field::kHopByHop;
      if (Is(name, "x-forwarded-host") || Is(name, "x-forwarded-port")) return Field::kForwarded;
      break;
    case 17:
      if (Is(name, "transfer-encoding")) return Field::kTransferEncoding;
      if (Is(name, "x-forwarded-proto")) return Field::kForwardedProto;
      break;
    case 18:
      if (Is(name, "proxy-authenticate")) return Field::kHopByHop;
      break;
    case 19:
      if (Is(name, "proxy-authorization")) return Field::kHopByHop;
      break;
    case 23:
      if (Is(name, "x-forwarded-client-cert")) return Field::kForwarded;
      break;
    default:
      break;
  }
  if (name.size() > 7 && (name[0] | 0x20) == 'x' && name[1] == '-') {
    if (Is(name.substr(0, 7), "x-weir-")) return Field::kInternal;
    if (name.size() > 8 && Is(name.substr(0, 8), "x-envoy-")) return Field::kInternal;
  }
  return Field::kOther;
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

struct Framing {
  bool length = false;
  bool chunked = false;
  bool connection_lists = false;
};

// Marks the fields that Connection lists; false when it lists one that must stay.
bool MarkListed(Head& head) {
  for (size_t i = 0; i < head.count; ++i) {
    if (head.lines[i].field != Field::kConnection) continue;
    std::string_view rest = head.Value(head.lines[i]);
    while (!rest.empty()) {
      const size_t comma = rest.find(',');
      std::string_view token = rest.substr(0, comma);
      rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
      while (!token.empty() && (token.front() == ' ' || token.front() == '\t')) token.remove_prefix(1);
      while (!token.empty() && (token.back() == ' ' || token.back() == '\t')) token.remove_suffix(1);
      if (token.empty() || Is(token, "close") || Is(token, "keep-alive") || Is(token, "upgrade")) continue;
      for (const char c : token) {
        if (!IsToken(c)) return false;
      }
      for (size_t k = 0; k < head.count; ++k) {
        HeaderLine& line = head.lines[k];
        const std::string_view name = head.Name(line);
        if (name.size() != token.size()) continue;
        bool same = true;
        for (size_t c = 0; c < name.size() && same; ++c) same = Lower(name[c]) == Lower(token[c]);
        if (!same) continue;
        // A client must not take away what others decide by.
        switch (line.field) {
          case Field::kHost:
          case Field::kContentLength:
          case Field::kTransferEncoding:
            return false;
          case Field::kHopByHop:
          case Field::kConnection:
            break;
          default:
            if (Is(name, "authorization") || Is(name, "cookie")) return false;
            line.listed = true;
        }
      }
    }
  }
  return true;
}

// All lines behind the first. kIncomplete when the empty line is not there yet.
Parse ParseLines(Head& head, size_t size, size_t at, Framing& framing) {
  const char* const data = head.data;
  head.count = 0;
  while (true) {
    const char* newline = static_cast<const char*>(std::memchr(data + at, '\n', size - at));
    if (newline == nullptr) {
      return size > kMaxHead ? Bad(head, 431, "head_too_large") : Parse::kIncomplete;
    }
    const size_t end = static_cast<size_t>(newline - data) + 1;
    if (end > kMaxHead) return Bad(head, 431, "head_too_large");
    if (end - at < 2 || newline[-1] != '\r') return Bad(head, 400, "bare_lf");
    if (end - at == 2) {
      head.size = end;
      break;
    }
    if (head.count == kMaxHeaders) return Bad(head, 431, "too_many_headers");
    HeaderLine& line = head.lines[head.count++];
    size_t colon = at;
    bool underscore = false;
    while (IsToken(data[colon])) underscore |= data[colon++] == '_';
    // Catches white space before the colon, obs-fold and empty names alike.
    if (data[colon] != ':' || colon == at) return Bad(head, 400, "bad_header_name");
    size_t value = colon + 1, value_end = end - 2;
    while (value < value_end && (data[value] == ' ' || data[value] == '\t')) ++value;
    while (value_end > value && (data[value_end - 1] == ' ' || data[value_end - 1] == '\t')) --value_end;
    if (HasControl(data + value, value_end - value)) return Bad(head, 400, "bad_header_value");
    line.begin = static_cast<uint32_t>(at);
    line.name_size = static_cast<uint16_t>(colon - at);
    line.value = static_cast<uint32_t>(value);
    line.value_end = static_cast<uint32_t>(value_end);
    line.end = static_cast<uint32_t>(end);
    line.listed = false;
    line.field = Classify({data + at, colon - at});
    if (underscore) line.field = Field::kUnderscore;
    const std::string_view text(data + value, value_end - value);
    switch (line.field) {
      case Field::kContentLength:
        if (framing.length) return Bad(head, 400, "duplicate_content_length");
        if (!ParseLength(text, head.content_length)) return Bad(head, 400, "bad_content_length");
        framing.length = true;
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
      case Field::kHopByHop:
        head.upgrade |= line.name_size == 7 && Lower(data[at]) == 'u';
        break;
      default:
        break;
    }
    at = end;
  }
  if (framing.length && framing.chunked) return Bad(head, 400, "length_and_chunked");
  if (framing.connection_lists) {
    if (!MarkListed(head)) return Bad(head, 400, "bad_connection_header");
    for (size_t i = 0; i < head.count; ++i) {
      if (head.lines[i].field != Field::kConnection) continue;
      // "close" among others.
      const std::string_view value = head.Value(head.lines[i]);
      for (size_t at_token = 0; at_token + 5 <= value.size(); ++at_token) {
        const bool begins = at_token == 0 || !IsToken(value[at_token - 1]);
        const bool ends = at_token + 5 == value.size() || !IsToken(value[at_token + 5]);
        if (begins && ends && Is(value.substr(at_token, 5), "close")) head.close = true;
      }
    }
  }
  return Parse::kComplete;
}

bool GoodHost(std::string_view host) {
  if (host.empty() || host.size() > 255 + 6) return false;
  size_t i = 0;
  if (host[0] == '[') {
    const size_t close = host.find(']');
    if (close == std::string_view::npos) return false;
    for (i = 1; i < close; ++i) {
      const char c = Lower(host[i]);
      if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == ':' || c == '.')) return false;
    }
    i = close + 1;
  } else {
    for (; i < host.size() && host[i] != ':'; ++i) {
      const char c = Lower(host[i]);
      if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '.' || c == '-' || c == '_')) return false;
    }
    if (i == 0) return false;
  }
  if (i == host.size()) return true;
  if (host[i] != ':' || host.size() - i > 6) return false;
  for (++i; i < host.size(); ++i) {
    if (host[i] < '0' || host[i] > '9') return false;
  }
  return true;
}

void ResetHead(Head& head, const char* data) {
  head.data = data;
  head.size = 0;
  head.count = 0;
  head.body = BodyKind::kNone;
  head.content_length = 0;
  head.close = head.upgrade = false;
  head.error = {};
}

// "HTTP/1.0" or "HTTP/1.1".
Parse ParseVersion(std::string_view text, Head& head) {
  if (text == "HTTP/1.1") {
    head.minor = 1;
  } else if (text == "HTTP/1.0") {
    head.minor = 0;
  } else {
    return Bad(head, text.starts_with("HTTP/") ? 505 : 400, "bad_version");
  }
  return Parse::kComplete;
}

}  // namespace

bool RequestHead::SafeToRepeat() const {
  return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "TRACE" || idempotency_key;
}

Parse ParseRequest(const char* data, size_t size, RequestHead& out) {
  ResetHead(out, data);
  out.host = out.request_id = {};
  out.expect_continue = out.idempotency_key = out.has_forwarded_proto = false;
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
  Framing framing;
  if (const Parse lines = ParseLines(out, size, line_end, framing); lines != Parse::kComplete) return lines;

  bool host_seen = false;
  for (size_t i = 0; i < out.count; ++i) {
    switch (out.lines[i].field) {
      case Field::kHost:
        if (host_seen) return Bad(out, 400, "duplicate_host");
        host_seen = true;
        out.host = out.Value(out.lines[i]);
        break;
      case Field::kExpect:
        if (!Is(out.Value(out.lines[i]), "100-continue")) return Bad(out, 417, "unknown_expectation");
        out.expect_continue = true;
        break;
      case Field::kRequestId:
        out.request_id = out.Value(out.lines[i]);
        break;
      case Field::kIdempotencyKey:
        out.idempotency_key = true;
        break;
      case Field::kForwardedProto:
        out.has_forwarded_proto = true;
        break;
      default:
        break;
    }
  }
  if (!host_seen || !GoodHost(out.host)) return Bad(out, 400, "bad_host");
  if (out.method == "CONNECT") return Bad(out, 501, "connect_not_served");
  if (out.target.front() != '/' && !(out.target == "*" && out.method == "OPTIONS")) {
    // Absolute form (RFC 9112 section 3.2.2): its authority must be the Host.
    const size_t scheme = Is(out.target.substr(0, 7), "http://") ? 7 : Is(out.target.substr(0, 8), "https://") ? 8 : 0;
    if (scheme == 0) return Bad(out, 400, "bad_target");
    const size_t slash = out.target.find_first_of("/?", scheme);
    const std::string_view authority =
        out.target.substr(scheme, slash == std::string_view::npos ? slash : slash - scheme);
    if (authority != out.host) return Bad(out, 400, "host_mismatch");
    if (slash == std::string_view::npos || out.target[slash] == '?') return Bad(out, 400, "bad_target");
    out.target.remove_prefix(slash);
  }
  if (framing.chunked && out.minor == 0) return Bad(out, 400, "chunked_in_http_1_0");
  if (framing.chunked) out.body = BodyKind::kChunked;
  if (framing.length && out.content_length > 0) out.body = BodyKind::kLength;
  if (out.minor == 0) out.close = true;
  return Parse::kComplete;
}

Parse ParseResponse(const char* data, size_t size, bool to_head, ResponseHead& out) {
  ResetHead(out, data);
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
  if (status < 100 || status > 599 || (data[12] != ' ' && data[12] != '\r')) return Bad(out, 502, "bad_status_line");
  if (HasControl(data + 12, line_end - 2 - 12)) return Bad(out, 502, "bad_status_line");
  out.status = status;
  out.first_line_end = static_cast<uint32_t>(line_end);
  Framing framing;
  const Parse lines = ParseLines(out, size, line_end, framing);
  if (lines == Parse::kBad) out.error_status = 502;
  if (lines != Parse::kComplete) return lines;
  if (framing.chunked && out.minor == 0) return Bad(out, 502, "chunked_in_http_1_0");
  if (out.minor == 0) out.close = true;
  if (to_head || status < 200 || status == 204 || status == 304) {
    if (status < 200 && status != 101 && (framing.chunked || (framing.length && out.content_length > 0))) {
      return Bad(out, 502, "body_in_interim_response");
    }
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

namespace {

int Hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = Lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool IsUnreserved(unsigned char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

// '%25' before these is an escape that somebody decodes a second time.
bool DoubleEncoded(std::string_view behind) {
  if (behind.size() < 2 || Hex(behind[0]) < 0 || Hex(behind[1]) < 0) return false;
  const int byte = Hex(behind[0]) * 16 + Hex(behind[1]);
  return byte == '.' || byte == '/' || byte == '\\' || byte == '%' || byte < 0x20;
}

// Decodes the path into `out`; false = refused.
bool DecodePath(std::string_view path, std::string& out) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  for (size_t i = 0; i < path.size(); ++i) {
    const auto c = static_cast<unsigned char>(path[i]);
    if (c == '\\' || c == '#' || c <= 0x20 || c >= 0x7f) return false;
    if (c != '%') {
      out += static_cast<char>(c);
      continue;
    }
    if (i + 2 >= path.size()) return false;
    const int high = Hex(path[i + 1]), low = Hex(path[i + 2]);
    if (high < 0 || low < 0) return false;
    const auto byte = static_cast<unsigned char>(high * 16 + low);
    i += 2;
    if (byte == '/' || byte == '\\' || byte < 0x20 || byte == 0x7f) return false;
    if (byte == 0xC0 || byte == 0xC1 || byte >= 0xF5) return false;  // In no UTF-8 text: overlong forms.
    if (byte == '%' && DoubleEncoded(path.substr(i + 1))) return false;
    if (IsUnreserved(byte)) {
      out += static_cast<char>(byte);
    } else {
      out += '%';
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
  return true;
}

// Resolves dot segments and merges slashes in place; false = refused.
bool ResolveSegments(std::string& path) {
  size_t out = 1;  // path[0] == '/'.
  size_t at = 1;
  while (at <= path.size()) {
    size_t end = path.find('/', at);
    const bool last = end == std::string::npos;
    if (last) end = path.size();
    const std::string_view segment(path.data() + at, end - at);
    if (segment.starts_with(".;") || segment.starts_with("..;")) return false;
    if (segment == "..") {
      if (out == 1) return false;
      out = path.rfind('/', out - 2) + 1;
    } else if (segment != "." && !segment.empty()) {
      std::memmove(path.data() + out, path.data() + at, segment.size());
      out += segment.size();
      if (!last) path[out++] = '/';
    }
    if (last) break;
    at = end + 1;
  }
  path.resize(out);
  return true;
}

}  // namespace

PathResult CanonicalTarget(std::string_view target, std::string& out) {
  if (target == "*") return PathResult::kSame;
  // Most targets are canonical: one look at each byte shows it.
  size_t i = 0;
  char before = 0;
  bool plain = true;
  for (; i < target.size() && target[i] != '?'; ++i) {
    const char c = target[i];
    if (c == '%' || c == '\\' || c == '#' || static_cast<signed char>(c) <= 0x20 || c == 0x7f ||
        (before == '/' && (c == '/' || c == '.'))) {
      plain = false;
    }
    before = c;
  }
  if (target.find('#', i) != std::string_view::npos) return PathResult::kRefused;
  if (plain) return PathResult::kSame;
  out.clear();
  if (!DecodePath(target.substr(0, i), out)) return PathResult::kRefused;
  if (!ResolveSegments(out)) return PathResult::kRefused;
  out += target.substr(i);
  return out == target ? PathResult::kSame : PathResult::kRewritten;
}

namespace {
constexpr uint64_t kFnvBasis = 14695981039346656037ull, kFnvPrime = 1099511628211ull;
constexpr uint64_t HashName(std::string_view name) {
  uint64_t hash = kFnvBasis;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * kFnvPrime;
  return hash;
}
}  // namespace

ChunkReader::Run ChunkReader::Next(const char* data, size_t size) {
  if (state_ == State::kData) {
    const size_t take = left_ < size ? static_cast<size_t>(left_) : size;
    left_ -= take;
    if (left_ == 0) state_ = State::kDataCr;
    return {Kind::kData, take};
  }
  constexpr Run kRefused{Kind::kBad, 0};
  if (state_ >= State::kTrailerStart) {
    size_t i = 0;
    for (; i < size; ++i) {
      const auto c = static_cast<unsigned char>(data[i]);
      if (++trailer_bytes_ > kMaxTrailers) return kRefused;
      switch (state_) {
        case State::kTrailerStart:
          if (c == '\r') {
            if (i > 0) {  // The run so far is trailers; the end is a run of its own.
              --trailer_bytes_;
              return {Kind::kTrailer, i};
            }
            state_ = State::kEndLf;
            if (size == 1) return {Kind::kFraming, 1};
            break;
          }
          if (!IsToken(static_cast<char>(c))) return kRefused;
          state_ = State::kTrailerLine;
          line_name_ = 1;
          name_hash_ = (kFnvBasis ^ static_cast<unsigned char>(Lower(static_cast<char>(c)))) * kFnvPrime;
          break;
        case State::kTrailerLine:
          if (line_name_ == 1) {
            if (c == ':') {
              line_name_ = 0;
              for (const std::string_view name :
                   {"content-length", "transfer-encoding", "host", "connection", "trailer"}) {
                if (name_hash_ == HashName(name)) return kRefused;
              }
              break;
            }
            if (!IsToken(static_cast<char>(c))) return kRefused;
            name_hash_ = (name_hash_ ^ static_cast<unsigned char>(Lower(static_cast<char>(c)))) * kFnvPrime;
          } else if (c == '\r') {
            state_ = State::kTrailerLf;
          } else if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return kRefused;
          }
          break;
        case State::kTrailerLf:
          if (c != '\n') return kRefused;
          state_ = State::kTrailerStart;
          break;
        case State::kEndLf:
          if (c != '\n') return kRefused;
          return {Kind::kEnd, i + 1};
        default:
          return kRefused;
      }
    }
    return {Kind::kTrailer, i};
  }
  size_t i = 0;
  for (; i < size; ++i) {
    const char c = data[i];
    switch (state_) {
      case State::kSize:
        if (const int digit = Hex(c); digit >= 0) {
          if (++digits_ > 15) return kRefused;
          left_ = left_ * 16 + static_cast<uint64_t>(digit);
        } else if (c == '\r' && digits_ > 0) {
          state_ = State::kSizeCr;
        } else {
          return kRefused;  // Extensions too: nobody needs them, and they were read differently too often.
        }
        break;
      case State::kSizeCr:
        if (c != '\n') return kRefused;
        digits_ = 0;
        if (left_ == 0) {
          state_ = State::kTrailerStart;
          return {Kind::kFraming, i + 1};
        }
        state_ = State::kData;
        return {Kind::kFraming, i + 1};
      case State::kDataCr:
        if (c != '\r') return kRefused;
        state_ = State::kDataLf;
        break;
      case State::kDataLf:
        if (c != '\n') return kRefused;
        state_ = State::kSize;
        break;
      default:
        return kRefused;
    }
  }
  return {Kind::kFraming, i};
}

}  // namespace weir::codec
