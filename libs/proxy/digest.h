#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "libs/codec/http1.h"
#include "libs/proxy/plan.h"
#include "libs/traffic/availability.h"
#include "libs/traffic/judge.h"

namespace weir::proxy {

// The health digest: what a gateway answers to `GET /.weir/health` on its digest chain. A chunked text that never ends,
// lines of at most 8 KiB:
//
//   weir-health 1            first
//   down <host> <reason>     this host cannot be served
//   rule <host> up|down exact|prefix|below <path>
//                            one rule of a host of which only a part can be served, all of them in their order; the
//                            first that accepts a path decides. `below`: the path and what lies below it. In <path>
//                            bytes that are no printable ASCII, and %, stand as %XX
//   down <host> partial      ends the rules of this host: they hold from now on. Without rules before it: some of what
//                            the host needs cannot be served, too much to tell
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
// The rules of a host of which some cannot be served, and the line that ends them. Beyond the bounds of the reader
// nothing but that line.
void AppendPartial(std::string_view host, const traffic::RuleHealths& rules, std::string& out);
void AppendUp(std::string_view host, std::string& out);
void AppendUnsure(std::string_view host, std::string& out);
void AppendChunk(std::string_view text, std::string& out);  // Chunked framing (RFC 9112 section 7.1).

// Reads the answer of one peer, byte by byte if need be: head, chunks, lines. Bounded whatever the peer sends.
class DigestReader {
 public:
  static constexpr size_t kMaxLine = 8 * 1024;
  static constexpr size_t kMaxHead = 8 * 1024;
  static constexpr size_t kMaxHosts = 65'536;        // Named by one peer at a time.
  static constexpr size_t kMaxRules = 65'536;        // Of all of these together.
  static constexpr size_t kMaxRuleBytes = 8u << 20;  // Their paths.
  static constexpr size_t kMaxRulesOfAHost = 1'024;

  enum class State : uint8_t {
    kMore,      // Well so far.
    kNoDigest,  // An answer, but not this one: the peer has no digest.
    kGarbage,   // Nothing it says is believed any more.
    kEnded,     // The peer has ended the stream.
  };
  State Feed(const char* data, size_t size);

  struct Host {
    traffic::Evidence evidence = traffic::Evidence::kGood;
    std::shared_ptr<const traffic::RuleHealths> rules{};  // Null = all alike.
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
  bool Rule(std::string_view line);

  State state_ = State::kMore;
  std::string held_;  // Part of the head, then of a line.
  codec::ChunkReader chunks_;
  int status_ = 0;
  bool greeted_ = false;
  bool ready_ = false;
  bool draining_ = false;
  uint64_t beats_ = 0;
  TextMap<Host> hosts_;     // Those that are not simply served.
  std::string rules_host_;  // Whose rules are being told.
  traffic::RuleHealths rules_;
  size_t rules_known_ = 0;  // Of all hosts.
  size_t rule_bytes_ = 0;
  std::vector<std::string> changed_;
};

}  // namespace weir::proxy
