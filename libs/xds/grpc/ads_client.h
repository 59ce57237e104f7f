#pragma once

#include <memory>
#include <string>
#include <vector>

#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "libs/rpc/channel.h"
#include "libs/xds/protocol/delta_client.h"
#include "libs/xds/protocol/types.h"

namespace weir::xds {

// Whom the client asks for the way and hands what comes. Called on the client's own thread, one call at a time, until
// Stop returns.
class AdsClientHandler {
 public:
  virtual ~AdsClientHandler() = default;

  // Asked at every dial, so that a renewed certificate or token is used. rpc::MakeChannel is given it.
  virtual rpc::ChannelOptions Channel() = 0;
  // One offer at a time. Decide with Accept/Reject here or later from any thread; the next offer comes after that.
  virtual void OnUpdate(const Update& update) = 0;
  // connected: a first response came on the new stream. Else why the stream was lost (with the pause until the next
  // try).
  virtual void OnState(bool connected, const std::string& reason) = 0;
};

struct AdsClientOptions {
  const Clock* clock = &Clock::Real();
  Node node;                       // kFeatureHeartbeat is added.
  std::vector<std::string> types;  // All resources of each are subscribed ("*").
  Snapshot preload;                // Last-good.
  bool offer_renamed = false;      // See DeltaClient::OfferRenamed.

  Duration backoff_min = std::chrono::milliseconds(100);
  Duration backoff_max = std::chrono::seconds(10);  // Full jitter below it: process::Backoff.
  // No response, heartbeats included, for this long: the stream is stalled, dial again. Only once the server has sent a
  // heartbeat or while nothing was heard at all on a new stream (a server without heartbeats may be silent for ever).
  Duration stall_timeout = std::chrono::seconds(9);
};

// Delta ADS over gRPC with reconnect. Thread-safe. One thread of its own.
class AdsClient {
 public:
  AdsClient(AdsClientHandler& handler, AdsClientOptions options);  // `handler` outlives Stop.
  ~AdsClient();                                                    // Stop.
  AdsClient(const AdsClient&) = delete;
  AdsClient& operator=(const AdsClient&) = delete;

  void Start();
  void Stop();  // Blocks until no call of the handler runs any more; not from one.
  // Dials anew at once (after a renewed certificate).
  void Reconnect();

  void Accept(uint64_t id);
  void Reject(uint64_t id, const std::string& reason, const std::vector<std::string>& bad = {},
              const std::vector<std::string>& held = {});
  void Resubscribe(const std::string& type_url, const std::vector<std::string>& names);
  // The view of an update without its changes to `bad`: see DeltaClient.
  SnapshotPtr Without(const Update& update, const std::vector<std::string>& bad) const;

  SnapshotPtr Accepted() const;
  bool Complete() const;  // Every type was answered and decided once.
  bool Connected() const;

 private:
  struct Core;
  std::shared_ptr<Core> core_;
};

}  // namespace weir::xds
