#include "libs/xds/protocol/server_stream.h"

#include <google/protobuf/wrappers.pb.h>

#include "libs/base/text.h"
#include "libs/base/walk.h"
#include "libs/xds/protocol/server_stream_state.h"

namespace weir::xds {
namespace {

Node ReadNode(const envoy::config::core::v3::Node& proto) {
  const auto clean = [](const std::string& text) { return CleanText(text, kMostNodeTextBytes); };
  Node node;
  node.id = clean(proto.id());
  node.cluster = clean(proto.cluster());
  node.user_agent = clean(proto.user_agent_name());
  node.region = clean(proto.locality().region());
  node.zone = clean(proto.locality().zone());
  node.sub_zone = clean(proto.locality().sub_zone());
  for (const auto& feature : proto.client_features()) node.features.insert(clean(feature));
  for (const auto& [key, value] : proto.metadata().fields()) {
    if (value.has_string_value()) node.metadata[clean(key)] = clean(value.string_value());
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
  } else if (request.has_node() && CleanText(request.node().id(), kMostNodeTextBytes) != node->id) {
    return InvalidArgument("NODE_CHANGED", "node.id changed from {} to {}", node->id,
                           CleanText(request.node().id(), kMostNodeTextBytes));
  }
  return {};
}

// `more`: beside those that are asked for already.
template <typename Names>
Status ServerStream::State::CheckNames(const TypeState& type, const Names& names, bool more) const {
  const size_t asked = static_cast<size_t>(names.size()) + (more ? type.wants.names().size() : 0);
  if (asked > rules->max_names) {
    return ResourceExhausted("TOO_MANY_NAMES", "{} names are asked for, {} is the most of one type", asked,
                             rules->max_names);
  }
  for (const std::string& name : names) {
    if (name.size() <= rules->max_name_bytes) continue;
    return InvalidArgument("NAME_TOO_LONG", "a name of {} bytes is asked for, {} is the most", name.size(),
                           rules->max_name_bytes);
  }
  return {};
}

bool ServerStream::State::OnHeartbeatRequest(const std::string& nonce) {
  if (!heartbeat.requested) {
    heartbeat.requested = heartbeat.due = true;
    heartbeat.next = clock.Now() + rules->heartbeat_interval;
  } else if (nonce == heartbeat.nonce) {
    heartbeat.unanswered = false;
    heartbeat.missed = 0;
  }
  return true;
}

Status ServerStream::OnRequest(const DeltaDiscoveryRequest& request) {
  State& s = *state_;
  WEIR_TRY(s.Admit(request, State::Protocol::kDelta));
  if (request.type_url() == kHeartbeat) {
    s.OnHeartbeatRequest(request.response_nonce());
    return {};
  }
  TypeState* type = s.Find(request.type_url());
  if (type == nullptr) return {};  // T2: unknown types stay silent.

  if (type->flight && request.response_nonce() == type->flight->nonce) {
    s.Answered(*type, request.has_error_detail(), request.error_detail());
  }
  WEIR_TRY(s.CheckNames(*type, request.resource_names_subscribe(), true));
  // T11: whatever the nonce, subscription changes count.
  const bool first = !type->requested;
  type->requested = true;
  const auto change =
      type->wants.ApplyDelta(first, request.resource_names_subscribe(), request.resource_names_unsubscribe());
  if (first && !request.initial_resource_versions().empty()) {  // T24
    AckEvent event{.type_url = type->rule->url};
    for (const auto& [name, version] : request.initial_resource_versions()) {
      if (!type->wants.Covers(name)) continue;
      type->known[name] = KnownResource{version, nullptr, false, true};
      type->acknowledged[name] = version;
      event.accepted_resources.push_back({name, version});
    }
    if (!event.accepted_resources.empty()) s.Report(std::move(event));
  }
  if (!first) type->forced.insert(change.added.begin(), change.added.end());  // T21
  for (const std::string& name : change.added) {
    const auto known = type->known.find(name);
    if (known != type->known.end() && known->second.gone) type->known.erase(known);  // T23: answer again.
  }
  for (const std::string& name : change.uncovered_by_name) {  // T22
    type->known.erase(name);
    type->forced.insert(name);
  }
  NameSet answer_anyway(change.uncovered_by_name.begin(), change.uncovered_by_name.end());
  for (const std::string& name : change.dropped) {
    type->known.erase(name);
    type->acknowledged.erase(name);
  }
  if (change.wildcard_ended) {
    std::erase_if(type->known, [&](const auto& entry) { return !type->wants.Covers(entry.first); });
    std::erase_if(type->acknowledged, [&](const auto& entry) { return !type->wants.Covers(entry.first); });
  }
  if (change.wildcard_began) type->answer_due = true;
  const bool changed = first || !change.added.empty() || !change.dropped.empty() || !answer_anyway.empty() ||
                       change.wildcard_began || change.wildcard_ended;
  if (changed) s.Recompute(*type, 0);
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
    s.OnHeartbeatRequest(request.response_nonce());
    return {};
  }
  TypeState* type = s.Find(request.type_url());
  if (type == nullptr) return {};

