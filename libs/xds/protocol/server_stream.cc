#include "libs/xds/protocol/server_stream.h"

#include <fmt/format.h>
#include <google/protobuf/wrappers.pb.h>

#include <algorithm>

#include "envoy/service/discovery/v3/discovery.pb.h"
#include "libs/base/ids.h"
#include "libs/base/walk.h"
#include "libs/xds/protocol/subscription.h"

namespace weir::xds {
namespace {

using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;
using envoy::service::discovery::v3::DiscoveryRequest;
using envoy::service::discovery::v3::DiscoveryResponse;
using NameSet = std::set<std::string, std::less<>>;

// What the client was told of one name on this stream.
struct Told {
  std::string version;
  ResourcePtr resource;  // Null when the client brought it from an earlier stream.
  bool gone = false;     // It was told that there is no such resource.
};

// The one un-acknowledged response of a type.
struct Flight {
  std::string nonce;
  std::vector<NamedVersion> sent;
  std::vector<std::string> removed;
};

struct TypeState {
  explicit TypeState(const TypeRule& type_rule) : rule(&type_rule), wants(type_rule.legacy_wildcard) {}

  const TypeRule* rule;
  size_t break_rank = 0;
  bool requested = false;
  Subscription wants;
  std::map<std::string, Told, std::less<>> told;
  NameSet forced;  // To send even if the client has this version: asked again (T18, T21) or warming (T31).
  std::map<std::string, std::string, std::less<>> too_large;  // Versions that can never be sent (T49).
  ResourcesPtr compared;                                      // What the sets below were computed from.

  NameSet upserts;
  NameSet removals;         // The client has these; they wait for their turn.
  NameSet notices;          // Asked for by name and unknown: answered at once (T23).
  NameSet refreshes;        // TTL.
  bool answer_due = false;  // A first wildcard answer, even an empty one (T25).

  std::string last_nonce;
  std::optional<Flight> flight;
  bool holding = false;  // Later types wait for the answer to what was sent, or until hold_until.
  bool late = false;     // The flight is not answered since hold_until.
  MonoTime hold_until{};
  std::map<std::string, std::string> acknowledged;
  std::map<std::string, MonoTime, std::less<>> refresh_at;

  bool Stuck() const { return flight.has_value() && late; }
  bool MakeBlocks() const { return holding || (!upserts.empty() && !Stuck()); }
  bool BreakBlocks() const { return MakeBlocks() || (!removals.empty() && !Stuck()); }
};

struct Pulse {
  bool requested = false;
  bool due = false;
  bool unanswered = false;
  int missed = 0;
  uint64_t sequence = 0;
  std::string nonce;
  MonoTime next{};
};

Node ReadNode(const envoy::config::core::v3::Node& proto) {
  Node node;
  node.id = proto.id();
  node.cluster = proto.cluster();
  node.user_agent = proto.user_agent_name();
  node.region = proto.locality().region();
  node.zone = proto.locality().zone();
  node.sub_zone = proto.locality().sub_zone();
  for (const auto& feature : proto.client_features()) node.features.insert(feature);
  for (const auto& [key, value] : proto.metadata().fields()) {
    if (value.has_string_value()) node.metadata[key] = value.string_value();
  }
  return node;
}

// Our own clients name the resources at fault in the details (StringValue each); others refuse the response as a whole.
NameSet NamedFaults(const google::rpc::Status& status) {
  NameSet names;
  for (const auto& detail : status.details()) {
    google::protobuf::StringValue name;
    if (detail.Is<google::protobuf::StringValue>() && detail.UnpackTo(&name)) names.insert(name.value());
  }
  return names;
}

}  // namespace

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
  uint64_t nonces = 0;
  Pulse pulse;
  MonoTime began{};         // First request.
  bool grace_over = false;  // See MayBreak.

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
  bool SupportsTtl() const {
    return node && (node->Has("xds.config.supports-resource-ttl") || node->Has(kFeatureHeartbeat));
  }
  bool WrapsInWorld() const {
    return node && (node->Has("xds.config.supports-resource-in-sotw") || node->Has("xds.config.resource-in-sotw"));
  }
  std::string NextNonce() { return fmt::format("{:x}", ++nonces); }

