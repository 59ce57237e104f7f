#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "libs/xds/protocol/types.h"

namespace envoy::service::discovery::v3 {
class DeltaDiscoveryRequest;
class DeltaDiscoveryResponse;
}  // namespace envoy::service::discovery::v3

namespace weir::xds {

// One offered change. `view` is the whole configuration with the change applied, all types; the caller makes it run (or
// not) and then calls Accept or Reject with `id`. Offers come one at a time, in order.
struct Update {
  uint64_t id = 0;
  std::string type_url;
  std::vector<std::string> changed;  // Names that are new or have other bytes; versions are never compared.
  std::vector<std::string> renamed;  // Names with the bytes of before by another version: nothing runs differently.
  std::vector<std::string> removed;  // Names that are gone (removed by the server, or their TTL ran out).
  std::string origin;                // See Snapshot::origin; of the response.
  bool expired = false;              // By TTL: not a response, Reject only keeps the resources once more.
  SnapshotPtr view;
};

// The client's side of a delta ADS stream. No transport, no thread; not thread-safe. Keeps what it has when the stream
// is lost (T46), tells the server on reconnect what it has (T24), drops what lived past its TTL (T45).
class DeltaClient {
 public:
  DeltaClient(Node node, const Clock& clock);
  ~DeltaClient();
  DeltaClient(const DeltaClient&) = delete;
  DeltaClient& operator=(const DeltaClient&) = delete;

  // All resources of a type ("*"). The simplest for our own programs, for every type.
  void SubscribeAll(const std::string& type_url);
  void Subscribe(const std::string& type_url, const std::vector<std::string>& names);
  // Drops the resources too (unless a wildcard still covers them); no offer is made of it.
  void Unsubscribe(const std::string& type_url, const std::vector<std::string>& names);

  // From now on an update is offered even if nothing but versions differs in it (Update::renamed): for whoever says on
  // which versions it runs. Else such a response is acknowledged unseen.
  void OfferRenamed();

  // What was last known good, before the first connection. Versions go out as initial_resource_versions.
  void Preload(const Snapshot& snapshot);

  void OnConnected();  // A new stream is open: Next yields the first requests.
  // Offers not yet taken are dropped; one that was taken may still be accepted (it stays, un-ACKed).
  void OnDisconnected();

  // INVALID_ARGUMENT: a response the protocol does not allow (no nonce, no type); close the stream. Responses with
  // faults of content (duplicate names T14, foreign Any type T5) are NACKed here and not offered.
  Status OnResponse(const envoy::service::discovery::v3::DeltaDiscoveryResponse& response);

  // The next request to write, if any.
  bool Next(envoy::service::discovery::v3::DeltaDiscoveryRequest* out);

  // The next offer; none while one is taken and undecided. Heartbeats are answered here and never offered.
  std::optional<Update> TakeUpdate();
  Status Accept(uint64_t id);  // NOT_FOUND UPDATE_UNKNOWN when it was already decided.
  // `bad` names the resources that are at fault: all others of the update count as accepted (T12) and the caller must
  // serve Without(update, bad). Empty = the whole update is refused. The server reads the names from the NACK's
  // details.
  // `held` names resources that are taken, but cannot run yet for a reason that lies outside of them (a port that
  // somebody else holds): the NACK names them too, yet they stay in Accepted. Resubscribe once they run.
  Status Reject(uint64_t id, const std::string& reason, const std::vector<std::string>& bad = {},
                const std::vector<std::string>& held = {});
  // Asks for resources again: the server must send them (T21), and they are offered even if nothing differs. Until then
  // they do not count as running.
  void Resubscribe(const std::string& type_url, const std::vector<std::string>& names);
  // The view of a taken update without its changes to `bad` (they keep their old version, if any).
  SnapshotPtr Without(const Update& update, const std::vector<std::string>& bad) const;

  // Everything accepted. Types never answered are absent.
  SnapshotPtr Accepted() const;
  // Whether every subscribed type was answered (and decided) at least once, on any stream. Preload does not count.
  bool Complete() const;

  std::optional<MonoTime> NextDeadline() const;  // Of the earliest TTL.
  void Tick();                                   // Expired resources become an offer.
  // When the last response (heartbeats included) came in; unset before the first of this stream.
  std::optional<MonoTime> LastHeard() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace weir::xds