  const bool first = !type->requested;
  // T4: the first request of a type is new whatever nonce it carries. T10: later ones count only with the newest nonce.
  if (!first && request.response_nonce() != type->last_nonce) return {};
  WEIR_TRY(s.CheckNames(*type, request.resource_names(), false));
  if (!first && type->flight) s.Answered(*type, request.has_error_detail(), request.error_detail());
  type->requested = true;
  const auto change = type->wants.ApplyWorld(first, request.resource_names());
  for (const std::string& name : change.dropped) {
    type->known.erase(name);
    type->acknowledged.erase(name);
    type->forced.erase(name);
  }
  if (change.wildcard_ended) {
    std::erase_if(type->known, [&](const auto& entry) { return !type->wants.Covers(entry.first); });
    std::erase_if(type->acknowledged, [&](const auto& entry) { return !type->wants.Covers(entry.first); });
  }
  const bool subscribed = type->wants.all() || !type->wants.names().empty();
  if (!change.added.empty()) type->forced.insert(change.added.begin(), change.added.end());  // T18
  if (subscribed && type->rule->complete && (first || !change.added.empty() || change.wildcard_began)) {
    type->answer_due = true;
  }
  if (first || !change.added.empty() || !change.dropped.empty() || change.wildcard_began || change.wildcard_ended) {
    s.Recompute(*type, 0);
  }
  return {};
}

// T6 to T9: error_detail alone says NACK. What was refused is not sent again, because `known` holds its version.
void ServerStream::State::Answered(TypeState& type, bool nack, const google::rpc::Status& error) {
  Flight flight = *std::exchange(type.flight, std::nullopt);
  AckEvent event{.type_url = type.rule->url, .accepted = !nack};
  NameSet faults;
  if (nack) {
    event.error = error.message().empty() ? "rejected without a reason" : CleanText(error.message(), kMostErrorBytes);
    faults = NamedFaults(error);
  }
  // Who says which ones are bad runs the others. Else the refused may be referenced: later types wait, but not longer
  // than for an answer.
  if (!nack || !faults.empty())
    type.hold_since = kNever;
  else
    type.hold_until = std::min(type.hold_until, clock.Now() + rules->ack_timeout);
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
      if (faults.contains(name)) continue;
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
  ++s.generation;
  for (TypeState& type : s.types) {
    if (type.requested && s.Target(type) != type.compared) s.Update(type);
  }
}

namespace {
void Renew(Wish& wish, Generation generation, const std::string& version) {
  if (wish.version == version) return;
  wish.version = version;
  wish.as_of = generation;
}
using Wishes = std::map<std::string, Wish, std::less<>>;
// Since when something is wished of this name. Whether it is to be replaced or removed by now does not matter to those
// who wait until the client has it no more.
std::optional<Generation> OldestOf(const Wishes& upserts, const Wishes& removals, const std::string& name) {
  if (const auto wish = upserts.find(name); wish != upserts.end()) return wish->second.since;
  if (const auto wish = removals.find(name); wish != removals.end()) return wish->second.since;
  return std::nullopt;
}
std::optional<Generation> OldestOf(const TypeState& type, const std::string& name) {
  return OldestOf(type.upserts, type.removals, name);
}
}  // namespace

void ServerStream::State::Compare(TypeState& type, const Resources& target, const std::string& name, bool named) {
  const ResourcePtr wanted = Wanted(type, target, name);
  const auto known = type.known.find(name);
  const bool has = known != type.known.end() && !known->second.gone;
  bool upsert = false;
  if (wanted != nullptr) {
    const std::string& version = wanted->version;
    const auto large = type.too_large.find(name);
    upsert = (large == type.too_large.end() || large->second != version) &&
             (!has || known->second.version != version || type.forced.contains(name));
  }
  const Generation since = OldestOf(type, name).value_or(generation);
  if (upsert)
    Renew(type.upserts.try_emplace(name, Wish{since, 0, ""}).first->second, generation, wanted->version);
  else
    type.upserts.erase(name);
  if (!target.contains(name) && has)
    type.removals.try_emplace(name, Wish{since, generation, ""});
  else
    type.removals.erase(name);
  if (wanted == nullptr && known == type.known.end() && named && Delta())
    type.notices.insert(name);
  else
    type.notices.erase(name);
}

// What Recompute does, for the names alone that differ between two snapshots: resources that stay are the same object.
void ServerStream::State::Update(TypeState& type) {
  const ResourcesPtr before = type.compared, target = Target(type);
  if (before == nullptr || target == nullptr || (!Delta() && !type.rule->complete)) return Recompute(type, generation);
  type.compared = target;
  const auto differs = [&](const std::string& name) {
    const bool named = type.wants.names().contains(name);
    if (named || type.wants.all()) return Compare(type, *target, name, named);
    const Generation since = OldestOf(type, name).value_or(generation);
    type.upserts.erase(name);
    type.notices.erase(name);
    const auto known = type.known.find(name);
    if (known != type.known.end() && !known->second.gone && !target->contains(name))
      type.removals.try_emplace(name, Wish{since, generation, ""});
    else
      type.removals.erase(name);
  };
  WalkBoth(*before, *target, [&](const std::string& name, const ResourcePtr* old, const ResourcePtr* now) {
    if (old == nullptr || now == nullptr || *old != *now) differs(name);
  });
}

// `since_now`: how old wishes are that were not there before. What a client asks for only now may have been wished at
// any time: 0.
void ServerStream::State::Recompute(TypeState& type, Generation since_now) {
  const auto upserts = std::exchange(type.upserts, {});
  const auto removals = std::exchange(type.removals, {});
  type.notices.clear();
  const ResourcesPtr target = Target(type);
  type.compared = target;
  if (target == nullptr) return;  // T48: not loaded, no answer.
  if (type.wants.all()) {
    for (const auto& [name, resource] : *target) Compare(type, *target, name, false);
  }
  for (const std::string& name : type.wants.names()) Compare(type, *target, name, true);
  for (const auto& [name, known] : type.known) {
    if (!known.gone && !target->contains(name)) type.removals.try_emplace(name, Wish{since_now, generation, ""});
  }
  for (auto& [name, wish] : type.upserts) {
    const auto old = upserts.find(name);
    wish.since = OldestOf(upserts, removals, name).value_or(since_now);
    if (old != upserts.end() && old->second.version == wish.version) wish.as_of = old->second.as_of;
  }
  for (auto& [name, wish] : type.removals) {
    wish.since = OldestOf(upserts, removals, name).value_or(since_now);
    if (const auto old = removals.find(name); old != removals.end()) wish.as_of = old->second.as_of;
  }
  if (!Delta() && !type.rule->complete) {  // T19: here deletion is implied by the parent, nothing is sent.
    for (const auto& [name, wish] : type.removals) {
      type.known.erase(name);
      type.acknowledged.erase(name);
    }
    type.removals.clear();
  }
}

// T29, T30: additions wait for the answers of every earlier type to what came with them or before.
Generation ServerStream::State::MakeLimit(const TypeState& type) const {
  if (type.rule->unordered || type.rule->at_once) return kNever;
  Generation limit = kNever;
  for (const TypeState& earlier : types) {
    if (&earlier == &type) break;
    if (earlier.requested && !earlier.rule->unordered) limit = std::min(limit, earlier.MakeSince());
  }
  return limit;
}

// Removals wait for this type's own additions and for all that types before it in the break order still have to say.
Generation ServerStream::State::BreakLimit(const TypeState& type, Generation own) const {
  // What a client brought from an earlier stream may be referenced by types it has not asked for yet on this one.
  const bool young = !grace_over;
  const bool brought = young && std::any_of(type.removals.begin(), type.removals.end(), [&](const auto& removal) {
                         const auto known = type.known.find(removal.first);
                         return known != type.known.end() && known->second.brought;
                       });
  Generation limit = own;
  for (const TypeState& other : types) {
    if (&other == &type || other.rule->unordered || other.break_rank >= type.break_rank) continue;
    if (brought && !other.requested) return 0;
    if (other.requested) limit = std::min(limit, other.BreakSince());
  }
  return limit;
}

// --- Time ---

std::optional<MonoTime> ServerStream::NextDeadline() const {
  std::optional<MonoTime> earliest;
  const auto consider = [&](MonoTime time) {
    if (!earliest || time < *earliest) earliest = time;
  };
  for (const TypeState& type : state_->types) {
    if (type.hold_since != kNever || (type.flight && !type.late)) consider(type.hold_until);
    for (const auto& [name, time] : type.refresh_at) {
      if (!type.refreshes.contains(name)) consider(time);
    }
  }
  if (state_->heartbeat.requested) consider(state_->heartbeat.next);
  if (!state_->grace_over && state_->node) consider(state_->began + state_->rules->ack_timeout);
  return earliest;
}

Status ServerStream::Tick() {
  const MonoTime now = state_->clock.Now();
  if (state_->node && now >= state_->began + state_->rules->ack_timeout) state_->grace_over = true;
  for (TypeState& type : state_->types) {
    if (now >= type.hold_until) {
      type.hold_since = kNever;
      type.late = type.flight.has_value();
    }
    for (const auto& [name, time] : type.refresh_at) {
      if (now >= time) type.refreshes.insert(name);
    }
  }
  HeartbeatState& heartbeat = state_->heartbeat;
  if (heartbeat.requested && now >= heartbeat.next) {
    heartbeat.next = now + state_->rules->heartbeat_interval;
    if (!heartbeat.unanswered) {
      heartbeat.due = true;
    } else if (++heartbeat.missed >= state_->rules->heartbeat_misses) {
      return Unavailable("HEARTBEAT_MISSED", "{} heartbeats were not answered", heartbeat.missed);
    }
  }
  return {};
}

const std::optional<Node>& ServerStream::node() const { return state_->node; }

std::map<std::string, std::string> ServerStream::Acknowledged(std::string_view type_url) const {
  const TypeState* type = state_->Find(type_url);
  return type == nullptr ? std::map<std::string, std::string>{} : type->acknowledged;
}

bool ServerStream::AllAnswered() const {
  return std::all_of(state_->types.begin(), state_->types.end(), [](const TypeState& type) {
    return !type.requested ||
           (!type.flight && type.upserts.empty() && type.removals.empty() && type.notices.empty() && !type.answer_due);
  });
}

}  // namespace weir::xds