  template <typename Request>
  Status Admit(const Request& request, Protocol wanted);
  void Answered(TypeState& type, bool nack, const google::rpc::Status& error);
  void Report(AckEvent event) const {
    if (observer) observer(event);
  }
  bool OnPulseRequest(const std::string& nonce);

  void Recompute(TypeState& type);
  void Update(TypeState& type);
  void Compare(TypeState& type, const Resources& target, const std::string& name, bool named);
  bool MayMake(const TypeState& type) const;
  bool MayBreak(const TypeState& type) const;

  template <typename Response>
  bool NextPulse(Response* out);
  template <typename Response>
  bool Next(Response* out);
  bool Fill(TypeState& type, DeltaDiscoveryResponse* out);
  bool Fill(TypeState& type, DiscoveryResponse* out);
  bool FillComplete(TypeState& type, DiscoveryResponse* out);
  void Send(TypeState& type, Flight flight, bool holds);
  void MarkSent(TypeState& type, const ResourcePtr& resource, Flight* flight);
  void RefuseTooLarge(TypeState& type, const Resource& resource, size_t size);
};

ServerStream::ServerStream(std::shared_ptr<const ServerRules> rules, const Clock& clock, Observer observer)
    : state_(std::make_unique<State>(std::move(rules), clock, std::move(observer))) {}
ServerStream::~ServerStream() = default;

// --- Requests ---

template <typename Request>
Status ServerStream::State::Admit(const Request& request, Protocol wanted) {
  if (protocol == Protocol::kUndecided) protocol = wanted;
  if (protocol != wanted) return InvalidArgument("MIXED_PROTOCOLS", "one stream speaks one protocol");
  if (request.type_url().empty()) return InvalidArgument("TYPE_MISSING", "type_url is required");  // T2
  if (!node) {
    if (request.node().id().empty()) {  // T1
      return InvalidArgument("NODE_MISSING", "the first request must carry node.id");
    }
    node = ReadNode(request.node());
    began = clock.Now();
  } else if (request.has_node() && request.node().id() != node->id) {
    return InvalidArgument("NODE_CHANGED", "node.id changed from {} to {}", node->id, request.node().id());
  }
  return {};
}

bool ServerStream::State::OnPulseRequest(const std::string& nonce) {
  if (!pulse.requested) {
    pulse.requested = pulse.due = true;
    pulse.next = clock.Now() + rules->heartbeat_interval;
  } else if (nonce == pulse.nonce) {
    pulse.unanswered = false;
    pulse.missed = 0;
  }
  return true;
}

