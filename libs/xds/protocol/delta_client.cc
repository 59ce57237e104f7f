#include "libs/xds/protocol/delta_client.h"

#include <google/protobuf/wrappers.pb.h>

#include <algorithm>
#include <deque>

#include "envoy/service/discovery/v3/discovery.pb.h"
#include "libs/base/text.h"

namespace weir::xds {
namespace {

using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;

struct ClientType {
  std::string url;
  bool all = false;
  std::set<std::string, std::less<>> names;
  bool first_sent = false;                          // On this stream.
  std::vector<std::string> subscribe, unsubscribe;  // To send.
  bool answered = false;                            // A response was decided at least once.
  std::set<std::string, std::less<>> unserved;      // Accepted, but something outside of them keeps them from running.
  std::map<std::string, MonoTime, std::less<>> expires;

  bool Covers(std::string_view name) const { return all || names.contains(name); }
};

// One response as it came in, or an expiry.
struct Offer {
  uint64_t id = 0;
  uint64_t stream = 0;
  std::string type_url;
  std::string nonce;
  std::string origin;
  std::vector<ResourcePtr> resources;
  std::vector<std::string> removed;
  bool expired = false;
  // Filled when it is taken.
  std::vector<ResourcePtr> changed;
  std::vector<ResourcePtr> renamed;  // The same bytes by another version.
  std::vector<std::string> gone;
};

struct Reply {
  std::string type_url;
  std::string nonce;
  bool nack = false;
  std::string error;
  std::vector<std::string> bad;
};

size_t MakeRank(std::string_view url) {
  if (url == kHeartbeat) return 0;
  const auto place = [url](const auto& types) { return static_cast<size_t>(std::ranges::find(types, url) - types); };
  const size_t rank = place(kEnvoyTypes);
  return 1 + (rank < std::size(kEnvoyTypes) ? rank : rank + place(kMeshTypes));
}

void FillNode(const Node& node, envoy::config::core::v3::Node* out) {
  out->set_id(node.id);
  out->set_cluster(node.cluster);
  out->set_user_agent_name(node.user_agent);
  out->mutable_locality()->set_region(node.region);
  out->mutable_locality()->set_zone(node.zone);
  out->mutable_locality()->set_sub_zone(node.sub_zone);
  for (const auto& feature : node.features) out->add_client_features(feature);
  for (const auto& [key, value] : node.metadata) {
    (*out->mutable_metadata()->mutable_fields())[key].set_string_value(value);
  }
}

}  // namespace

struct DeltaClient::State {
  State(Node n, const Clock& c) : node(std::move(n)), clock(c) {}

  const Node node;
  const Clock& clock;
  std::vector<ClientType> types;  // In the order of subscription.
  std::shared_ptr<const Snapshot> accepted = std::make_shared<Snapshot>();
  bool offer_renamed = false;
  bool connected = false;
  bool node_sent = false;
  uint64_t stream = 0;
  uint64_t ids = 0;
  std::deque<Offer> offers;
  std::optional<Offer> taken;
  std::deque<Reply> replies;
  std::optional<MonoTime> heard;

