#pragma once

#include <memory>
#include <string>
#include <vector>

#include "libs/base/clock.h"
#include "libs/rpc/channel.h"
#include "libs/translate/intent.h"

namespace weir::agent {

// Who takes the intent, and knows the way to the server. Called by Start and on the link's thread, one call at a time,
// until Stop returns.
class IntentHandler {
 public:
  virtual ~IntentHandler() = default;

  virtual rpc::ChannelOptions Channel() = 0;  // Asked at every dial, so that a renewed certificate is used.
  // Each new state; the first only when it is whole: from last-good, or once every type was answered.
  virtual void OnIntent(const translate::Intent& intent) = 0;
};

struct IntentLinkOptions {
  std::string instance;        // Of this start: the node id, the same as on the report stream.
  std::string cluster;         // Its name, for logs; the server decides by certificate.
  std::string last_good_path;  // Two generations beside it.
  std::string owner;           // Trust domain: nobody starts with somebody else's intent.
  // This start joined by a token: whose intent is taken from now on was decided by who made the token, whatever was
  // held before.
  bool joined_anew = false;
  const Clock* clock = &Clock::Real();
};

// Intent from the server by delta ADS, kept on disk: without the server the agent starts with what it last accepted. A
// piece that cannot be read is rejected by name with its reason and the old one stays.
class IntentLink {
 public:
  IntentLink(IntentHandler& handler, IntentLinkOptions options);  // `handler` outlives Stop.
  ~IntentLink();                                                  // Stop.
  void Start();  // Reads last-good first (OnIntent may be called from here), then dials.
  void Stop();   // Writes what was accepted last.
  void Reconnect();
  bool Connected() const;

  // What Start found on disk, and what the disk takes since.
  struct LastGoodState {
    std::string from;                  // "generation 1 of 2026-..."; "" = nothing.
    std::vector<std::string> refused;  // Why generations were refused, until a good one is written.
    std::string unwritten;             // Why the newest intent is not on disk; "" = nothing failed. Tried again.
  };
  LastGoodState LastGood() const;  // Only after Start.
  // Why the server's offers are not taken now: it offers an older state than the one held here, or another one; "" =
  // they are taken.
  std::string RefusalReason() const;

 private:
  struct Core;
  std::unique_ptr<Core> core_;
};

}  // namespace weir::agent