Status ServerStream::OnRequest(const DeltaDiscoveryRequest& request) {
  State& s = *state_;
  WEIR_TRY(s.Admit(request, State::Protocol::kDelta));
  if (request.type_url() == kHeartbeat) {
    s.OnPulseRequest(request.response_nonce());
    return {};
  }
  TypeState* type = s.Find(request.type_url());
  if (type == nullptr) return {};  // T2: unknown types stay silent.

  if (type->flight && request.response_nonce() == type->flight->nonce) {
    s.Answered(*type, request.has_error_detail(), request.error_detail());
  }
  // T11: whatever the nonce, subscription changes count.
  const bool first = !type->requested;
  type->requested = true;
  const auto change =
      type->wants.ApplyDelta(first, request.resource_names_subscribe(), request.resource_names_unsubscribe());
  if (first && !request.initial_resource_versions().empty()) {  // T24
    AckEvent event{.type_url = type->rule->url};
    for (const auto& [name, version] : request.initial_resource_versions()) {
      if (!type->wants.Covers(name)) continue;
      type->told[name] = Told{version, nullptr, false};
      type->acknowledged[name] = version;
      event.accepted_resources.push_back({name, version});
    }
    if (!event.accepted_resources.empty()) s.Report(std::move(event));
  }
  if (!first) type->forced.insert(change.added.begin(), change.added.end());  // T21
  for (const std::string& name : change.added) {
    const auto told = type->told.find(name);
    if (told != type->told.end() && told->second.gone) type->told.erase(told);  // T23: answer again.
  }
  for (const std::string& name : change.uncovered_by_name) {  // T22
    type->told.erase(name);
    type->forced.insert(name);
  }
  NameSet answer_anyway(change.uncovered_by_name.begin(), change.uncovered_by_name.end());
  for (const std::string& name : change.dropped) {
    type->told.erase(name);
    type->acknowledged.erase(name);
  }
  if (change.wildcard_ended) {
    std::erase_if(type->told, [&](const auto& entry) { return !type->wants.Covers(entry.first); });
    std::erase_if(type->acknowledged, [&](const auto& entry) { return !type->wants.Covers(entry.first); });
  }
  if (change.wildcard_began) type->answer_due = true;
  const bool changed = first || !change.added.empty() || !change.dropped.empty() || !answer_anyway.empty() ||
                       change.wildcard_began || change.wildcard_ended;
  if (changed) s.Recompute(*type);
  if (const auto target = s.Target(*type)) {
    for (const std::string& name : answer_anyway) {
      if (!target->contains(name)) type->notices.insert(name);
    }
  }
  return {};
}

Status ServerStream::OnRequest(const DiscoveryRequest& request) {
  State& s = *state_;
  WEIR_TRY(s.Admit(request, State::Protocol::kWorld));
  if (request.type_url() == kHeartbeat) {
    s.OnPulseRequest(request.response_nonce());
    return {};
  }
  TypeState* type = s.Find(request.type_url());
  if (type == nullptr) return {};

  const bool first = !type->requested;
  // T4: the first request of a type is new whatever nonce it carries. T10: later ones count only with the newest nonce.
  if (!first && request.response_nonce() != type->last_nonce) return {};
  if (!first && type->flight) s.Answered(*type, request.has_error_detail(), request.error_detail());
  type->requested = true;
  const auto change = type->wants.ApplyWorld(first, request.resource_names());
  for (const std::string& name : change.dropped) {
    type->told.erase(name);
    type->acknowledged.erase(name);
    type->forced.erase(name);
  }
  if (change.wildcard_ended) {
    std::erase_if(type->told, [&](const auto& entry) { return !type->wants.Covers(entry.first); });
    std::erase_if(type->acknowledged, [&](const auto& entry) { return !type->wants.Covers(entry.first); });
  }
  const bool subscribed = type->wants.all() || !type->wants.names().empty();
  if (!change.added.empty()) type->forced.insert(change.added.begin(), change.added.end());  // T18
  if (subscribed && type->rule->complete && (first || !change.added.empty() || change.wildcard_began)) {
    type->answer_due = true;
  }
  if (first || !change.added.empty() || !change.dropped.empty() || change.wildcard_began || change.wildcard_ended) {
    s.Recompute(*type);
  }
  return {};
}

// T6 to T9: error_detail alone says NACK. What was refused is not sent again, because `told` holds its version.
void ServerStream::State::Answered(TypeState& type, bool nack, const google::rpc::Status& error) {
  Flight flight = *std::exchange(type.flight, std::nullopt);
  if (!nack) type.holding = false;  // After a NACK later types wait for the timeout: the refused may be referenced.
  AckEvent event{.type_url = type.rule->url, .accepted = !nack};
  NameSet faults;
  if (nack) {
    event.error = error.message().empty() ? "rejected without a reason" : error.message();
    faults = NamedFaults(error);
  }
  for (NamedVersion& sent : flight.sent) {
    if (nack && (faults.empty() || faults.contains(sent.name))) {
      event.rejected_resources.push_back(std::move(sent));
      continue;
    }
    if (type.wants.Covers(sent.name)) type.acknowledged[sent.name] = sent.version;
    event.accepted_resources.push_back(std::move(sent));
  }
  if (!nack || !faults.empty()) {
    for (std::string& name : flight.removed) {
      type.acknowledged.erase(name);
      event.removed.push_back(std::move(name));
    }
  }
  Report(std::move(event));
}

