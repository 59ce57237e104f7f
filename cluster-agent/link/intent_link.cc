#include "cluster-agent/link/intent_link.h"

#include <thread>

#include "cluster-agent/link/answers.h"
#include "libs/base/mutex.h"
#include "libs/base/wait.h"
#include "libs/obs/log.h"
#include "libs/xds/grpc/ads_client.h"
#include "libs/xds/protocol/last_good.h"
#include "libs/xds/protocol/position.h"

namespace weir::agent {
namespace {

// A burst of changes is one write of last-good, this long after its first.
constexpr Duration kWriteDelay = std::chrono::milliseconds(100);
constexpr Duration kRewriteDelay = std::chrono::seconds(5);  // On a disk that took nothing.

translate::Intent IntentFrom(const xds::Snapshot& snapshot) {
  translate::Intent intent;
  for (const auto& [url, resources] : snapshot.types) {
    for (const auto& [name, resource] : *resources) {
      const Status status = translate::UpsertIntent(url, name, resource->version, resource->value, &intent);
      if (!status.ok()) {
        obs::Log(obs::Level::kError, "last-good intent left out",
                 {{"name", name}, {"error", status.error().ToString()}});
      }
    }
  }
  return intent;
}

}  // namespace

struct IntentLink::Core final : xds::AdsClientHandler {
  Core(IntentHandler& h, IntentLinkOptions o) : handler(h), options(std::move(o)) {}

  IntentHandler& handler;
  const IntentLinkOptions options;
  std::unique_ptr<xds::AdsClient> client;
  translate::Intent intent;  // The client's thread only, after Start.
  bool had_last_good = false;
  bool whole = false;  // OnIntent was called.

  Mutex mutex;
  IntentLink::LastGoodState last_good WEIR_GUARDED_BY(mutex);
  std::string refusing WEIR_GUARDED_BY(mutex);
  CondVar wake;
  bool stopping WEIR_GUARDED_BY(mutex) = false;
  bool dirty WEIR_GUARDED_BY(mutex) = false;
  std::thread writer;

  xds::Snapshot ReadDisk() {
    auto last = xds::ReadLastGood(options.last_good_path, options.owner);
    MutexLock lock(mutex);
    if (!last.ok()) {
      const bool missing = last.error().code == Code::kNotFound;
      if (!missing) last_good.refused.push_back(last.error().ToString());
      obs::Log(missing ? obs::Level::kInfo : obs::Level::kError,
               missing ? "no last-good intent yet" : "last-good intent refused", {{"reason", last.error().ToString()}});
      return {};
    }
    for (const std::string& refused : last->refused) {
      obs::Log(obs::Level::kError, "a generation of last-good intent refused; the older one is used",
               {{"reason", refused}});
    }
    obs::Log(obs::Level::kInfo, "starting with last-good intent",
             {{"written", Rfc3339(last->written)},
              {"generation", std::to_string(last->generation)},
              {"resources", std::to_string(last->snapshot.Count())}});
    had_last_good = true;
    last_good = {fmt::format("generation {} of {}", last->generation, Rfc3339(last->written)), last->refused, ""};
    return std::move(last->snapshot);
  }

  // A server that was started with an older copy of its state, or with another one, must not take away what this
  // cluster serves: an administrator decides (`weir server adopt-state`).
  Status MayTake(const xds::Update& update) const {
    const auto held = xds::ParsePosition(client->Accepted()->origin);
    if (update.expired || !held.ok()) return {};
    const auto offered = xds::ParsePosition(update.origin);
    if (!offered.ok()) return FailedPrecondition("STATE_UNNAMED", "the server does not say which state it offers");
    return xds::MayFollow(*held, *offered);
  }

  bool RejectIfMayNotFollow(const xds::Update& update) {
    const Status may = MayTake(update);
    const std::string reason = may.ok() ? "" : may.error().ToString();
    {
      MutexLock lock(mutex);
      if (!reason.empty() && refusing != reason) {
        obs::Log(obs::Level::kError, "intent refused; what is held goes on", {{"reason", reason}});
      }
      refusing = reason;
    }
    if (!may.ok()) client->Reject(update.id, reason);
    return !may.ok();
  }

  rpc::ChannelOptions Channel() override { return handler.Channel(); }

