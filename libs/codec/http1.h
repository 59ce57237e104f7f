#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir::codec {

// HTTP/1.1 heads, parsed in place (RFC 9112). Requests strictly: whatever two parsers could read differently is
// refused. Answers as far as they cannot be misread: what is odd about them is marked, so that the writer leaves it
// out. Nothing is copied or allocated; the views point into the caller's bytes.

constexpr size_t kMaxTarget = 8 * 1024;  // Bytes of a request target.
// How much a head may be.
struct HeadBounds {
  size_t bytes;  // First line included.
  size_t fields;
};
// From outside, and what an application answers.
inline constexpr HeadBounds kOutside{60 * 1024, 100};
// Between gateways: each adds its own, the edge at most 5 fields and each of the 16 that a request may pass 2, so that
// what one has taken is refused by none behind it.
inline constexpr HeadBounds kMesh{64 * 1024, 140};
// Why a request with a '_' in the name of a header is refused.
inline constexpr std::string_view kUnderscoreInName = "underscore_in_header_name";
constexpr size_t kMaxConnectionTokens = 32;  // Of all Connection fields of a head: more is refused.

// Headers the proxy has something to do with; the rest is kOther and travels untouched.
enum class Field : uint8_t {
  kOther,
  kHost,
  kContentLength,
  kTransferEncoding,
  kConnection,
  kHopByHop,  // Keep-Alive, Proxy, Proxy-Connection, Proxy-Authenticate, Proxy-Authorization, TE, Trailer,
              // HTTP2-Settings.
  kUpgrade,
  kExpect,
  kRequestId,
  kForwardedFor,
  kForwardedProto,
  // What proxies say of the caller and of the request as it was (Forwarded*, X-Forwarded-*, X-Real-IP, True-Client-IP,
  // SSL-Client-*, X-Original-URL, ...): only from inside.
  kForwarded,
  kInternal,  // x-weir-*, x-envoy-*.
  kIdempotencyKey,
  kVia,
  kMaxForwards,
  kDate,
};

struct HeaderLine {
  uint32_t begin = 0;  // Offsets into the head.
  uint32_t value = 0;
  uint32_t value_end = 0;
  uint32_t end = 0;  // Behind CRLF.
  uint16_t name_size = 0;
  Field field = Field::kOther;
  bool dropped = false;  // Not passed on: named by Connection, or framing that an answer must not have.
  bool loose = false;    // Of an answer: white space before the colon (RFC 9112 section 5.1), written without it.
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
  bool close = false;    // Connection: close, or HTTP/1.0; of an answer too when nobody can be sure where it ends.
  bool upgrade = false;  // Connection lists "upgrade".
  size_t count = 0;
  std::array<HeaderLine, kMesh.fields> lines;
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
  bool https_target = false;  // The target was of the absolute form and says https.
  bool lacks_host = false;    // HTTP/1.0: `host` is the absolute target's, no field says it.
  bool websocket = false;     // Asks to be upgraded to WebSocket (RFC 6455).
  int32_t max_forwards = -1;  // Of OPTIONS and TRACE (RFC 9110 section 7.6.2); -1 = says none that can be read.
  uint32_t via_weir = 0;      // How often Via names "weir": the gateways of ours that it has passed.

  bool SafeToRepeat() const;  // GET, HEAD, OPTIONS, TRACE or an Idempotency-Key.
};

struct ResponseHead : Head {
  int status = 0;           // 100 to 999; above 599 as the application says (RFC 9110 section 15: as if x00).
  bool own_length = false;  // The lines of Content-Length say one thing in an odd way: all dropped, write one.
  bool has_date = false;
};

// `data` begins at the first byte of the message. With kBad the method and the target are set as far as they were read.
Parse ParseRequest(const char* data, size_t size, RequestHead& out, const HeadBounds& bounds = kOutside);
// `to_head`: the request was HEAD.
Parse ParseResponse(const char* data, size_t size, bool to_head, ResponseHead& out,
                    const HeadBounds& bounds = kOutside);

// The one canonical path for policy, route and upstream: escapes of unreserved characters decoded, others upper-case,
// dot segments resolved, repeated slashes merged, no path is "/". The query stays as it is.
enum class PathResult : uint8_t {
  kSame,       // `target` is canonical.
  kRewritten,  // The canonical form stands in `out`.
  kRefused,    // %2F, %5C, %00, '\', '#', double encoding, overlong UTF-8, above the root, "..;": 400.
};
PathResult CanonicalTarget(std::string_view target, std::string& out);

// Follows a chunked body (RFC 9112 section 7.1) without copying: tells for each run of bytes what it is, so that the
// caller forwards exactly what it has checked, and in the plainest form: "<size>CRLF<data>CRLF" and, at the end,
// kLastChunk. Chunk extensions are dropped (section 7.1.1), so are leading zeros and trailers (section 7.1.2). Bare CR
// and LF are refused wherever they stand.
class ChunkReader {
 public:
  enum class Kind : uint8_t {
    kFraming,  // Sizes and CRLFs of chunks with data: forwarded in a chunked body.
    kData,
    kDropped,  // Extensions, leading zeros, the last chunk, trailer fields.
    kEnd,      // The last byte; the body is complete: whoever forwards chunks writes kLastChunk.
    kBad,
  };
  struct Run {
    Kind kind;
    size_t size;  // Bytes of this run, > 0 but for kBad.
  };
  enum class Strictness : uint8_t {
    kRequest,  // Framing fields in trailers, white space behind a size and more than 16 digits are refused.
    kAnswer,   // They are dropped.
  };
  static constexpr std::string_view kLastChunk = "0\r\n\r\n";
  static constexpr size_t kMaxSizeLine = 512;  // Bytes of a size with its extensions.
  static constexpr size_t kMaxTrailers = 8 * 1024;

  ChunkReader(Strictness strictness = Strictness::kRequest) : strictness_(strictness) {}
  Run Next(const char* data, size_t size);  // `size` > 0; not after kEnd or kBad.

 private:
  enum class State : uint8_t {
    kSize,
    kSizeSpace,
    kExtension,
    kSizeLf,
    kData,
    kDataCr,
    kDataLf,
    kTrailerStart,
    kTrailerName,
    kTrailerValue,
    kTrailerLf,
    kEndLf,
  };
  Kind KindOf(char c) const;
  bool Step(char c);
  bool StepSize(char c);
  bool StepTrailer(char c);

  Strictness strictness_;
  State state_ = State::kSize;
  uint8_t digits_ = 0;  // Without leading zeros.
  uint16_t line_bytes_ = 0;
  uint16_t trailer_bytes_ = 0;
  uint64_t left_ = 0;
  uint64_t name_hash_ = 0;
};

}  // namespace weir::codec