// --- What is pending ---

void ServerStream::SetSnapshot(SnapshotPtr snapshot) {
  State& s = *state_;
  s.snapshot = std::move(snapshot);
  for (TypeState& type : s.types) {
    if (type.requested && s.Target(type) != type.compared) s.Update(type);
  }
}

void ServerStream::State::Compare(TypeState& type, const Resources& target, const std::string& name, bool named) {
  const auto wanted = target.find(name);
  const auto told = type.told.find(name);
  if (wanted != target.end()) {
    const auto large = type.too_large.find(name);
    if (large != type.too_large.end() && large->second == wanted->second->version) return;
    const bool has = told != type.told.end() && !told->second.gone && told->second.version == wanted->second->version;
    if (!has || type.forced.contains(name)) type.upserts.insert(name);
    return;
  }
  if (told != type.told.end()) {
    if (!told->second.gone) type.removals.insert(name);
  } else if (named && Delta()) {
    type.notices.insert(name);
  }
}

// What Recompute does, for the names alone that differ between two snapshots: resources that stay are the same object.
void ServerStream::State::Update(TypeState& type) {
  const ResourcesPtr before = type.compared, target = Target(type);
  if (before == nullptr || target == nullptr || (!Delta() && !type.rule->complete)) return Recompute(type);
  type.compared = target;
  const auto differs = [&](const std::string& name) {
    type.upserts.erase(name);
    type.removals.erase(name);
    type.notices.erase(name);
    const bool named = type.wants.names().contains(name);
    if (named || type.wants.all()) return Compare(type, *target, name, named);
    const auto told = type.told.find(name);
    if (told != type.told.end() && !told->second.gone && !target->contains(name)) type.removals.insert(name);
  };
  WalkBoth(*before, *target, [&](const std::string& name, const ResourcePtr* old, const ResourcePtr* now) {
    if (old == nullptr || now == nullptr || *old != *now) differs(name);
  });
}

void ServerStream::State::Recompute(TypeState& type) {
  type.upserts.clear();
  type.removals.clear();
  type.notices.clear();
  const ResourcesPtr target = Target(type);
  type.compared = target;
  if (target == nullptr) return;  // T48: not loaded, no answer.
  if (type.wants.all()) {
    for (const auto& [name, resource] : *target) Compare(type, *target, name, false);
  }
  for (const std::string& name : type.wants.names()) Compare(type, *target, name, true);
  for (const auto& [name, told] : type.told) {
    if (!told.gone && !target->contains(name)) type.removals.insert(name);
  }
  if (!Delta() && !type.rule->complete) {  // T19: here deletion is implied by the parent, nothing is sent.
    for (const std::string& name : type.removals) {
      type.told.erase(name);
      type.acknowledged.erase(name);
    }
    type.removals.clear();
  }
}

// T29, T30: additions wait for the answers of every earlier type.
bool ServerStream::State::MayMake(const TypeState& type) const {
  if (type.rule->free) return true;
  for (const TypeState& earlier : types) {
    if (&earlier == &type) return true;
    if (earlier.requested && !earlier.rule->free && earlier.MakeBlocks()) return false;
  }
  return true;
}

