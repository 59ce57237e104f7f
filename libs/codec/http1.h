#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir::codec {

// HTTP/1.1 heads, parsed in place (RFC 9112), strictly: whatever two parsers could read differently is refused.
// Nothing is copied or allocated; the views point into the caller's bytes.

constexpr size_t kMaxHead = 60 * 1024;   // Bytes of a head, first line included.
constexpr size_t kMaxTarget = 8 * 1024;  // Bytes of a request target.
constexpr size_t kMaxHeaders = 100;

// Headers the proxy has something to do with; the rest is kOther and travels untouched.
enum class Field : uint8_t {
  kOther,
  kHost,
  kContentLength,
  kTransferEncoding,
  kConnection,
  kHopByHop,  // Keep-Alive, Proxy-Connection, Proxy-Authenticate, Proxy-Authorization, TE, Trailer, Upgrade.
  kExpect,
  kRequestId,
  kForwardedFor,
  kForwardedProto,
  kForwarded,  // Forwarded, X-Forwarded-Host/-Port/-Client-Cert, X-Real-IP: only from inside.
  kInternal,   // x-weir-*, x-envoy-*.
  kIdempotencyKey,
  kUnderscore,  // A name with '_': other servers fold it into '-', so it is believed by nobody.
};

struct HeaderLine {
  uint32_t begin = 0;  // Offsets into the head.
  uint32_t value = 0;
  uint32_t value_end = 0;
  uint32_t end = 0;  // Behind CRLF.
  uint16_t name_size = 0;
  Field field = Field::kOther;
  bool listed = false;  // Named by Connection: hop-by-hop in this message.
};

enum class BodyKind : uint8_t {
  kNone,
  kLength,  // content_length bytes.
  kChunked,
  kToClose,  // Responses only.
};

enum class Parse : uint8_t { kIncomplete, kComplete, kBad };

// Common to both directions. An object may be used again; it is large, keep one per thread.
struct Head {
  const char* data = nullptr;
  size_t size = 0;  // First line to the empty line, CRLFs included.
  uint32_t first_line_end = 0;
  int minor = 1;  // HTTP/1.<minor>; 0 or 1.
  BodyKind body = BodyKind::kNone;
  uint64_t content_length = 0;
  bool close = false;    // Connection: close, or HTTP/1.0.
  bool upgrade = false;  // An Upgrade header is there.
  size_t count = 0;
  std::array<HeaderLine, kMaxHeaders> lines;
  int error_status = 400;  // With kBad: 400, 414, 431, 501 or 505.
  std::string_view error;  // With kBad: static text, a stable word for x-weir-reason.

  std::string_view Name(const HeaderLine& line) const { return {data + line.begin, line.name_size}; }
  std::string_view Value(const HeaderLine& line) const { return {data + line.value, line.value_end - line.value}; }
};

struct RequestHead : Head {
  std::string_view method;
  std::string_view target;  // As written, with query; origin form or "*".
  std::string_view host;    // As written, checked.
  std::string_view request_id;
  bool expect_continue = false;
  bool idempotency_key = false;
  bool has_forwarded_proto = false;

  bool SafeToRepeat() const;  // GET, HEAD, OPTIONS, TRACE or an Idempotency-Key.
};

struct ResponseHead : Head {
  int status = 0;
};

// `data` begins at the first byte of the message.
Parse ParseRequest(const char* data, size_t size, RequestHead& out);
// `to_head`: the request was HEAD.
Parse ParseResponse(const char* data, size_t size, bool to_head, ResponseHead& out);

// The one canonical path for policy, route and upstream: escapes of unreserved characters decoded, others upper-case,
// dot segments resolved, repeated slashes merged. The query stays as it is.
enum class PathResult : uint8_t {
  kSame,       // `target` is canonical.
  kRewritten,  // The canonical form stands in `out`.
  kRefused,    // %2F, %5C, %00, '\', '#', double encoding, overlong UTF-8, above the root, "..;": 400.
};
PathResult CanonicalTarget(std::string_view target, std::string& out);

// Follows a chunked body (RFC 9112 section 7.1) without copying: tells for each run of bytes what it is, so that the
// caller forwards exactly what it has checked. Chunk extensions, bare LF and framing fields in trailers are refused.
class ChunkReader {
 public:
  enum class Kind : uint8_t {
    kFraming,  // Size lines and CRLFs: forwarded in a chunked body.
    kData,
    kTrailer,  // Trailer fields: dropped (RFC 9110 section 6.5.1 allows it).
    kEnd,      // The last CRLF; the body is complete.
    kBad,
  };
  struct Run {
    Kind kind;
    size_t size;  // Bytes of this run, > 0 but for kBad.
  };
  static constexpr size_t kMaxTrailers = 8 * 1024;

  Run Next(const char* data, size_t size);  // `size` > 0; not after kEnd or kBad.
  void Reset() { *this = ChunkReader(); }

 private:
  enum class State : uint8_t {
    kSize,
    kSizeCr,
    kData,
    kDataCr,
    kDataLf,
    kTrailerStart,
    kTrailerLine,
    kTrailerLf,
    kEndLf
  };
  State state_ = State::kSize;
  uint8_t digits_ = 0;
  uint8_t line_name_ = 0;  // 1 = within the name of a trailer field.
  uint16_t trailer_bytes_ = 0;
  uint64_t left_ = 0;
  uint64_t name_hash_ = 0;
};

}  // namespace weir::codec
