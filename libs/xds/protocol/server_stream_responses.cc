#include <ranges>

#include "libs/xds/protocol/server_stream_state.h"

// What goes out: responses of both protocols.
namespace weir::xds {

bool ServerStream::Next(DiscoveryResponse* out) {
  return state_->protocol == State::Protocol::kWorld && state_->Next(out);
}
bool ServerStream::Next(DeltaDiscoveryResponse* out) {
  return state_->protocol == State::Protocol::kDelta && state_->Next(out);
}

template <typename Response>
bool ServerStream::State::Next(Response* out) {
  if (NextHeartbeat(out)) return true;
  for (TypeState& type : types) {
    if (!type.requested || type.flight || Target(type) == nullptr) continue;  // T53
    out->Clear();
    if (!Fill(type, out)) continue;
    out->mutable_control_plane()->set_identifier(rules->control_plane);
    return true;
  }
  return false;
}

template <typename Response>
bool ServerStream::State::NextHeartbeat(Response* out) {
  if (!heartbeat.due) return false;
  heartbeat.due = false;
  heartbeat.unanswered = true;
  heartbeat.nonce = NextNonce();
  out->Clear();
  out->set_type_url(std::string(kHeartbeat));
  out->set_nonce(heartbeat.nonce);
  google::protobuf::Any* any;
  const std::string version = fmt::format("{}", ++heartbeat.sequence);
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
  any->set_value(EncodeHeartbeat(heartbeat.sequence));
  return true;
}

namespace {
Generation OldestWish(const TypeState& type) {
  Generation oldest = kNever;
  for (const auto& [name, wish] : type.upserts) oldest = std::min(oldest, wish.since);
  return oldest;
}
}  // namespace

void ServerStream::State::MarkSent(TypeState& type, const ResourcePtr& resource, Flight* flight) {
  const auto known = type.known.find(resource->name);
  const bool changed = known == type.known.end() || known->second.version != resource->version;
  const bool brought = known != type.known.end() && known->second.brought;
  type.known[resource->name] = KnownResource{resource->version, resource, false, brought};
  type.forced.erase(resource->name);
  type.promised.erase(resource->name);
  Generation since = kNever;
  if (const auto wish = type.upserts.find(resource->name); wish != type.upserts.end()) {
    since = wish->second.since;
    flight->since = std::min(flight->since, since);
    type.upserts.erase(wish);
  }
  type.refreshes.erase(resource->name);
  flight->sent.push_back({resource->name, resource->version});
  if (resource->ttl > Duration::zero() && SupportsTtl()) {
    type.refresh_at[resource->name] = clock.Now() + resource->ttl / 3;
  } else {
    type.refresh_at.erase(resource->name);
  }
  if (changed && type.rule->warmed_name) Promise(type, *resource, since);
}

// T31, T37: the changed Cluster waits for endpoints, even if they are the same as before, and silence is no answer:
// until the client asks, a newer snapshot may have neither of the two.
void ServerStream::State::Promise(const TypeState& type, const Resource& resource, Generation since) {
  TypeState* warmed = Find(type.rule->warms);
  const std::string name = warmed == nullptr ? "" : type.rule->warmed_name(resource);
  if (name.empty()) return;
  warmed->forced.insert(name);
  const ResourcesPtr target = Target(*warmed);
  if (target == nullptr || !target->contains(name)) return;
  warmed->promised[name] = target->find(name)->second;
  if (!warmed->requested || !warmed->wants.Covers(name)) return;
  Compare(*warmed, *target, name, false);
  const auto wish = warmed->upserts.find(name);
  if (wish != warmed->upserts.end()) wish->second.since = std::min(wish->second.since, since);
}

void ServerStream::State::TakeBack(TypeState& type, const std::string& name) {
  type.refresh_at.erase(name);
  const auto known = type.known.find(name);
  if (!type.rule->warmed_name || known == type.known.end() || known->second.resource == nullptr) return;
  TypeState* warmed = Find(type.rule->warms);
  const std::string named = type.rule->warmed_name(*known->second.resource);
  if (warmed == nullptr || warmed->promised.erase(named) == 0 || !warmed->upserts.contains(named)) return;
  Compare(*warmed, *Target(*warmed), named, warmed->wants.names().contains(named));
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
  if (holds) type.hold_since = std::min({type.hold_since, flight.since, generation});
  type.flight = std::move(flight);
  type.answer_due = false;
  type.late = false;
  type.hold_until = clock.Now() + AckTimeout(type);
}

void ServerStream::State::RefuseTooLarge(TypeState& type, const std::string& name, const std::string& version,
                                         size_t size) {
  type.too_large[name] = version;
  type.upserts.erase(name);
  type.forced.erase(name);
  AckEvent event{.type_url = type.rule->url, .accepted = false};
  event.rejected_resources.push_back({name, version});
  event.error = fmt::format("{} bytes are more than a response to this client may carry ({})", size, MostBytes());
  Report(std::move(event));
}

// T49: gRPC's clients close the stream at a message above their 4 MiB, again and again. Envoy has no limit, ours take
// what our own servers may send.
size_t ServerStream::State::MostBytes() const {
  const bool takes_more = node && (node->user_agent == "envoy" || node->Has(kFeatureHeartbeat));
  return takes_more ? rules->max_large_response_bytes : rules->max_response_bytes;
}

namespace {
size_t SizeOf(const Resource& resource, const TypeRule& rule) {
  return resource.value.size() + 2 * resource.name.size() + rule.url.size() + 64;
}
}  // namespace

// What may go now, up to the size of one response; the rest follows after the ACK. How many bytes it is.
size_t ServerStream::State::AddUpserts(TypeState& type, const std::function<void(const Resource&)>& add,
                                       Flight* flight) {
  if (type.upserts.empty()) return 0;
  const ResourcesPtr target = Target(type);
  const Generation limit = MakeLimit(type);
  std::vector<ResourcePtr> allowed;  // MarkSent takes them out one by one.
  for (const auto& [name, wish] : type.upserts) {
    if (wish.as_of < limit) allowed.push_back(Wanted(type, *target, name));
  }
  size_t bytes = 0;
  for (const ResourcePtr& resource : allowed) {
    const size_t size = SizeOf(*resource, *type.rule);
    if (size > MostBytes()) {
      RefuseTooLarge(type, resource->name, resource->version, size);
      continue;
    }
    if (bytes > 0 && bytes + size > rules->max_response_bytes) break;
    bytes += size;
    add(*resource);
    MarkSent(type, resource, flight);
  }
  return bytes;
}

bool ServerStream::State::Fill(TypeState& type, DeltaDiscoveryResponse* out) {
  Flight flight;
  const auto add = [&](const Resource& resource) {
    auto* added = out->add_resources();
    added->set_name(resource.name);
    added->set_version(resource.version);
    added->mutable_resource()->set_type_url(type.rule->url);
    added->mutable_resource()->set_value(resource.value);
    if (resource.ttl <= Duration::zero() || !SupportsTtl()) return;
    const auto seconds = std::chrono::floor<std::chrono::seconds>(resource.ttl);
    added->mutable_ttl()->set_seconds(seconds.count());
    added->mutable_ttl()->set_nanos(static_cast<int>((resource.ttl - seconds).count()));
  };
  AddUpserts(type, add, &flight);
  bool holds = !flight.sent.empty();
  if (!type.removals.empty()) {
    const Generation limit = BreakLimit(type, OldestWish(type));
    std::erase_if(type.removals, [&](const auto& removal) {
      const auto& [name, wish] = removal;
      if (wish.as_of >= limit) return false;
      out->add_removed_resources(name);
      flight.removed.push_back(name);
      flight.since = std::min(flight.since, wish.since);
      TakeBack(type, name);
      // A name that was asked for stays known as gone; of a wildcard nothing is left.
      if (type.wants.names().contains(name))
        type.known[name] = KnownResource{"", nullptr, true};
      else
        type.known.erase(name);
      holds = true;
      return true;
    });
  }
  for (const std::string& name : type.notices) {
    out->add_removed_resources(name);
    flight.removed.push_back(name);
    if (type.wants.names().contains(name)) type.known[name] = KnownResource{"", nullptr, true};
    type.forced.erase(name);
  }
  type.notices.clear();
  for (const std::string& name : type.refreshes) {  // T45: same version, no body.
    const auto known = type.known.find(name);
    if (known == type.known.end() || known->second.resource == nullptr) continue;
    auto* refreshed = out->add_resources();
    refreshed->set_name(name);
    refreshed->set_version(known->second.version);
    const auto seconds = std::chrono::floor<std::chrono::seconds>(known->second.resource->ttl);
    refreshed->mutable_ttl()->set_seconds(seconds.count());
    refreshed->mutable_ttl()->set_nanos(static_cast<int>((known->second.resource->ttl - seconds).count()));
    type.refresh_at[name] = clock.Now() + known->second.resource->ttl / 3;
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

// LDS and CDS: the whole set each time. What may not go yet stays in it as it was.
bool ServerStream::State::FillComplete(TypeState& type, DiscoveryResponse* out) {
  const Generation make = MakeLimit(type);
  bool news = !type.refreshes.empty();
  Generation own = kNever;  // The oldest addition that waits.
  for (const auto& [name, wish] : type.upserts) {
    if (wish.as_of < make)
      news = true;
    else
      own = std::min(own, wish.since);
  }
  const Generation breaks = type.removals.empty() ? kNever : BreakLimit(type, own);
  for (const auto& [name, wish] : type.removals) news = news || wish.as_of < breaks;
  if (!news && !(type.answer_due && own == kNever)) return false;

  const ResourcesPtr target = Target(type);
  std::map<std::string, ResourcePtr> content;
  std::vector<ResourcePtr> fresh;  // Known to fit only once they are counted.
  for (const auto& [name, resource] : *target) {
    if (!type.wants.Covers(name)) continue;
    const auto known = type.known.find(name);
    const auto large = type.too_large.find(name);
    const auto wish = type.upserts.find(name);
    const bool blocked = (wish != type.upserts.end() && wish->second.as_of >= make) ||
                         (large != type.too_large.end() && large->second == resource->version);
    if (!blocked && wish != type.upserts.end()) fresh.push_back(resource);
    if (!blocked && wish == type.upserts.end()) content[name] = resource;
    if ((blocked || wish != type.upserts.end()) && known != type.known.end() && known->second.resource) {
      content[name] = known->second.resource;
    }
  }
  Flight flight;
  for (const auto& [name, wish] : type.removals) {
    const auto known = type.known.find(name);
    if (wish.as_of >= breaks && known != type.known.end() && known->second.resource) {
      content[name] = known->second.resource;
    } else {
      flight.removed.push_back(name);
      flight.since = std::min(flight.since, wish.since);
    }
  }
  // T49: it cannot be split. What does not fit any more stays as it was, and that is said.
  size_t bytes = 0;
  for (const auto& [name, resource] : content) bytes += SizeOf(*resource, *type.rule);
  for (const ResourcePtr& resource : fresh) {
    const auto old = content.find(resource->name);
    const size_t without = bytes - (old == content.end() ? 0 : SizeOf(*old->second, *type.rule));
    const size_t with = without + SizeOf(*resource, *type.rule);
    if (with > MostBytes()) {
      RefuseTooLarge(type, resource->name, resource->version, with);
      continue;
    }
    bytes = with;
    content[resource->name] = resource;
  }
  const auto values = std::views::values(content);
  const std::vector<ResourcePtr> list(values.begin(), values.end());
  for (const ResourcePtr& resource : list) {
    AddToWorld(*resource, type.rule->url, WrapsInWorld(), SupportsTtl(), true, out);
    MarkSent(type, resource, &flight);
  }
  for (const std::string& name : flight.removed) {
    TakeBack(type, name);
    type.known.erase(name);
    type.removals.erase(name);
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
  const auto add = [&](const Resource& resource) {
    AddToWorld(resource, type.rule->url, WrapsInWorld(), SupportsTtl(), true, out);
  };
  AddUpserts(type, add, &flight);
  const bool holds = !flight.sent.empty();
  for (const std::string& name : type.refreshes) {
    const auto known = type.known.find(name);
    if (known == type.known.end() || known->second.resource == nullptr) continue;
    AddToWorld(*known->second.resource, type.rule->url, WrapsInWorld(), SupportsTtl(), false, out);
    type.refresh_at[name] = clock.Now() + known->second.resource->ttl / 3;
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

}  // namespace weir::xds
