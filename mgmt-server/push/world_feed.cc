#include "mgmt-server/push/world_feed.h"

#include <algorithm>
#include <utility>

#include "api/weir/agent/v1/discovery.pb.h"
#include "libs/base/mutex.h"
#include "libs/base/wait.h"
#include "libs/resource/conflicts.h"

namespace weir::push {
namespace {

constexpr std::string_view kClusterKind = "Cluster";
constexpr std::string_view kWorkspaceKind = "Workspace";

compile::Facts ReadFacts(const store::ClusterFacts* stored) {
  compile::Facts facts;
  if (stored == nullptr) return facts;
  stored->workloads.VisitAll([&](const std::string& key, const std::string& bytes) {
    auto workload = std::make_shared<agent::v1::Workload>();
    if (workload->ParseFromString(bytes)) facts.workloads[key] = std::move(workload);
    return true;
  });
  stored->services.VisitAll([&](const std::string&, const std::string& bytes) {
    auto service = std::make_shared<agent::v1::Service>();
    if (service->ParseFromString(bytes)) facts.PutService(std::move(service));
    return true;
  });
  facts.connected = stored->connected;
  facts.as_of = stored->last_seen;
  return facts;
}

// Owns what both own, whatever the patterns that say so.
v2::NamespaceSelector CommonOf(const v2::NamespaceSelector& a, const v2::NamespaceSelector& b) {
  const std::vector<resource::NamespacePattern> theirs = resource::PatternsOf(b);
  std::set<std::string> names;
  for (const resource::NamespacePattern& pattern : resource::PatternsOf(a)) {
    for (const resource::NamespacePattern& other : theirs) {
      if (const auto both = pattern.Intersection(other)) names.insert(both->cluster + "/" + both->name);
    }
  }
  v2::NamespaceSelector common;
  *common.mutable_names() = {names.begin(), names.end()};
  return common;
}

void NarrowToPresent(const store::StoredResource& then, const store::View& now, compile::World& world) {
  const v2::Workspace* had = world.workspace(then.fqn);
  const store::ResourcePtr stored = now.GetByUid(then.uid);
  if (had == nullptr || (stored != nullptr && stored->body == then.body)) return;
  v2::Workspace has;  // Nothing, when it is gone.
  if (stored != nullptr && !has.ParseFromString(stored->body)) has.Clear();
  auto both = std::make_shared<v2::Workspace>(*had);
  v2::WorkspaceSpec& spec = *both->mutable_spec();
  *spec.mutable_namespace_selector() = CommonOf(spec.namespace_selector(), has.spec().namespace_selector());
  spec.set_privileged(spec.privileged() && has.spec().privileged());
  world.Put(then.fqn, std::move(both));
}

}  // namespace

compile::World LoadWorld(const store::View& then, const store::View& now) {
  compile::World world;
  then.ForEach("", "", [&](const store::ResourcePtr& resource) {
    world.PutBody(resource->kind, resource->fqn, resource->uid, resource->body);
    if (resource->kind == kClusterKind) world.SetFacts(resource->fqn, ReadFacts(now.Facts(resource->uid).get()));
    return true;
  });
  then.ForEach("", kWorkspaceKind, [&](const store::ResourcePtr& workspace) {
    NarrowToPresent(*workspace, now, world);
    return true;
  });
  return world;
}

compile::World WorldFeed::Load(const store::View& view, const std::string& roots_pem) {
  compile::World world;
  world.SetRoots(roots_pem);
  const auto put = [&](const store::ResourcePtr& resource) {
    world.PutBody(resource->kind, resource->fqn, resource->uid, resource->body);
    if (resource->kind == kClusterKind) clusters_[resource->uid] = resource->fqn;
    return true;
  };
  view.ForEach("", kClusterKind, put);  // With their facts before what selects by them, which then is found out once.
  for (const auto& [uid, fqn] : clusters_) world.SetFacts(fqn, ReadFacts(view.Facts(uid).get()));
  view.ForEach("", "", put);
  MutexLock lock(mutex_);
  revision_ = view.revision();
  sequence_ = view.facts_sequence();
  return world;
}

void WorldFeed::Note(const store::ChangeEvent& event) {
  MutexLock lock(mutex_);
  for (const auto& change : event.changes) fqns_[change.fqn] = event.revision;
  revision_ = event.revision;
  last_event_ = clock_.Now();
  noted_.NotifyAll();
}

void WorldFeed::Note(const store::FactsEvent& event) {
  MutexLock lock(mutex_);
  sequence_ = event.sequence;
  last_event_ = clock_.Now();
  if (event.resync) {
    resync_ = true;
  } else {
    PendingFacts& pending = facts_[event.cluster_uid];
    pending.sequence = event.sequence;
    pending.workloads.insert(event.workloads.begin(), event.workloads.end());
    pending.services.insert(event.services.begin(), event.services.end());
    pending.connection = pending.connection || event.connection_changed || event.removed;
  }
  noted_.NotifyAll();
}

MonoTime WorldFeed::LastEvent() const {
  MutexLock lock(mutex_);
  return last_event_;
}

WorldFeed::Reached WorldFeed::WaitForEventsOf(const store::View& view, Duration limit) {
  MutexLock lock(mutex_);
  WaitFor(clock_, noted_, mutex_, limit, [&]() WEIR_REQUIRES(mutex_) {
    return stopped_ || (revision_ >= view.revision() && sequence_ >= view.facts_sequence());
  });
  return {std::min(revision_, view.revision()), std::min(sequence_, view.facts_sequence())};
}

void WorldFeed::Stop() {
  MutexLock lock(mutex_);
  stopped_ = true;
  noted_.NotifyAll();
}

compile::Change WorldFeed::Apply(const store::View& view, compile::World* world) {
  std::set<std::string> fqns;
  std::map<std::string, PendingFacts> facts;
  bool resync = false;
  {
    MutexLock lock(mutex_);
    for (auto entry = fqns_.begin(); entry != fqns_.end();) {
      fqns.insert(entry->first);  // The view may show a later state: then it is applied again with its own event.
      entry = entry->second <= view.revision() ? fqns_.erase(entry) : std::next(entry);
    }
    for (auto entry = facts_.begin(); entry != facts_.end();) {
      facts.insert(*entry);
      entry = entry->second.sequence <= view.facts_sequence() ? facts_.erase(entry) : std::next(entry);
    }
    resync = std::exchange(resync_, false);
  }
  compile::Change change;
  std::set<std::string> new_clusters;  // Uids.
  for (const std::string& fqn : fqns) {
    const store::ResourcePtr resource = view.Get(fqn);
    change.fqns.insert(fqn);
    // A name that was deleted and created again is another cluster, with facts of its own.
    const auto known = std::find_if(clusters_.begin(), clusters_.end(), [&](const auto& c) { return c.second == fqn; });
    if (known != clusters_.end() && (resource == nullptr || resource->uid != known->first)) {
      const std::string uid = known->first;
      clusters_.erase(known);
      ReplaceFacts(view, "", fqn, world, &change);
      facts.erase(uid);
    }
    if (resource == nullptr) {
      world->Remove(fqn);
      continue;
    }
    world->PutBody(resource->kind, fqn, resource->uid, resource->body);
    if (resource->kind == kClusterKind && clusters_.emplace(resource->uid, fqn).second) {
      new_clusters.insert(resource->uid);
    }
  }
  for (const auto& [uid, fqn] : clusters_) {
    if (resync || new_clusters.contains(uid))
      ReplaceFacts(view, uid, fqn, world, &change);
    else if (const auto pending = facts.find(uid); pending != facts.end()) {
      ApplyFacts(view, uid, fqn, pending->second, world, &change);
    }
  }
  return change;
}

void WorldFeed::ReplaceFacts(const store::View& view, const std::string& uid, const std::string& cluster,
                             compile::World* world, compile::Change* change) {
  compile::Facts facts = ReadFacts(uid.empty() ? nullptr : view.Facts(uid).get());
  std::set<std::string>& touched = change->workloads[cluster];
  if (const compile::Facts* before = world->facts(cluster)) {
    for (const auto& [key, workload] : before->workloads) touched.insert(key);
  }
  for (const auto& [key, workload] : facts.workloads) touched.insert(key);
  change->clusters.insert(cluster);
  world->SetFacts(cluster, std::move(facts));
}

void WorldFeed::ApplyFacts(const store::View& view, const std::string& uid, const std::string& cluster,
                           const PendingFacts& pending, compile::World* world, compile::Change* change) {
  const store::ClusterFactsPtr stored = view.Facts(uid);
  if (stored == nullptr) {
    ReplaceFacts(view, uid, cluster, world, change);
    return;
  }
  for (const std::string& key : pending.workloads) {
    change->workloads[cluster].insert(key);
    agent::v1::Workload workload;
    const std::string* bytes = stored->workloads.Find(key);
    if (bytes != nullptr && workload.ParseFromString(*bytes))
      world->PutWorkload(cluster, workload);
    else
      world->RemoveWorkload(cluster, key);
  }
  for (const std::string& key : pending.services) {
    agent::v1::Service service;
    const std::string* bytes = stored->services.Find(key);
    if (bytes != nullptr && service.ParseFromString(*bytes))
      world->PutService(cluster, service);
    else
      world->RemoveService(cluster, key);
  }
  if (pending.connection) {
    world->SetConnected(cluster, stored->connected, stored->last_seen);
    change->clusters.insert(cluster);
  }
}

}  // namespace weir::push
