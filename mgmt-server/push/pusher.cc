#include "mgmt-server/push/pusher.h"

#include <algorithm>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "libs/base/mutex.h"
#include "libs/base/wait.h"
#include "libs/obs/log.h"
#include "libs/xds/grpc/ads_service.h"
#include "mgmt-server/push/ahead.h"
#include "mgmt-server/push/world_feed.h"
#include "mgmt-server/store/store.h"

namespace weir::push {
namespace {

xds::ResourcePtr ToXds(const compile::Resource& resource) {
  auto out = std::make_shared<xds::Resource>();
  out->name = resource.name;
  out->version = resource.version;
  out->value = resource.bytes;
  return out;
}

// Every type present: the World is loaded, what is not there does not exist.
xds::SnapshotPtr FullSnapshot(const compile::ClusterIntent& intent) {
  std::map<std::string, std::shared_ptr<xds::Resources>> types;
  for (const auto url : xds::kMeshTypes) types[std::string(url)] = std::make_shared<xds::Resources>();
  for (const auto& [key, resource] : intent) {
    auto& resources = types[compile::TypeUrl(key.type)];
    if (resources == nullptr) resources = std::make_shared<xds::Resources>();
    (*resources)[resource.name] = ToXds(resource);
  }
  auto snapshot = std::make_shared<xds::Snapshot>();
  for (auto& [type, resources] : types) snapshot->types[type] = std::move(resources);
  return snapshot;
}

// Types without a change share their map with the snapshot before.
xds::SnapshotPtr NextSnapshot(const xds::Snapshot& before, const compile::Delta& delta) {
  std::map<std::string, std::shared_ptr<xds::Resources>> touched;
  const auto of = [&](const std::string& type) -> xds::Resources& {
    const std::string url = compile::TypeUrl(type);
    auto& resources = touched[url];
    if (resources == nullptr) resources = std::make_shared<xds::Resources>(before.Of(url));
    return *resources;
  };
  for (const auto& resource : delta.changed) of(resource.type)[resource.name] = ToXds(resource);
  for (const auto& key : delta.removed) of(key.type).erase(key.name);
  auto next = std::make_shared<xds::Snapshot>(before);
  for (auto& [url, resources] : touched) next->types[url] = std::move(resources);
  return next;
}

}  // namespace

struct Pusher::Core {
  Core(store::Store& s, xds::AdsService& a, PusherOptions o) : store(s), ads(a), options(std::move(o)) {}

  store::Store& store;
  xds::AdsService& ads;
  const PusherOptions options;
  std::function<void()> on_pushed;

  WorldFeed feed{*options.clock};  // Has its own lock.

  mutable Mutex compile_mutex;  // Held while compiling and reading; never together with `mutex`.
  compile::Compilation compilation WEIR_GUARDED_BY(compile_mutex);
  compile::Traces traces WEIR_GUARDED_BY(compile_mutex);

  mutable Mutex mutex;
  mutable CondVar wake;
  bool stopped WEIR_GUARDED_BY(mutex) = false;
  bool pending WEIR_GUARDED_BY(mutex) = false;
  std::optional<std::string> roots WEIR_GUARDED_BY(mutex);  // To be pushed.
  MonoTime first_pending WEIR_GUARDED_BY(mutex){}, last_event WEIR_GUARDED_BY(mutex){};
  std::vector<store::OverlayPtr> overlays WEIR_GUARDED_BY(mutex);  // Pushed.
  int64_t revision WEIR_GUARDED_BY(mutex) = -1;
  uint64_t facts_sequence WEIR_GUARDED_BY(mutex) = 0;

  std::unique_ptr<store::Subscription> changes, facts;
  std::thread thread;

