#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "libs/base/result.h"
#include "libs/net/socket.h"
#include "libs/net/tls.h"
#include "libs/proxy/snapshot.h"

namespace weir::proxy {

// Hash of string views, so that maps keyed by strings are asked without making one.
struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
template <typename T>
using TextMap = std::unordered_map<std::string, T, TextHash, std::equal_to<>>;

// A listener with its names indexed; shared by the workers and by plans as long as the listener stays the same.
struct PlannedListener {
  std::shared_ptr<const Listener> source;
  net::Address address;
  std::string key;  // "address:port": what a socket serves, whatever the listener's name.
  bool tls = false;
  TextMap<uint32_t> exact;                                     // SNI -> chain.
  std::vector<std::pair<std::string, uint32_t>> suffixes;      // ".suffix", longest first.
  int fallback = -1;                                           // Chain without names.
  std::vector<uint32_t> by_host;                               // Chains whose hosts are their names.
  std::vector<std::shared_ptr<const net::TlsPeerRule>> rules;  // By chain; null = plain, or by host.

  struct Found {
    int chain = -1;                              // -1 = none.
    const traffic::VirtualHost* host = nullptr;  // On a chain by host: the one that SNI names; no other is served.
    uint32_t host_index = 0;
  };
  // Lower-case name. An own chain, then the hosts of chains by host (the most exact, then the first), then the rest.
  Found Find(std::string_view sni) const;
  // Whom that chain, or that host, lets in. Null = plain.
  std::shared_ptr<const net::TlsPeerRule> RuleOf(const Found& found) const;
  bool Admits(const Found& found, std::string_view peer_uri) const;

 private:
  Found FindHost(std::string_view sni) const;
};

// A snapshot made ready to serve. Built once per snapshot on the caller's thread.
struct Plan {
  std::shared_ptr<const Snapshot> snapshot;
  TextMap<std::shared_ptr<const PlannedListener>> listeners;  // By key.

  // INVALID_ARGUMENT LISTENER_MALFORMED. `before` may be null; what did not change is taken from it.
  static Result<std::shared_ptr<const Plan>> Build(std::shared_ptr<const Snapshot> snapshot, const Plan* before);
};

// How a peer is spoken to. It must be said: who says nothing reaches nobody.
class PeerWire {
 public:
  PeerWire() = default;  // Not said.
  static PeerWire Plain();
  static PeerWire Tls(std::shared_ptr<const net::TlsPeerRule> rule);  // Null accepts no peer.

  bool plain() const { return kind_ == Kind::kPlain; }
  bool tls() const { return kind_ == Kind::kTls; }
  const std::shared_ptr<const net::TlsPeerRule>& rule() const { return rule_; }
  // The peer proves an identity that was asked for: what it says of itself is believed.
  bool proves_identity() const { return tls() && rule_ && !(rule_->exact.empty() && rule_->prefixes.empty()); }

 private:
  enum class Kind : uint8_t { kUnsaid, kPlain, kTls };
  Kind kind_ = Kind::kUnsaid;
  std::shared_ptr<const net::TlsPeerRule> rule_;
};
// How an endpoint of a destination set is spoken to: it proves its own identity, or else one of those that the set
// allows.
PeerWire WireTo(const DestinationSet& destination, const Endpoint& endpoint);

net::TlsPeerRule PeerRule(bool require, const std::vector<UriMatch>& uris);

}  // namespace weir::proxy