// Removals wait for this type's own additions and for all that types before it in the break order still have to say.
bool ServerStream::State::MayBreak(const TypeState& type) const {
  if (!type.upserts.empty() && !MayMake(type)) return false;
  // What a client brought from an earlier stream may be referenced by types it has not asked for yet on this one.
  const bool young = !grace_over;
  const bool brought = young && std::any_of(type.removals.begin(), type.removals.end(), [&](const std::string& name) {
                         const auto told = type.told.find(name);
                         return told != type.told.end() && told->second.resource == nullptr;
                       });
  for (const TypeState& other : types) {
    if (&other == &type || other.rule->free) continue;
    if (brought && !other.requested && other.break_rank < type.break_rank) return false;
    if (!other.requested) continue;
    if (other.break_rank < type.break_rank && other.BreakBlocks()) return false;
  }
  return true;
}

// --- Responses ---

bool ServerStream::Next(DiscoveryResponse* out) {
  return state_->protocol == State::Protocol::kWorld && state_->Next(out);
}
bool ServerStream::Next(DeltaDiscoveryResponse* out) {
  return state_->protocol == State::Protocol::kDelta && state_->Next(out);
}

template <typename Response>
bool ServerStream::State::Next(Response* out) {
  if (NextPulse(out)) return true;
  for (TypeState& type : types) {
    if (!type.requested || type.flight || Target(type) == nullptr) continue;  // T53
    out->Clear();
    if (Fill(type, out)) return true;
  }
  return false;
}

template <typename Response>
bool ServerStream::State::NextPulse(Response* out) {
  if (!pulse.due) return false;
  pulse.due = false;
  pulse.unanswered = true;
  pulse.nonce = NextNonce();
  out->Clear();
  out->set_type_url(std::string(kHeartbeat));
  out->set_nonce(pulse.nonce);
  google::protobuf::Any* any;
  const std::string version = fmt::format("{}", ++pulse.sequence);
  if constexpr (std::is_same_v<Response, DeltaDiscoveryResponse>) {
    auto* resource = out->add_resources();
    resource->set_name(std::string(kHeartbeatName));
    resource->set_version(version);
    any = resource->mutable_resource();
  } else {
    out->set_version_info(version);
    any = out->add_resources();
  }
  any->set_type_url(std::string(kHeartbeat));
  any->set_value(EncodeHeartbeat(pulse.sequence));
  return true;
}

void ServerStream::State::MarkSent(TypeState& type, const ResourcePtr& resource, Flight* flight) {
  const auto told = type.told.find(resource->name);
  const bool changed = told == type.told.end() || told->second.version != resource->version;
  type.told[resource->name] = Told{resource->version, resource, false};
  type.forced.erase(resource->name);
  type.upserts.erase(resource->name);
  type.refreshes.erase(resource->name);
  flight->sent.push_back({resource->name, resource->version});
  if (resource->ttl > Duration::zero() && SupportsTtl()) {
    type.refresh_at[resource->name] = clock.Now() + resource->ttl / 3;
  } else {
    type.refresh_at.erase(resource->name);
  }
  if (!changed || type.rule->warms.empty() || !type.rule->warmed_name) return;
  // T31, T37: the changed cluster waits for endpoints, even if they are the same as before.
  TypeState* warmed = Find(type.rule->warms);
  const std::string name = warmed == nullptr ? "" : type.rule->warmed_name(*resource);
  if (name.empty()) return;
  warmed->forced.insert(name);
  const ResourcesPtr target = Target(*warmed);
  if (warmed->requested && target && warmed->wants.Covers(name) && target->contains(name)) {
    Compare(*warmed, *target, name, false);
  }
}

void ServerStream::State::Send(TypeState& type, Flight flight, bool holds) {
  AckEvent event{.type_url = type.rule->url};
  for (const NamedVersion& sent : flight.sent) {
    const auto had = type.acknowledged.find(sent.name);
    if (had != type.acknowledged.end() && had->second != sent.version) event.replaced.push_back(sent.name);
  }
  for (const std::string& name : flight.removed) {
    if (type.acknowledged.contains(name)) event.replaced.push_back(name);
  }
  if (!event.replaced.empty()) Report(std::move(event));
  type.last_nonce = flight.nonce;
  type.flight = std::move(flight);
  type.answer_due = false;
  type.late = false;
  type.holding = holds;
  type.hold_until = clock.Now() + rules->ack_timeout;
}

