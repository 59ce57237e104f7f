#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "libs/codec/http1.h"
#include "libs/proxy/plan.h"
#include "libs/traffic/judge.h"

namespace weir::proxy {

// The health digest: what a gateway answers to `GET /.weir/health` on its digest chain. A chunked text that never ends,
// lines of at most 512 bytes:
//
//   weir-health 1            first
//   down <host> <reason>     this host cannot be served; reason `partial`: some of what it needs can
//   unsure <host>            nothing has been checked yet; the host counts as served
//   ready <version>          end of the complete state; a host that was not named is served
//   up <host>                later: is served again (or was found to be, after unsure)
//   draining                 no new requests; the stream ends
//   beat <version>           each second
//
// Unknown words are skipped: a later version may say more.
struct DigestTimes {
  static constexpr uint64_t kBeatMs = 1'000;
  static constexpr uint64_t kMissMs = 1'500;    // A beat later than this is missed.
  static constexpr uint64_t kFrozenMs = 2'450;  // Two missed, less a tick of the timers: at most 2.5 s.
};

std::string_view DigestHello();  // "weir-health 1\n"
void AppendDown(std::string_view host, std::string_view reason, std::string& out);
void AppendUp(std::string_view host, std::string& out);
void AppendUnsure(std::string_view host, std::string& out);
void AppendChunk(std::string_view text, std::string& out);  // Chunked framing (RFC 9112 section 7.1).

// Reads the answer of one peer, byte by byte if need be: head, chunks, lines. Bounded whatever the peer sends.
class DigestReader {
 public:
  static constexpr size_t kMaxLine = 512;
  static constexpr size_t kMaxHead = 8 * 1024;
  static constexpr size_t kMaxHosts = 65'536;  // Named by one peer at a time.

  enum class State : uint8_t {
    kMore,      // Well so far.
    kNoDigest,  // An answer, but not this one: the peer has no digest.
    kGarbage,   // Nothing it says is believed any more.
    kEnded,     // The peer has ended the stream.
  };
  State Feed(const char* data, size_t size);

  struct Host {
    traffic::Evidence evidence = traffic::Evidence::kGood;
    bool partial = false;
  };
  Host Of(std::string_view host) const;

  int status() const { return status_; }  // 0 = no head yet.
  bool ready() const { return ready_; }
  bool draining() const { return draining_; }
  uint64_t beats() const { return beats_; }  // `ready` counts as one.
  size_t hosts() const { return hosts_.size(); }
  // Hosts whose state changed after ready, since the last call.
  std::vector<std::string> TakeChanged() { return std::exchange(changed_, {}); }

 private:
  State Body(const char* data, size_t size);
  bool Text(std::string_view text);
  bool Line(std::string_view line);
  bool Set(std::string_view host, const Host* state);

  State state_ = State::kMore;
  std::string held_;  // Part of the head, then of a line.
  codec::ChunkReader chunks_;
  int status_ = 0;
  bool greeted_ = false;
  bool ready_ = false;
  bool draining_ = false;
  uint64_t beats_ = 0;
  TextMap<Host> hosts_;  // Those that are not simply served.
  std::vector<std::string> changed_;
};

}  // namespace weir::proxy
