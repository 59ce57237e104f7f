#pragma once

#include <sys/uio.h>

#include <charconv>
#include <string>
#include <string_view>

#include "libs/codec/http1.h"
#include "libs/proxy/session.h"

namespace weir::proxy {

// What the proxy says about the caller to the next hop.
struct Forwarding {
  bool trusted = false;         // The caller is one of us: its forwarded headers stay.
  bool panic = false;           // Said to the next tier (dialect::kPanicHeader).
  std::string_view peer;        // IP of the caller.
  std::string_view proto;       // "http" or "https".
  std::string_view request_id;  // Empty = the one that came stays.
};
void WriteRequestHead(const codec::RequestHead& head, std::string_view target, const Forwarding& forwarding,
                      std::string& out);
bool SaysPanic(const codec::RequestHead& head);
// x-weir-reason of an answer; "" without one. Views into the head's bytes.
std::string_view ReasonOf(const codec::ResponseHead& head);
// Said in x-weir-reason when an endpoint's answer cannot be understood: it has run, so nobody else is asked.
inline constexpr std::string_view kBadAnswer = "bad_answer";
bool IsRequestId(std::string_view text);  // 1 to 128 of [A-Za-z0-9._-].

struct ResponseOptions {
  bool trusted = false;        // The caller is one of us.
  bool from_mesh = false;      // The upstream is: only then its internal headers are believed.
  bool close = false;          // Say "connection: close".
  bool unchunk = false;        // The body is forwarded without chunks.
  bool chunk = false;          // The body ended with the upstream's connection and is forwarded in chunks.
  std::string_view date = {};  // Said when the answer has none (RFC 9110 section 6.6.1); empty = never.
};
void WriteResponseHead(const codec::ResponseHead& head, const ResponseOptions& options, std::string& out);

struct ReplyOptions {
  bool head_only = false;
  bool close = false;
  std::string_view date = {};
};
// An answer of our own. `reason` goes to x-weir-reason and, without a body, into the text; `extra` are header lines.
void WriteReply(int status, std::string_view reason, std::string_view body, std::string_view extra,
                const ReplyOptions& options, std::string& out);

// Pieces on their way out; bytes that follow each other share one.
struct BodyPieces {
  static constexpr int kMax = 16;
  iovec parts[kMax];
  int count = 0;

  bool Full() const { return count == kMax; }
  void Add(const char* data, size_t size) {
    if (size == 0) return;
    if (count > 0 && static_cast<const char*>(parts[count - 1].iov_base) + parts[count - 1].iov_len == data) {
      parts[count - 1].iov_len += size;
      return;
    }
    parts[count++] = {const_cast<char*>(data), size};
  }
};

struct FeedResult {
  size_t consumed = 0;
  bool bad = false;
};

// Runs bytes through the framing of `body` and hands what may be forwarded to `send(parts, count)`, together with what
// stands in `pieces` already. Stops when `send` says false.
template <typename Send>
FeedResult FeedBody(Body& body, const char* data, size_t size, BodyPieces& pieces, Send send) {
  FeedResult result;
  bool ok = true;
  char size_line[18];  // Pieces point into it until they are sent.
  switch (body.kind) {
    case codec::BodyKind::kNone:
      break;
    case codec::BodyKind::kToClose: {
      result.consumed = size;
      if (!body.rechunk || size == 0) {
        pieces.Add(data, size);
        break;
      }
      char* const end = std::to_chars(size_line, size_line + 16, size, 16).ptr;
      end[0] = '\r';
      end[1] = '\n';
      pieces.Add(size_line, static_cast<size_t>(end + 2 - size_line));
      pieces.Add(data, size);
      pieces.Add("\r\n", 2);
      break;
    }
    case codec::BodyKind::kLength: {
      result.consumed = body.left < size ? static_cast<size_t>(body.left) : size;
      pieces.Add(data, result.consumed);
      body.left -= result.consumed;
      body.done = body.left == 0;
      break;
    }
    case codec::BodyKind::kChunked:
      while (result.consumed < size && !body.done && ok) {
        const auto run = body.chunks.Next(data + result.consumed, size - result.consumed);
        if (run.kind == codec::ChunkReader::Kind::kBad) {
          result.bad = true;
          break;
        }
        body.done = run.kind == codec::ChunkReader::Kind::kEnd;
        const bool data_run = run.kind == codec::ChunkReader::Kind::kData;
        if (run.kind != codec::ChunkReader::Kind::kDropped && (data_run || !body.unchunk)) {
          if (pieces.Full()) {
            ok = send(pieces.parts, pieces.count);
            pieces.count = 0;
          }
          if (body.done) {
            pieces.Add(codec::ChunkReader::kLastChunk.data(), codec::ChunkReader::kLastChunk.size());
          } else {
            pieces.Add(data + result.consumed, run.size);
          }
        }
        result.consumed += run.size;
      }
      break;
  }
  if (pieces.count > 0 && ok) send(pieces.parts, pieces.count);
  pieces.count = 0;
  return result;
}

}  // namespace weir::proxy
