#pragma once

// What one stream knows. Internal to server_stream*.cc.

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "envoy/service/discovery/v3/discovery.pb.h"
#include "libs/xds/protocol/server_stream.h"
#include "libs/xds/protocol/subscription.h"

namespace weir::xds {

using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;
using envoy::service::discovery::v3::DiscoveryRequest;
using envoy::service::discovery::v3::DiscoveryResponse;
using NameSet = std::set<std::string, std::less<>>;

// What the client knows of one name, because it was told on this stream or said so itself.
struct KnownResource {
  std::string version;
  ResourcePtr resource;  // Null when the client brought it from an earlier stream.
  bool gone = false;     // It was told that there is no such resource.
  bool brought = false;  // The client brought one of this name from an earlier stream, whatever it was told since.
};

// Snapshots are counted: a wish is as old as the snapshot it came with. Nothing waits for what was wished later, so a
// stream of changes cannot starve anybody (T52).
using Generation = uint64_t;
constexpr Generation kNever = std::numeric_limits<Generation>::max();

// A resource that is to be sent, or taken away.
struct Wish {
  Generation since =
      0;  // The client runs something else than is wished, since then: who came then or later waits for it.
  Generation as_of = 0;  // Wished as it is now: what it may refer to, or what may refer to it, was wished by then.
  std::string version;   // Of a removal "".
};

// The one un-acknowledged response of a type.
struct Flight {
  std::string nonce;
  Generation since = kNever;  // Oldest wish in it.
  std::vector<NamedVersion> sent;
  std::vector<std::string> removed;
};

struct TypeState {
  explicit TypeState(const TypeRule& type_rule) : rule(&type_rule), wants(type_rule.legacy_wildcard) {}

  const TypeRule* rule;
  size_t break_rank = 0;
  bool requested = false;
  Subscription wants;
  std::map<std::string, KnownResource, std::less<>> known;
  // What resources that were sent name (TypeRule::warms), as it was then, until it is sent: their client waits for it,
  // even if no snapshot has it by then.
  std::map<std::string, ResourcePtr, std::less<>> promised;
  NameSet forced;  // To send even if the client has this version: asked again (T18, T21) or warming (T31).
  std::map<std::string, std::string, std::less<>> too_large;  // Versions that can never be sent (T49).
  ResourcesPtr compared;                                      // What the sets below were computed from.

  std::map<std::string, Wish, std::less<>> upserts;
  std::map<std::string, Wish, std::less<>> removals;  // The client has these; they wait for their turn.
  NameSet notices;                                    // Asked for by name and unknown: answered at once (T23).
  NameSet refreshes;                                  // TTL.
  bool answer_due = false;                            // A first wildcard answer, even an empty one (T25).

  std::string last_nonce;
  std::optional<Flight> flight;
  // Others wait for the answer to wishes as old as this, or until hold_until; kNever = nobody does.
  Generation hold_since = kNever;
  bool late = false;  // The flight is not answered since hold_until.
  MonoTime hold_until{};
  std::map<std::string, std::string> acknowledged;
  std::map<std::string, MonoTime, std::less<>> refresh_at;

  bool Stuck() const { return flight.has_value() && late; }
  // The oldest wish that others wait for: additions, or removals too.
  Generation MakeSince() const {
    Generation oldest = hold_since;
    if (Stuck()) return oldest;
    for (const auto& [name, wish] : upserts) oldest = std::min(oldest, wish.since);
    return oldest;
  }
  Generation BreakSince() const {
    Generation oldest = MakeSince();
    if (Stuck()) return oldest;
    for (const auto& [name, wish] : removals) oldest = std::min(oldest, wish.since);
    return oldest;
  }
};

struct HeartbeatState {
  bool requested = false;
  bool due = false;
  bool unanswered = false;
  int missed = 0;
  uint64_t sequence = 0;
  std::string nonce;
  MonoTime next{};
};

struct ServerStream::State {
  enum class Protocol { kUndecided, kWorld, kDelta };

