#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "libs/xds/protocol/server_stream.h"
#include "libs/xds/protocol/types.h"

namespace grpc {
class Service;
}

namespace weir::xds {

// What is known of the peer of a new stream from its headers, before a byte of a message is read.
struct AdsPeer {
  std::string address;            // gRPC's form, "ipv4:127.0.0.1:5000".
  std::vector<std::string> uris;  // URI names of the verified client certificate; empty without mTLS.
  std::string chain_pem;          // What it presented, see rpc::PeerChain; "" without mTLS.
  std::multimap<std::string, std::string> metadata;  // Request headers, lower case ("authorization").
};

// The verified answer to "who is this": what streams are counted by, and the key of its snapshot if AdsHandler::KeyOf
// says no other.
struct AdsGrant {
  std::string principal;
  // Asked again at every EndUngrantedStreams; an error ends the stream with it. Unset = the grant stands as long as the
  // stream. Called without locks held.
  std::function<Status()> still_valid = nullptr;
};

struct AdsStreamEvent {
  enum class Kind { kOpened, kClosed };
  Kind kind;
  uint64_t stream = 0;  // Unique in this process.
  std::string key;
  Node node;
  std::string reason;  // Of kClosed.
};

// Who decides about streams and is told of them. Called on gRPC's threads, the service's own or the caller's, several
// at a time, without a lock of the service held except by Origin; short work only.
class AdsHandler {
 public:
  virtual ~AdsHandler() = default;

  // Who this is; an Error refuses the stream.
  virtual Result<AdsGrant> Authenticate(const AdsPeer& peer) = 0;
  // The key of the snapshot that this node of a principal sees: as this stands, one for all of the principal's. Nodes
  // that see the same share a key. What the node says of itself may choose among what is the principal's own, never
  // more (T51); an Error ends the stream.
  virtual Result<std::string> KeyOf(const std::string& principal, const Node&) { return principal; }
  // An opened stream without a snapshot waits: call SetSnapshot from here or later.
  virtual void OnStream(const AdsStreamEvent& event) = 0;
  virtual void OnAck(const std::string& key, uint64_t stream, const AckEvent& event) = 0;
  // Where the server's history stands now: `system_version_info` of delta responses. "", as this stands: a server whose
  // state has no history says nothing. Called with the stream's lock held: nothing of the service may be called.
  virtual std::string Origin() { return ""; }
};

struct AdsServiceOptions {
  std::shared_ptr<const ServerRules> rules;
  const Clock* clock = &Clock::Real();
  // A write that takes longer closes the stream (T53).
  Duration send_timeout = std::chrono::seconds(10);
  // The first request must come within this time.
  Duration first_request_timeout = std::chrono::seconds(10);
  // Of one principal; a newer one takes the place of the oldest (ABORTED REPLACED), so that one who comes back always
  // gets in. Two processes overlap while one succeeds the other.
  size_t streams_per_principal = 4;
  // Of all; more are refused (RESOURCE_EXHAUSTED STREAM_LIMIT).
  size_t max_streams = 10'000;
};

// Aggregated discovery over gRPC: StreamAggregatedResources and DeltaAggregatedResources. All methods are thread-safe.
class AdsService {
 public:
  // `handler` outlives this and the grpc::Server: it hears of the end of every stream, also of those that Shutdown
  // ends.
  AdsService(AdsHandler& handler, AdsServiceOptions options);
  ~AdsService();  // Shutdown first; the grpc::Server must be shut down before this.
  AdsService(const AdsService&) = delete;
  AdsService& operator=(const AdsService&) = delete;

  grpc::Service* service();  // For ServerBuilder::RegisterService.

  // What the nodes with this key see from now on. Streams that come later find it.
  void SetSnapshot(const std::string& key, SnapshotPtr snapshot);
  SnapshotPtr GetSnapshot(const std::string& key) const;
  // Forgets the snapshot (streams keep what they have) and closes its streams with `reason` (PERMISSION_DENIED) if not
  // empty.
  void Remove(const std::string& key, const std::string& reason = "");
  // Ends every stream whose grant is no longer valid. Call it when what grants were made from has changed; a stream
  // that is being granted at that moment is only found by the next call.
  void EndUngrantedStreams();
  size_t StreamCount() const;
  size_t StreamCount(const std::string& key) const;

  // Closes every stream with UNAVAILABLE and refuses new ones.
  void Shutdown();

 private:
  struct Core;
  std::shared_ptr<Core> core_;
};

}  // namespace weir::xds