  void Wake();
  void Run();
  void PushOnce();
  std::optional<std::string> TakeRoots();
  std::vector<store::OverlayPtr> OverlaysFor(const store::View& view, const WorldFeed::Reached& reached);
  std::map<std::string, compile::Delta> Compile(compile::World world, const compile::Change& change,
                                                const store::View& view, const WorldFeed::Reached& reached,
                                                const std::vector<store::OverlayPtr>& ahead)
      WEIR_REQUIRES(compile_mutex);
};

void Pusher::Core::Wake() {
  const MonoTime now = options.clock->Now();
  MutexLock lock(mutex);
  if (!std::exchange(pending, true)) first_pending = now;
  wake.NotifyAll();
}

void Pusher::Core::Run() {
  MutexLock lock(mutex);
  while (true) {
    wake.Wait(mutex, [&]() WEIR_REQUIRES(mutex) { return stopped || pending; });
    if (stopped) return;
    // After quiet at once; in a stream of changes gather until it pauses, with a limit.
    if (first_pending - last_event < options.quiet) {
      const MonoTime limit = first_pending + options.max_delay;
      while (!stopped) {
        const MonoTime calm = feed.LastEvent() + options.quiet;
        if (options.clock->Now() >= std::min(calm, limit)) break;
        WaitUntil(*options.clock, wake, mutex, std::min(calm, limit), [&]() WEIR_REQUIRES(mutex) { return stopped; });
      }
    }
    if (stopped) return;
    pending = false;
    lock.Unlock();
    PushOnce();
    lock.Lock();
    last_event = feed.LastEvent();
  }
}

std::optional<std::string> Pusher::Core::TakeRoots() {
  MutexLock lock(mutex);
  return std::exchange(roots, std::nullopt);
}

// What is ahead ends with the write that stores it: as long as that was not heard, it stays.
std::vector<store::OverlayPtr> Pusher::Core::OverlaysFor(const store::View& view, const WorldFeed::Reached& reached) {
  if (reached.revision >= view.revision()) return view.Overlays();
  MutexLock lock(mutex);
  return overlays;
}

std::map<std::string, compile::Delta> Pusher::Core::Compile(compile::World world, const compile::Change& change,
                                                            const store::View& view, const WorldFeed::Reached& reached,
                                                            const std::vector<store::OverlayPtr>& ahead) {
  world.revision = view.revision();  // Whose writes are in it, heard of or not.
  traces.Note(compilation.world(), world, change);
  world.revision = reached.revision;
  world.facts_sequence = reached.facts_sequence;
  return compilation.Update(std::move(world), change, AheadOf(ahead, compilation.ahead()));
}

void Pusher::Core::PushOnce() {
  const store::ViewPtr view = store.Read();
  // A view is applied whole, not one of its changes without the others, but for those whose events are late.
  const WorldFeed::Reached reached = feed.WaitForEventsOf(*view);
  std::set<std::string> gone;
  std::map<std::string, compile::Delta> deltas;
  std::map<std::string, xds::SnapshotPtr> fresh;
  const std::optional<std::string> new_roots = TakeRoots();
  const std::vector<store::OverlayPtr> overlays_now = OverlaysFor(*view, reached);
  {
    MutexLock lock(compile_mutex);
    compile::World world = compilation.world();
    const auto clusters_before = world.clusters();
    compile::Change change = feed.Apply(*view, &world);
    if ((change.roots = new_roots.has_value())) world.SetRoots(*new_roots);
    deltas = Compile(std::move(world), change, *view, reached, overlays_now);
    const auto clusters = compilation.world().clusters();
    for (const std::string& cluster : clusters) {
      if (ads.GetSnapshot(cluster) == nullptr) fresh[cluster] = FullSnapshot(compilation.Of(cluster));
    }
    std::set_difference(clusters_before.begin(), clusters_before.end(), clusters.begin(), clusters.end(),
                        std::inserter(gone, gone.end()));
  }
  for (const std::string& cluster : gone) ads.Remove(cluster, "the cluster was deleted");
  for (const auto& [cluster, delta] : deltas) {
    const auto before = ads.GetSnapshot(cluster);
    if (before && !gone.contains(cluster)) ads.SetSnapshot(cluster, NextSnapshot(*before, delta));
  }
  for (const auto& [cluster, snapshot] : fresh) ads.SetSnapshot(cluster, snapshot);
  {
    MutexLock lock(mutex);
    overlays = overlays_now;
    revision = reached.revision;
    facts_sequence = reached.facts_sequence;
    wake.NotifyAll();
  }
  if (on_pushed) on_pushed();
}

Pusher::Pusher(store::Store& store, xds::AdsService& ads, PusherOptions options)
    : core_(std::make_unique<Core>(store, ads, std::move(options))) {}
Pusher::~Pusher() { Stop(); }

Status Pusher::Start() {
  Core& core = *core_;
  const store::ViewPtr view = core.store.Read();
  compile::World world = core.feed.Load(*view, core.options.roots_pem);
  world.revision = view->revision();
  world.facts_sequence = view->facts_sequence();
  {
    MutexLock lock(core.compile_mutex);
    core.compilation = compile::Compilation(std::move(world), AheadOf(view->Overlays(), {}));
    for (const std::string& cluster : core.compilation.world().clusters()) {
      core.ads.SetSnapshot(cluster, FullSnapshot(core.compilation.Of(cluster)));
    }
  }
  {
    MutexLock lock(core.mutex);
    core.overlays = view->Overlays();
    core.revision = view->revision();
    core.facts_sequence = view->facts_sequence();
  }
  core.changes = core.store.Subscribe(view->revision(), [&core](const store::ChangeEvent& event) {
    core.feed.Note(event);
    core.Wake();
  });
  core.facts = core.store.SubscribeFacts(view->facts_sequence(), [&core](const store::FactsEvent& event) {
    core.feed.Note(event);
    core.Wake();
  });
  core.thread = std::thread([&core] { core.Run(); });
  obs::Log(obs::Level::kInfo, "compiled everything", {{"revision", std::to_string(view->revision())}});
  if (core.on_pushed) core.on_pushed();
  return {};
}

void Pusher::Stop() {
  core_->changes.reset();
  core_->facts.reset();
  {
    MutexLock lock(core_->mutex);
    core_->stopped = true;
    core_->wake.NotifyAll();
  }
  core_->feed.Stop();
  if (core_->thread.joinable()) core_->thread.join();
}

void Pusher::SetRoots(std::string roots_pem) {
  {
    MutexLock lock(core_->mutex);
    core_->roots = std::move(roots_pem);
  }
  core_->Wake();
}

void Pusher::FollowOverlays() {
  const std::vector<store::OverlayPtr> now = core_->store.Read()->Overlays();
  {
    MutexLock lock(core_->mutex);
    if (now == core_->overlays) return;
  }
  core_->Wake();
}

bool Pusher::HasOverlays() const {
  MutexLock lock(core_->mutex);
  return !core_->overlays.empty();
}

void Pusher::Read(const std::function<void(const compile::Compilation&)>& read) const {
  MutexLock lock(core_->compile_mutex);
  read(core_->compilation);
}

compile::Trace Pusher::TraceOf(const std::string& cluster, int64_t revision) const {
  MutexLock lock(core_->compile_mutex);
  return core_->traces.Since(cluster, revision);
}

int64_t Pusher::revision() const {
  MutexLock lock(core_->mutex);
  return core_->revision;
}

uint64_t Pusher::facts_sequence() const {
  MutexLock lock(core_->mutex);
  return core_->facts_sequence;
}

bool Pusher::WaitFor(int64_t revision, const Clock& clock, MonoTime deadline) const {
  MutexLock lock(core_->mutex);
  WaitUntil(clock, core_->wake, core_->mutex, deadline,
            [&]() WEIR_REQUIRES(core_->mutex) { return core_->stopped || core_->revision >= revision; });
  return core_->revision >= revision;
}

void Pusher::OnPushed(std::function<void()> callback) { core_->on_pushed = std::move(callback); }

}  // namespace weir::push
