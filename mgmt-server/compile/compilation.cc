#include <algorithm>

#include "libs/resource/kinds.h"
#include "mgmt-server/compile/compile.h"

// The state of all clusters, kept up to date; some of them ahead of what is stored.
namespace weir::compile {

std::shared_ptr<const google::protobuf::Message> Ahead::Read(const Entry& entry) {
  const resource::KindInfo* info = resource::FindKind(entry.kind);
  if (info == nullptr) return nullptr;
  std::shared_ptr<google::protobuf::Message> message = resource::NewMessage(info->kind);
  if (!message->ParseFromArray(entry.body.data(), static_cast<int>(entry.body.size()))) return nullptr;
  resource::MutableMetadataOf(*message).set_uid(entry.uid);
  return message;
}

namespace {

World With(World world, const Ahead& ahead) {
  for (const auto& [fqn, entry] : ahead.resources) {
    if (entry.message == nullptr)
      world.Remove(fqn);
    else
      world.Put(fqn, entry.message);
  }
  return world;
}

// A cluster that is gone is told nothing, whatever is ahead; nor is anybody where nothing is.
void KeepKnown(const World& world, Ahead& ahead) {
  if (ahead.empty()) ahead.clusters.clear();
  std::erase_if(ahead.clusters, [&](const std::string& cluster) { return world.cluster(cluster) == nullptr; });
}

// Between a cluster's two worlds, of which each may be ahead of what is stored.
Change ChangeBetween(const Change& change, const Ahead* before, const Ahead* after) {
  Change all = change;
  const auto add = [&](const Ahead* one, const Ahead* other) {
    if (one == nullptr) return;
    for (const auto& [fqn, entry] : one->resources) {
      const auto same = other == nullptr ? one->resources.end() : other->resources.find(fqn);
      if (other == nullptr || same == other->resources.end() || !(same->second == entry)) all.fqns.insert(fqn);
    }
  };
  add(before, after);
  add(after, before);
  return all;
}

}  // namespace

Compilation::Compilation(World world, Ahead ahead) : world_(std::move(world)), ahead_(std::move(ahead)) {
  KeepKnown(world_, ahead_);
  if (!ahead_.empty()) world_ahead_ = With(world_, ahead_);
  for (const std::string& cluster : world_.clusters()) {
    intents_[cluster] = Compile(WorldOf(cluster), cluster);
    compiled_ += intents_[cluster].size();
  }
}

std::map<std::string, Delta> Compilation::Update(World after, const Change& change, Ahead ahead) {
  std::map<std::string, Delta> deltas;
  ++updates_;
  KeepKnown(after, ahead);
  World after_ahead;
  if (!ahead.empty()) after_ahead = With(after, ahead);
  // Each cluster goes from one of two worlds to one of two.
  for (const bool was : {false, true}) {
    for (const bool is : {false, true}) {
      const auto goes = [&](const std::string& cluster) {
        return IsAhead(cluster) == was && ahead.clusters.contains(cluster) == is;
      };
      const std::set<std::string>& any = was ? ahead_.clusters : ahead.clusters;
      if ((was || is) && std::none_of(any.begin(), any.end(), goes)) continue;
      const World& to = is ? after_ahead : after;
      const Change all = ChangeBetween(change, was ? &ahead_ : nullptr, is ? &ahead : nullptr);
      for (const auto& [cluster, keys] : Affected(was ? world_ahead_ : world_, to, all)) {
        if (!goes(cluster)) continue;
        Delta delta = Renew(to, cluster, keys);
        if (!delta.empty()) deltas.emplace(cluster, std::move(delta));
      }
    }
  }
  std::erase_if(intents_, [&](const auto& entry) { return after.cluster(entry.first) == nullptr; });
  world_ = std::move(after);
  world_ahead_ = std::move(after_ahead);
  ahead_ = std::move(ahead);
  return deltas;
}

Delta Compilation::Renew(const World& after, const std::string& cluster, const std::set<Key>& keys) {
  Delta delta;
  ClusterIntent& intent = intents_[cluster];
  compiled_ += keys.size();
  for (const Key& key : keys) {
    auto resource = CompileKey(after, cluster, key);
    const auto had = intent.find(key);
    if (!resource) {
      if (had == intent.end()) continue;
      Spend(cluster, had->second);
      intent.erase(had);
      delta.removed.push_back(key);
    } else if (had == intent.end() || had->second.bytes != resource->bytes) {
      if (had != intent.end()) Spend(cluster, had->second);
      MakeFresh(cluster, *resource);
      delta.changed.push_back(*resource);
      intent.insert_or_assign(key, std::move(*resource));
    } else {
      had->second.provenance = std::move(resource->provenance);
    }
  }
  return delta;
}

void Compilation::Spend(const std::string& cluster, const Resource& resource) {
  const SpentVersion spent{
      cluster, {resource.type, resource.name}, resource.version.substr(0, resource.version.find('.'))};
  spent_[spent] = updates_;
  spent_order_.emplace_back(updates_, spent);
  while (spent_order_.size() > kMaxSpent) {
    const auto& [when, oldest] = spent_order_.front();
    const auto found = spent_.find(oldest);
    if (found != spent_.end() && found->second == when) spent_.erase(found);  // Else it was spent again since.
    spent_order_.pop_front();
  }
}

void Compilation::MakeFresh(const std::string& cluster, Resource& resource) const {
  if (!spent_.contains({cluster, {resource.type, resource.name}, resource.version})) return;
  resource.version += "." + std::to_string(updates_);
}

const ClusterIntent& Compilation::Of(std::string_view cluster) const {
  static const ClusterIntent kNone;
  const auto found = intents_.find(cluster);
  return found == intents_.end() ? kNone : found->second;
}

}  // namespace weir::compile
