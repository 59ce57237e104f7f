#include "mgmt-server/plan/changes.h"

#include <algorithm>

#include "api/weir/mesh/v1/intent.pb.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/compile/keys.h"

namespace weir::plan {
namespace {

using compile::Key;
using compile::Resource;

// The object that a Host or a DestinationSet stands in.
template <typename Message>
std::string OwnerIn(const Resource& resource) {
  Message message;
  return message.ParseFromString(resource.bytes) ? message.provenance().fqn() : "";
}
std::string OwnerOf(const Resource& resource) {
  if (resource.type == compile::kHost) return OwnerIn<mesh::v1::Host>(resource);
  if (resource.type == compile::kDestinationSet) return OwnerIn<mesh::v1::DestinationSet>(resource);
  return "";
}

std::string TenantOf(std::string_view cluster, const compile::EndpointsParts& name) {
  return resource::ChildFqn(resource::OrganizationFqn(cluster), resource::Kind::kTenant, name.tenant);
}

// Whose gateways turn to a tenant is theirs to know, not the tenant's.
bool SeesImporter(const Question& question, std::string_view cluster, const compile::EndpointsParts& name) {
  for (const compile::World* world : {&question.before, &question.after}) {
    for (const std::string& fqn : compile::Tier1For(*world, resource::OrganizationFqn(cluster), name.hostname)) {
      const compile::GatewayShape& tier1 = *world->gateway(fqn);
      if (!compile::RoutesTo(tier1, name.hostname, name.cluster, TenantOf(cluster, name))) continue;
      if (compile::CountsIn(*world, tier1, cluster) && question.may_read(fqn)) return true;
    }
  }
  return false;
}

// Who may read the objects that it is made of sees all of it: what those objects do in a cluster is theirs, whoever may
// read the cluster (as with `weir explain failover`).
Sight SightOn(const Question& question, std::string_view cluster, const Resource& resource) {
  std::vector<std::string> sources;
  for (const std::string& fqn : resource.provenance) {
    if (compile::ReachesGateways(fqn)) sources.push_back(fqn);
  }
  if (resource.type == compile::kServiceEndpoints) {
    const auto name = compile::ParseEndpointsName(resource.name);
    if (!name || !SeesImporter(question, cluster, *name)) return Sight::kNone;
    if (sources.empty()) sources.push_back(TenantOf(cluster, *name));
  } else if (sources.empty()) {
    sources = resource.provenance;  // A TrustBundle.
  }
  const auto readable = [&](const std::string& fqn) { return question.may_read(fqn); };
  if (!sources.empty() && std::all_of(sources.begin(), sources.end(), readable)) return Sight::kWhole;
  if (resource.type == compile::kListener) {  // Selector and port are what any of its objects says.
    return std::any_of(sources.begin(), sources.end(), readable) ? Sight::kWhole : Sight::kNone;
  }
  const std::string owner = OwnerOf(resource);
  return !owner.empty() && readable(owner) ? Sight::kName : Sight::kNone;
}

}  // namespace

ClusterChange::ClusterChange(const Question& question, std::string cluster, const std::set<Key>& keys)
    : question_(question), cluster_(std::move(cluster)) {
  const auto known = question.intents.find(cluster_);
  if (known == question.intents.end()) compiled_ = compile::Compile(question.before, cluster_);
  before_ = known == question.intents.end() ? &compiled_ : &known->second;
  for (const Key& key : keys) {
    Piece piece{.before = Before(key), .after = compile::CompileKey(question.after, cluster_, key)};
    if (piece.before == nullptr && !piece.after) continue;
    if (piece.before != nullptr && piece.after && piece.before->bytes == piece.after->bytes) continue;
    // Its name and its going are seen by who saw it, its coming by who will.
    piece.sight = Sight::kWhole;
    const Resource* after = piece.after ? &*piece.after : nullptr;
    for (const Resource* each : {piece.before, after}) {
      if (each != nullptr) piece.sight = std::min(piece.sight, SightOn(question, cluster_, *each));
    }
    all_whole_ &= piece.sight == Sight::kWhole;
    pieces_.emplace(key, std::move(piece));
  }
}

const Resource* ClusterChange::Before(const Key& key) const {
  const auto found = before_->find(key);
  return found == before_->end() ? nullptr : &found->second;
}

const Resource* ClusterChange::After(const Key& key) const {
  const auto changed = pieces_.find(key);
  if (changed == pieces_.end()) return Before(key);
  return changed->second.after ? &*changed->second.after : nullptr;
}

Sight ClusterChange::SightOf(const Key& key) const {
  const auto changed = pieces_.find(key);
  if (changed != pieces_.end()) return changed->second.sight;
  const Resource* resource = Before(key);
  return resource == nullptr ? Sight::kNone : SightOn(question_, cluster_, *resource);
}

}  // namespace weir::plan
