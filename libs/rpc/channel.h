#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "libs/identity/peer.h"

namespace grpc {
class Channel;
}

namespace weir::rpc {

struct ChannelOptions {
  std::string target;       // "host:port"; "unix:/path" too.
  identity::PeerRule peer;  // Who answers there. Required: the system's roots are never trusted, nor the target's name.
  std::string chain_pem;    // With key_pem: mTLS.
  std::string key_pem;
  std::string bearer_token;                        // Sent as "authorization: Bearer ..." with each call.
  Duration keepalive = std::chrono::seconds(10);   // Ping after so much silence, 5 s for the answer.
  Duration max_backoff = std::chrono::seconds(3);  // Between connection attempts; the first after 100 ms.
};

// A channel with connections of its own (not shared with other channels), so that a new certificate takes effect by
// making a new channel. Connects lazily. gRPC's own match of host and certificate (which takes e-mail addresses and
// common names for hosts) is replaced by identity::VerifyPeer; nothing is sent before it has agreed. A refusal is
// UNAVAILABLE with VerifyPeer's text. INVALID_ARGUMENT CHANNEL_OPTIONS.
Result<std::shared_ptr<grpc::Channel>> MakeChannel(const ChannelOptions& options);

// Shakes hands with weir-server at `target` ("host:port") and answers the anchor that verified it, if its SHA-256 is
// `anchor_sha256` (hex): how a join token turns into an anchor to trust. A chain that merely contains that certificate
// is refused. Blocks up to `timeout`. UNAUTHENTICATED ANCHOR_MISMATCH, CERTIFICATE_REFUSED, PEER_REFUSED;
// UNAVAILABLE SERVER_UNREACHABLE.
Result<std::string> FetchAnchor(const std::string& target, const std::string& anchor_sha256,
                                Duration timeout = std::chrono::seconds(5));

}  // namespace weir::rpc