  State(std::shared_ptr<const ServerRules> r, const Clock& c, Observer o)
      : rules(std::move(r)), clock(c), observer(std::move(o)) {
    for (const TypeRule& rule : rules->types) types.emplace_back(rule);
    for (size_t i = 0; i < types.size(); ++i) {
      const auto& order = rules->removal_order;
      const auto at = std::find(order.begin(), order.end(), types[i].rule->url);
      types[i].break_rank = at == order.end() ? order.size() + types.size() - i : size_t(at - order.begin());
    }
  }

  const std::shared_ptr<const ServerRules> rules;
  const Clock& clock;
  const Observer observer;
  Protocol protocol = Protocol::kUndecided;
  std::optional<Node> node;
  std::vector<TypeState> types;  // In make order.
  SnapshotPtr snapshot;
  Generation generation = 0;  // Of the snapshot.
  uint64_t nonces = 0;
  HeartbeatState heartbeat;
  MonoTime began{};         // First request.
  bool grace_over = false;  // See BreakLimit.

  bool Delta() const { return protocol == Protocol::kDelta; }
  TypeState* Find(std::string_view url) {
    for (TypeState& type : types) {
      if (type.rule->url == url) return &type;
    }
    return nullptr;
  }
  ResourcesPtr Target(const TypeState& type) const {
    if (snapshot == nullptr) return nullptr;
    const auto found = snapshot->types.find(type.rule->url);
    return found == snapshot->types.end() ? nullptr : found->second;
  }
  // What a client that asks for `name` is to have; null = nothing.
  static ResourcePtr Wanted(const TypeState& type, const Resources& target, const std::string& name) {
    if (const auto found = target.find(name); found != target.end()) return found->second;
    const auto promised = type.promised.find(name);
    return promised == type.promised.end() ? nullptr : promised->second;
  }
  bool SupportsTtl() const {
    return node && (node->Has("xds.config.supports-resource-ttl") || node->Has(kFeatureHeartbeat));
  }
  bool WrapsInWorld() const {
    return node && (node->Has("xds.config.supports-resource-in-sotw") || node->Has("xds.config.resource-in-sotw"));
  }
  std::string NextNonce() { return fmt::format("{:x}", ++nonces); }

  template <typename Request>
  Status Admit(const Request& request, Protocol wanted);
  template <typename Names>
  Status CheckNames(const TypeState& type, const Names& names, bool more) const;
  void Answered(TypeState& type, bool nack, const google::rpc::Status& error);
  void Report(AckEvent event) const {
    if (observer) observer(event);
  }
  bool OnHeartbeatRequest(const std::string& nonce);

  void Recompute(TypeState& type, Generation since_now);
  void Update(TypeState& type);
  void Compare(TypeState& type, const Resources& target, const std::string& name, bool named);
  // Additions as of a snapshot before this one may go.
  Generation MakeLimit(const TypeState& type) const;
  // Removals wished before this one may go; `own` is the oldest addition of the type itself that still waits.
  Generation BreakLimit(const TypeState& type, Generation own) const;
  Duration AckTimeout(const TypeState& type) const {
    return type.rule->ack_timeout > Duration::zero() ? type.rule->ack_timeout : rules->ack_timeout;
  }
  // Of one resource, or of a response that cannot be split.
  size_t MostBytes() const;

  template <typename Response>
  bool NextHeartbeat(Response* out);
  template <typename Response>
  bool Next(Response* out);
  bool Fill(TypeState& type, DeltaDiscoveryResponse* out);
  bool Fill(TypeState& type, DiscoveryResponse* out);
  bool FillComplete(TypeState& type, DiscoveryResponse* out);
  size_t AddUpserts(TypeState& type, const std::function<void(const Resource&)>& add, Flight* flight);
  void Send(TypeState& type, Flight flight, bool holds);
  void MarkSent(TypeState& type, const ResourcePtr& resource, Flight* flight);
  // What `resource` of this type names, as it is now, and that it is forced.
  void Promise(const TypeState& type, const Resource& resource, Generation since);
  // The client is told that `name` is gone: nothing is refreshed, and what it named is waited for no more.
  void TakeBack(TypeState& type, const std::string& name);
  void RefuseTooLarge(TypeState& type, const std::string& name, const std::string& version, size_t size);
};

}  // namespace weir::xds