void ServerStream::State::RefuseTooLarge(TypeState& type, const Resource& resource, size_t size) {
  type.too_large[resource.name] = resource.version;
  type.upserts.erase(resource.name);
  type.forced.erase(resource.name);
  AckEvent event{.type_url = type.rule->url, .accepted = false};
  event.rejected_resources.push_back({resource.name, resource.version});
  event.error = fmt::format("{} bytes are more than a response may carry ({})", size, rules->max_response_bytes);
  Report(std::move(event));
}

namespace {
size_t SizeOf(const Resource& resource, const TypeRule& rule) {
  return resource.value.size() + 2 * resource.name.size() + rule.url.size() + 64;
}
}  // namespace

bool ServerStream::State::Fill(TypeState& type, DeltaDiscoveryResponse* out) {
  const ResourcesPtr target = Target(type);
  Flight flight;
  size_t bytes = 0;
  bool holds = false;
  if (!type.upserts.empty() && MayMake(type)) {
    const NameSet names = type.upserts;  // MarkSent takes them out one by one.
    for (const std::string& name : names) {
      const ResourcePtr& resource = target->find(name)->second;
      const size_t size = SizeOf(*resource, *type.rule);
      if (size > rules->max_response_bytes) {
        RefuseTooLarge(type, *resource, size);
        continue;
      }
      if (bytes + size > rules->max_response_bytes) break;  // The rest follows after the ACK.
      bytes += size;
      auto* added = out->add_resources();
      added->set_name(resource->name);
      added->set_version(resource->version);
      added->mutable_resource()->set_type_url(type.rule->url);
      added->mutable_resource()->set_value(resource->value);
      if (resource->ttl > Duration::zero() && SupportsTtl()) {
        const auto seconds = std::chrono::floor<std::chrono::seconds>(resource->ttl);
        added->mutable_ttl()->set_seconds(seconds.count());
        added->mutable_ttl()->set_nanos(static_cast<int>((resource->ttl - seconds).count()));
      }
      MarkSent(type, resource, &flight);
      holds = true;
    }
  }
  if (!type.removals.empty() && type.upserts.empty() && MayBreak(type)) {
    for (const std::string& name : type.removals) {
      out->add_removed_resources(name);
      flight.removed.push_back(name);
      // A name that was asked for stays known as gone; of a wildcard nothing is left.
      if (type.wants.names().contains(name))
        type.told[name] = Told{"", nullptr, true};
      else
        type.told.erase(name);
      type.refresh_at.erase(name);
    }
    type.removals.clear();
    holds = true;
  }
  for (const std::string& name : type.notices) {
    out->add_removed_resources(name);
    flight.removed.push_back(name);
    if (type.wants.names().contains(name)) type.told[name] = Told{"", nullptr, true};
    type.forced.erase(name);
  }
  type.notices.clear();
  for (const std::string& name : type.refreshes) {  // T45: same version, no body.
    const auto told = type.told.find(name);
    if (told == type.told.end() || told->second.resource == nullptr) continue;
    auto* refreshed = out->add_resources();
    refreshed->set_name(name);
    refreshed->set_version(told->second.version);
    const auto seconds = std::chrono::floor<std::chrono::seconds>(told->second.resource->ttl);
    refreshed->mutable_ttl()->set_seconds(seconds.count());
    refreshed->mutable_ttl()->set_nanos(static_cast<int>((told->second.resource->ttl - seconds).count()));
    type.refresh_at[name] = clock.Now() + told->second.resource->ttl / 3;
  }
  type.refreshes.clear();
  const bool empty = out->resources().empty() && out->removed_resources().empty();
  if (empty && !(type.answer_due && type.upserts.empty())) return false;
  flight.nonce = NextNonce();
  out->set_type_url(type.rule->url);
  out->set_nonce(flight.nonce);
  Send(type, std::move(flight), holds);
  return true;
}