  void OnState(bool connected, const std::string& reason) override {
    const std::string wrong_port = WrongPort(reason);
    obs::Log(connected ? obs::Level::kInfo : obs::Level::kWarn,
             connected ? "intent stream from the server stands" : "intent stream from the server lost",
             {{"reason", wrong_port.empty() ? reason : wrong_port + " (" + reason + ")"}});
  }

  void OnUpdate(const xds::Update& update) override {
    if (RejectIfMayNotFollow(update)) return;
    std::vector<std::string> bad;
    std::string reason;
    const auto take = [&](const std::string& name) {
      const xds::Resource* resource = update.view->Find(update.type_url, name);
      if (resource == nullptr) return;
      const Status status = translate::UpsertIntent(update.type_url, name, resource->version, resource->value, &intent);
      if (status.ok()) return;
      bad.push_back(name);
      reason += (reason.empty() ? "" : "; ") + status.error().message;
    };
    for (const std::string& name : update.changed) take(name);
    for (const std::string& name : update.renamed) take(name);  // What gateways run is reported by these versions.
    for (const std::string& name : update.removed) translate::RemoveIntent(update.type_url, name, &intent);
    if (bad.empty())
      client->Accept(update.id);
    else
      client->Reject(update.id, reason, bad);
    whole = whole || had_last_good || client->Complete();
    if (whole) handler.OnIntent(intent);
    MutexLock lock(mutex);
    dirty = true;
    wake.NotifyAll();
  }

  void WriteLoop() {
    MutexLock lock(mutex);
    for (;;) {
      wake.Wait(mutex, [&]() WEIR_REQUIRES(mutex) { return stopping || dirty; });
      const Duration delay = last_good.unwritten.empty() ? kWriteDelay : kRewriteDelay;
      if (dirty && !stopping)
        WaitFor(*options.clock, wake, mutex, delay, [&]() WEIR_REQUIRES(mutex) { return stopping; });
      if (dirty) {
        dirty = false;
        lock.Unlock();
        Write();
        lock.Lock();
        dirty = dirty || (!last_good.unwritten.empty() && !stopping);
      }
      if (stopping && !dirty) return;
    }
  }

  void Write() {
    if (!had_last_good && !client->Complete()) return;  // Half of an intent is worse than none.
    const Status written =
        xds::WriteLastGood(options.last_good_path, *client->Accepted(), options.owner, options.clock->Wall());
    const bool failed = !written.ok() && written.error().reason != "LAST_GOOD_EMPTY";
    MutexLock lock(mutex);
    if (failed && last_good.unwritten.empty())
      obs::Log(obs::Level::kError, "last-good intent could not be written", {{"error", written.error().ToString()}});
    last_good.unwritten = failed ? written.error().ToString() : "";
    if (written.ok()) last_good.refused.clear();
  }
};

IntentLink::IntentLink(IntentHandler& handler, IntentLinkOptions options)
    : core_(std::make_unique<Core>(handler, std::move(options))) {}
IntentLink::~IntentLink() { Stop(); }

void IntentLink::Start() {
  Core* core = core_.get();
  xds::AdsClientOptions client;
  client.clock = core->options.clock;
  client.node.id = core->options.instance;
  client.node.cluster = core->options.cluster;
  client.node.user_agent = "weir-agent";
  for (const std::string_view type : xds::kMeshTypes) client.types.emplace_back(type);
  client.offer_renamed = true;
  client.preload = core->ReadDisk();
  if (core->options.joined_anew) client.preload.origin.clear();
  core->intent = IntentFrom(client.preload);
  if (core->had_last_good) core->handler.OnIntent(core->intent);
  core->client = std::make_unique<xds::AdsClient>(*core, std::move(client));
  core->writer = std::thread([core] { core->WriteLoop(); });
  core->client->Start();
}

void IntentLink::Stop() {
  if (core_->client == nullptr || !core_->writer.joinable()) return;
  core_->client->Stop();
  {
    MutexLock lock(core_->mutex);
    core_->stopping = true;
  }
  core_->wake.NotifyAll();
  core_->writer.join();
}

void IntentLink::Reconnect() { core_->client->Reconnect(); }
IntentLink::LastGoodState IntentLink::LastGood() const {
  MutexLock lock(core_->mutex);
  return core_->last_good;
}
std::string IntentLink::RefusalReason() const {
  MutexLock lock(core_->mutex);
  return core_->refusing;
}
bool IntentLink::Connected() const { return core_->client != nullptr && core_->client->Connected(); }

}  // namespace weir::agent
