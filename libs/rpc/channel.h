#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "libs/base/clock.h"
#include "libs/base/result.h"

namespace grpc {
class Channel;
}

namespace weir::rpc {

struct ChannelOptions {
  std::string target;       // "host:port"; "unix:/path" too.
  std::string root_pem;     // Required: the system's roots are never trusted.
  std::string server_name;  // Name the server's certificate must carry; "" = the host of `target`.
  std::string chain_pem;    // With key_pem: mTLS.
  std::string key_pem;
  std::string bearer_token;                        // Sent as "authorization: Bearer ..." with each call.
  Duration keepalive = std::chrono::seconds(10);   // Ping after so much silence, 5 s for the answer.
  Duration max_backoff = std::chrono::seconds(3);  // Between connection attempts; the first after 100 ms.
};

// A channel with connections of its own (not shared with other channels), so that a new certificate takes effect by
// making a new channel. Connects lazily. INVALID_ARGUMENT CHANNEL_OPTIONS.
Result<std::shared_ptr<grpc::Channel>> MakeChannel(const ChannelOptions& options);

// Shakes hands with `target` ("host:port") without believing it, and answers the certificate of its chain whose
// SHA-256 is `root_sha256` (hex): how a join token turns into a root to trust. Blocks up to `timeout`.
// UNAUTHENTICATED ROOT_MISMATCH when no certificate matches; UNAVAILABLE SERVER_UNREACHABLE.
Result<std::string> FetchRoot(const std::string& target, const std::string& root_sha256,
                              Duration timeout = std::chrono::seconds(5));

}  // namespace weir::rpc