namespace {

template <typename Entries>
std::string WorldVersion(const Entries& resources) {
  std::string all;
  for (const auto& resource : resources) {
    all += resource->name;
    all += '\n';
    all += resource->version;
    all += '\n';
  }
  return ContentVersion(all);
}

void AddToWorld(const Resource& resource, const std::string& url, bool wrap, bool ttl, bool body,
                DiscoveryResponse* out) {
  google::protobuf::Any any;
  any.set_type_url(url);
  any.set_value(resource.value);
  if (!wrap || !ttl || resource.ttl <= Duration::zero()) {
    *out->add_resources() = std::move(any);
    return;
  }
  envoy::service::discovery::v3::Resource wrapped;
  wrapped.set_name(resource.name);
  wrapped.set_version(resource.version);
  const auto seconds = std::chrono::floor<std::chrono::seconds>(resource.ttl);
  wrapped.mutable_ttl()->set_seconds(seconds.count());
  wrapped.mutable_ttl()->set_nanos(static_cast<int>((resource.ttl - seconds).count()));
  if (body) *wrapped.mutable_resource() = std::move(any);
  out->add_resources()->PackFrom(wrapped);
}

}  // namespace

// LDS and CDS: the whole set each time. What may not go yet stays in it.
bool ServerStream::State::FillComplete(TypeState& type, DiscoveryResponse* out) {
  const bool may_make = MayMake(type);
  const bool may_break = MayBreak(type);
  const bool refresh = !type.refreshes.empty();
  const bool due = (!type.upserts.empty() && may_make) || (!type.removals.empty() && may_break) ||
                   (type.answer_due && (type.upserts.empty() || may_make)) || refresh;
  if (!due) return false;
  const ResourcesPtr target = Target(type);
  std::map<std::string, ResourcePtr> content;
  for (const auto& [name, resource] : *target) {
    if (!type.wants.Covers(name)) continue;
    const auto told = type.told.find(name);
    const auto large = type.too_large.find(name);
    const bool blocked = (!may_make && type.upserts.contains(name)) ||
                         (large != type.too_large.end() && large->second == resource->version);
    if (!blocked)
      content[name] = resource;
    else if (told != type.told.end() && told->second.resource)
      content[name] = told->second.resource;
  }
  Flight flight;
  for (const std::string& name : type.removals) {
    const auto told = type.told.find(name);
    if (!may_break && told != type.told.end() && told->second.resource)
      content[name] = told->second.resource;
    else
      flight.removed.push_back(name);
  }
  size_t bytes = 0;
  std::vector<ResourcePtr> list;
  for (const auto& [name, resource] : content) {
    bytes += SizeOf(*resource, *type.rule);
    list.push_back(resource);
  }
  if (bytes > rules->max_response_bytes) {  // T49: it cannot be split; say so instead of breaking the stream.
    const NameSet names = type.upserts;
    for (const std::string& name : names) RefuseTooLarge(type, *target->find(name)->second, bytes);
    type.answer_due = false;
    type.refreshes.clear();
    return false;
  }
  for (const ResourcePtr& resource : list) {
    AddToWorld(*resource, type.rule->url, WrapsInWorld(), SupportsTtl(), true, out);
    MarkSent(type, resource, &flight);
  }
  for (const std::string& name : flight.removed) {
    type.told.erase(name);
    type.removals.erase(name);
    type.refresh_at.erase(name);
  }
  type.refreshes.clear();
  flight.nonce = NextNonce();
  out->set_type_url(type.rule->url);
  out->set_nonce(flight.nonce);
  out->set_version_info(WorldVersion(list));
  Send(type, std::move(flight), true);
  return true;
}