  ClientType* Find(std::string_view url) {
    for (ClientType& type : types) {
      if (type.url == url) return &type;
    }
    return nullptr;
  }
  // In make order, whatever the order of the subscriptions: else the server would answer routes before it knows that
  // Cluster resources are wanted too (T29, T36).
  ClientType* FirstUnsent() {
    ClientType* first = nullptr;
    for (ClientType& type : types) {
      if (!type.first_sent && (first == nullptr || MakeRank(type.url) < MakeRank(first->url))) first = &type;
    }
    return first;
  }
  ClientType& Get(const std::string& url) {
    if (ClientType* type = Find(url)) return *type;
    types.emplace_back().url = url;
    return types.back();
  }
  SnapshotPtr Apply(const Offer& offer, const std::vector<std::string>& except) const;
  void Decide(const Offer& offer, const std::vector<std::string>& except, const std::vector<std::string>& held = {});
};

DeltaClient::DeltaClient(Node node, const Clock& clock) : state_(std::make_unique<State>(std::move(node), clock)) {}
DeltaClient::~DeltaClient() = default;

// --- Subscriptions ---

void DeltaClient::SubscribeAll(const std::string& type_url) {
  ClientType& type = state_->Get(type_url);
  if (std::exchange(type.all, true)) return;
  if (type.first_sent) type.subscribe.emplace_back("*");
}

void DeltaClient::Subscribe(const std::string& type_url, const std::vector<std::string>& names) {
  ClientType& type = state_->Get(type_url);
  for (const std::string& name : names) {
    if (type.names.insert(name).second && type.first_sent) type.subscribe.push_back(name);
  }
}

void DeltaClient::Unsubscribe(const std::string& type_url, const std::vector<std::string>& names) {
  State& s = *state_;
  ClientType* type = s.Find(type_url);
  if (type == nullptr) return;
  auto next = std::make_shared<Snapshot>(*s.accepted);
  auto resources = std::make_shared<Resources>(s.accepted->Of(type_url));
  for (const std::string& name : names) {
    if (type->names.erase(name) == 0) continue;
    if (type->first_sent) type->unsubscribe.push_back(name);
    std::erase(type->subscribe, name);
    if (type->all) continue;
    resources->erase(name);
    type->expires.erase(name);
  }
  if (next->types.contains(type_url)) next->types[type_url] = std::move(resources);
  s.accepted = std::move(next);
}

void DeltaClient::OfferRenamed() { state_->offer_renamed = true; }

void DeltaClient::Preload(const Snapshot& snapshot) { state_->accepted = std::make_shared<Snapshot>(snapshot); }

// --- The stream ---

void DeltaClient::OnConnected() {
  State& s = *state_;
  ++s.stream;
  s.connected = true;
  s.node_sent = false;
  s.heard.reset();
  s.replies.clear();
  for (ClientType& type : s.types) {
    type.first_sent = false;
    type.subscribe.clear();
    type.unsubscribe.clear();
  }
}

void DeltaClient::OnDisconnected() {
  State& s = *state_;
  s.connected = false;
  s.replies.clear();
  std::erase_if(s.offers, [](const Offer& offer) { return !offer.expired; });
}

bool DeltaClient::Next(DeltaDiscoveryRequest* out) {
  State& s = *state_;
  if (!s.connected) return false;
  out->Clear();
  // What was taken on an earlier stream and is not decided yet: until then nobody can tell the server what this client
  // has.
  if (s.taken && !s.taken->expired && s.taken->stream != s.stream) return false;
  if (ClientType* first = s.FirstUnsent()) {
    ClientType& type = *first;
    type.first_sent = true;
    out->set_type_url(type.url);
    if (!std::exchange(s.node_sent, true)) {
      FillNode(s.node, out->mutable_node());
      if (!s.accepted->origin.empty()) {
        auto& metadata = *out->mutable_node()->mutable_metadata()->mutable_fields();
        metadata[std::string(kOriginKey)].set_string_value(s.accepted->origin);
      }
    }
    if (type.all) out->add_resource_names_subscribe("*");
    for (const std::string& name : type.names) out->add_resource_names_subscribe(name);
    for (const auto& [name, resource] : s.accepted->Of(type.url)) {
      if (!type.Covers(name) || type.unserved.contains(name)) continue;
      (*out->mutable_initial_resource_versions())[name] = resource->version;  // T24
    }
    return true;
  }
  const auto add_names = [&](ClientType& type) {
    for (std::string& name : type.subscribe) out->add_resource_names_subscribe(std::move(name));
    for (std::string& name : type.unsubscribe) out->add_resource_names_unsubscribe(std::move(name));
    type.subscribe.clear();
    type.unsubscribe.clear();
  };
  if (!s.replies.empty()) {
    Reply reply = std::move(s.replies.front());
    s.replies.pop_front();
    out->set_type_url(reply.type_url);
    out->set_response_nonce(reply.nonce);
    if (reply.nack) {
      out->mutable_error_detail()->set_code(static_cast<int>(Code::kInvalidArgument));
      out->mutable_error_detail()->set_message(reply.error.empty() ? "rejected" : reply.error);
      for (const std::string& name : reply.bad) {
        google::protobuf::StringValue value;
        value.set_value(name);
        out->mutable_error_detail()->add_details()->PackFrom(value);
      }
    }
    if (ClientType* type = s.Find(reply.type_url)) add_names(*type);
    return true;
  }
  for (ClientType& type : s.types) {
    if (type.subscribe.empty() && type.unsubscribe.empty()) continue;
    out->set_type_url(type.url);
    add_names(type);
    return true;
  }
  return false;
}

Status DeltaClient::OnResponse(const DeltaDiscoveryResponse& response) {
  State& s = *state_;
  if (response.nonce().empty()) return InvalidArgument("NONCE_MISSING", "a response carries no nonce");
  if (response.type_url().empty()) return InvalidArgument("TYPE_MISSING", "a response carries no type_url");
  s.heard = s.clock.Now();
  if (response.type_url() == kHeartbeat) {
    s.replies.push_back({response.type_url(), response.nonce(), false, "", {}});
    return {};
  }
  ClientType* type = s.Find(response.type_url());
  if (type == nullptr) return {};  // T27

  Offer offer;
  offer.id = ++s.ids;
  offer.stream = s.stream;
  offer.type_url = response.type_url();
  offer.nonce = response.nonce();
  offer.origin = response.system_version_info();
  std::set<std::string> seen;
  std::string fault;
  for (const auto& resource : response.resources()) {
    if (!seen.insert(resource.name()).second) fault = "duplicate resource " + resource.name();  // T14
    if (resource.has_resource() && resource.resource().type_url() != response.type_url()) {     // T5
      fault = "resource " + resource.name() + " is a " + resource.resource().type_url();
    }
    if (!type->Covers(resource.name())) continue;  // T27
    const Duration ttl =
        std::chrono::seconds(resource.ttl().seconds()) + std::chrono::nanoseconds(resource.ttl().nanos());
    if (resource.has_ttl() && ttl > Duration::zero()) {  // T45: heard of again, lives on.
      type->expires[resource.name()] = s.clock.Now() + ttl;
    } else {
      type->expires.erase(resource.name());
    }
    if (!resource.has_resource()) continue;
    auto copy = std::make_shared<Resource>();
    copy->name = resource.name();
    copy->version = resource.version();
    copy->value = resource.resource().value();
    copy->ttl = ttl;
    offer.resources.push_back(std::move(copy));
  }
  if (!fault.empty()) {
    s.replies.push_back({offer.type_url, offer.nonce, true, fault, {}});
    return {};
  }
  offer.removed.assign(response.removed_resources().begin(), response.removed_resources().end());
  s.offers.push_back(std::move(offer));
  return {};
}

// --- Offers ---

SnapshotPtr DeltaClient::State::Apply(const Offer& offer, const std::vector<std::string>& except) const {
  const auto kept = [&](const std::string& name) {
    return std::find(except.begin(), except.end(), name) != except.end();
  };
  auto next = std::make_shared<Snapshot>(*accepted);
  auto resources = std::make_shared<Resources>(accepted->Of(offer.type_url));
  for (const auto* part : {&offer.changed, &offer.renamed}) {
    for (const ResourcePtr& resource : *part) {
      if (!kept(resource->name)) (*resources)[resource->name] = resource;
    }
  }
  for (const std::string& name : offer.gone) {
    if (!kept(name)) resources->erase(name);
  }
  next->types[offer.type_url] = std::move(resources);
  if (!offer.origin.empty()) next->origin = offer.origin;
  return next;
}

std::optional<Update> DeltaClient::TakeUpdate() {
  State& s = *state_;
  if (s.taken) return std::nullopt;
  while (!s.offers.empty()) {
    Offer offer = std::move(s.offers.front());
    s.offers.pop_front();
    ClientType* type = s.Find(offer.type_url);
    if (type == nullptr) continue;
    const Resources& now = s.accepted->Of(offer.type_url);
    for (ResourcePtr& resource : offer.resources) {
      if (!type->Covers(resource->name)) continue;  // Unsubscribed meanwhile.
      const auto have = now.find(resource->name);
      // Bytes are compared: a version is the server's word for them, and some say none.
      const bool same = have != now.end() && have->second->value == resource->value;
      if (!same || type->unserved.contains(resource->name)) {
        offer.changed.push_back(resource);
      } else if (have->second->version != resource->version || have->second->ttl != resource->ttl) {
        offer.renamed.push_back(resource);
      }
    }
    for (std::string& name : offer.removed) {
      if (offer.expired && type->expires.contains(name)) continue;  // Renewed meanwhile.
      if (now.contains(name)) offer.gone.push_back(std::move(name));
    }
    const bool nothing = offer.changed.empty() && offer.gone.empty() && (offer.renamed.empty() || !s.offer_renamed);
    if (nothing && (type->answered || offer.expired)) {
      if (!offer.renamed.empty()) s.accepted = s.Apply(offer, {});
      if (!offer.expired && offer.stream == s.stream) {
        s.replies.push_back({offer.type_url, offer.nonce, false, "", {}});
      }
      continue;
    }
    Update update;
    update.id = offer.id;
    update.type_url = offer.type_url;
    for (const ResourcePtr& resource : offer.changed) update.changed.push_back(resource->name);
    for (const ResourcePtr& resource : offer.renamed) update.renamed.push_back(resource->name);
    update.removed = offer.gone;
    update.origin = offer.origin;
    update.expired = offer.expired;
    update.view = s.Apply(offer, {});
    s.taken = std::move(offer);
    return update;
  }
  return std::nullopt;
}

void DeltaClient::State::Decide(const Offer& offer, const std::vector<std::string>& except,
                                const std::vector<std::string>& held) {
  accepted = Apply(offer, except);
  ClientType* type = Find(offer.type_url);
  if (type == nullptr) return;
  type->answered = true;
  for (const ResourcePtr& resource : offer.changed) {
    if (std::find(except.begin(), except.end(), resource->name) == except.end()) type->unserved.erase(resource->name);
  }
  for (const std::string& name : offer.gone) {
    type->unserved.erase(name);
    if (offer.expired) type->expires.erase(name);
  }
  type->unserved.insert(held.begin(), held.end());
}

Status DeltaClient::Accept(uint64_t id) {
  State& s = *state_;
  if (!s.taken || s.taken->id != id) return NotFound("UPDATE_UNKNOWN", "update {} is not waiting", id);
  const Offer offer = *std::exchange(s.taken, std::nullopt);
  s.Decide(offer, {});
  if (!offer.expired && s.connected && offer.stream == s.stream) {
    s.replies.push_back({offer.type_url, offer.nonce, false, "", {}});
  }
  return {};
}

Status DeltaClient::Reject(uint64_t id, const std::string& reason, const std::vector<std::string>& bad,
                           const std::vector<std::string>& held) {
  State& s = *state_;
  if (!s.taken || s.taken->id != id) return NotFound("UPDATE_UNKNOWN", "update {} is not waiting", id);
  const Offer offer = *std::exchange(s.taken, std::nullopt);
  ClientType* type = s.Find(offer.type_url);
  if (offer.expired) {  // Kept for another lifetime.
    for (const std::string& name : offer.gone) {
      const Resource* resource = s.accepted->Find(offer.type_url, name);
      if (type && resource) type->expires[name] = s.clock.Now() + resource->ttl;
    }
    return {};
  }
  if (!bad.empty() || !held.empty())
    s.Decide(offer, bad, held);
  else if (type)
    type->answered = true;
  if (s.connected && offer.stream == s.stream) {
    Reply reply{offer.type_url, offer.nonce, true, CleanText(reason, kMostErrorBytes), bad};
    reply.bad.insert(reply.bad.end(), held.begin(), held.end());
    s.replies.push_back(std::move(reply));
  }
  return {};
}

void DeltaClient::Resubscribe(const std::string& type_url, const std::vector<std::string>& names) {
  ClientType* type = state_->Find(type_url);
  if (type == nullptr) return;
  type->unserved.insert(names.begin(), names.end());
  if (!type->first_sent) return;  // The first request of a stream asks for all anyway.
  type->subscribe.insert(type->subscribe.end(), names.begin(), names.end());
}

SnapshotPtr DeltaClient::Without(const Update& update, const std::vector<std::string>& bad) const {
  const State& s = *state_;
  if (!s.taken || s.taken->id != update.id) return s.accepted;
  return s.Apply(*s.taken, bad);
}

SnapshotPtr DeltaClient::Accepted() const { return state_->accepted; }

bool DeltaClient::Complete() const {
  return std::all_of(state_->types.begin(), state_->types.end(),
                     [](const ClientType& type) { return type.answered || type.url == kHeartbeat; });
}

std::optional<MonoTime> DeltaClient::LastHeard() const { return state_->heard; }

// --- TTL ---

std::optional<MonoTime> DeltaClient::NextDeadline() const {
  std::optional<MonoTime> earliest;
  for (const ClientType& type : state_->types) {
    for (const auto& [name, time] : type.expires) {
      if (!earliest || time < *earliest) earliest = time;
    }
  }
  return earliest;
}

void DeltaClient::Tick() {
  State& s = *state_;
  const MonoTime now = s.clock.Now();
  for (ClientType& type : s.types) {
    Offer offer;
    for (auto entry = type.expires.begin(); entry != type.expires.end();) {
      if (now < entry->second) {
        ++entry;
        continue;
      }
      offer.removed.push_back(entry->first);
      entry = type.expires.erase(entry);
    }
    if (offer.removed.empty()) continue;
    offer.id = ++s.ids;
    offer.stream = s.stream;
    offer.type_url = type.url;
    offer.expired = true;
    s.offers.push_back(std::move(offer));
  }
}

}  // namespace weir::xds