bool ServerStream::State::Fill(TypeState& type, DiscoveryResponse* out) {
  if (type.rule->complete) return FillComplete(type, out);
  const ResourcesPtr target = Target(type);
  Flight flight;
  size_t bytes = 0;
  if (!type.upserts.empty() && MayMake(type)) {
    const NameSet names = type.upserts;
    for (const std::string& name : names) {
      const ResourcePtr& resource = target->find(name)->second;
      const size_t size = SizeOf(*resource, *type.rule);
      if (size > rules->max_response_bytes) {
        RefuseTooLarge(type, *resource, size);
        continue;
      }
      if (bytes + size > rules->max_response_bytes) break;
      bytes += size;
      AddToWorld(*resource, type.rule->url, WrapsInWorld(), SupportsTtl(), true, out);
      MarkSent(type, resource, &flight);
    }
  }
  const bool holds = !flight.sent.empty();
  for (const std::string& name : type.refreshes) {
    const auto told = type.told.find(name);
    if (told == type.told.end() || told->second.resource == nullptr) continue;
    AddToWorld(*told->second.resource, type.rule->url, WrapsInWorld(), SupportsTtl(), false, out);
    type.refresh_at[name] = clock.Now() + told->second.resource->ttl / 3;
  }
  type.refreshes.clear();
  if (out->resources().empty()) return false;  // T19: an empty response would say nothing.
  std::vector<ResourcePtr> all;
  for (const auto& [name, resource] : *target) all.push_back(resource);
  flight.nonce = NextNonce();
  out->set_type_url(type.rule->url);
  out->set_nonce(flight.nonce);
  out->set_version_info(WorldVersion(all));
  Send(type, std::move(flight), holds);
  return true;
}

// --- Time ---

std::optional<MonoTime> ServerStream::NextDeadline() const {
  std::optional<MonoTime> earliest;
  const auto consider = [&](MonoTime time) {
    if (!earliest || time < *earliest) earliest = time;
  };
  for (const TypeState& type : state_->types) {
    if (type.holding || (type.flight && !type.late)) consider(type.hold_until);
    for (const auto& [name, time] : type.refresh_at) {
      if (!type.refreshes.contains(name)) consider(time);
    }
  }
  if (state_->pulse.requested) consider(state_->pulse.next);
  if (!state_->grace_over && state_->node) consider(state_->began + state_->rules->ack_timeout);
  return earliest;
}

Status ServerStream::Tick() {
  const MonoTime now = state_->clock.Now();
  if (state_->node && now >= state_->began + state_->rules->ack_timeout) state_->grace_over = true;
  for (TypeState& type : state_->types) {
    if (now >= type.hold_until) {
      type.holding = false;
      type.late = type.flight.has_value();
    }
    for (const auto& [name, time] : type.refresh_at) {
      if (now >= time) type.refreshes.insert(name);
    }
  }
  Pulse& pulse = state_->pulse;
  if (pulse.requested && now >= pulse.next) {
    pulse.next = now + state_->rules->heartbeat_interval;
    if (!pulse.unanswered) {
      pulse.due = true;
    } else if (++pulse.missed >= state_->rules->heartbeat_misses) {
      return Unavailable("HEARTBEAT_MISSED", "{} heartbeats were not answered", pulse.missed);
    }
  }
  return {};
}

const std::optional<Node>& ServerStream::node() const { return state_->node; }

std::map<std::string, std::string> ServerStream::Acknowledged(std::string_view type_url) const {
  const TypeState* type = state_->Find(type_url);
  return type == nullptr ? std::map<std::string, std::string>{} : type->acknowledged;
}

bool ServerStream::Quiet() const {
  return std::all_of(state_->types.begin(), state_->types.end(), [](const TypeState& type) {
    return !type.requested ||
           (!type.flight && type.upserts.empty() && type.removals.empty() && type.notices.empty() && !type.answer_due);
  });
}

}  // namespace weir::xds
