#include "libs/xds/grpc/ads_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "envoy/service/discovery/v3/ads.grpc.pb.h"
#include "libs/base/text.h"
#include "libs/base/wait.h"
#include "libs/obs/log.h"
#include "libs/process/backoff.h"
#include "libs/rpc/awake.h"

namespace weir::xds {
namespace {

using envoy::service::discovery::v3::AggregatedDiscoveryService;
using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;

constexpr Duration kLongest = std::chrono::seconds(1);  // The loop looks around at least this often.

Node WithFeatures(Node node) {
  node.features.insert(std::string(kFeatureHeartbeat));
  node.features.insert("xds.config.supports-resource-ttl");
  return node;
}

}  // namespace

struct AdsClient::Core {
  explicit Core(AdsClientOptions o) : options(std::move(o)), client(WithFeatures(options.node), *options.clock) {
    if (options.offer_renamed) client.OfferRenamed();
    if (options.preload.Count() > 0) client.Preload(options.preload);
    for (const std::string& type : options.types) client.SubscribeAll(type);
    client.SubscribeAll(std::string(kHeartbeat));
  }

  // One stream. gRPC calls back on its threads; everything is handed to the loop under the core's mutex.
  class Call final : public grpc::ClientBidiReactor<DeltaDiscoveryRequest, DeltaDiscoveryResponse> {
   public:
    Call(Core* core, std::shared_ptr<grpc::Channel> channel)
        : core_(core), stub_(AggregatedDiscoveryService::NewStub(channel)) {}
    void Start() {
      stub_->async()->DeltaAggregatedResources(&context, this);
      AddHold();  // The loop starts reads and writes from outside; RemoveHold lets OnDone come.
      StartCall();
      StartRead(&in);
    }
    void OnReadDone(bool ok) override {
      std::lock_guard lock(core_->mutex);
      if (ok)
        read_ready = true;
      else
        broken = true;
      core_->wake.notify_all();
    }
    void OnWriteDone(bool ok) override {
      std::lock_guard lock(core_->mutex);
      writing = false;
      core_->changed = true;  // The next request may go.
      if (!ok) broken = true;
      core_->wake.notify_all();
    }
    void OnDone(const grpc::Status& result) override {
      std::lock_guard lock(core_->mutex);
      status = result;
      done = true;
      core_->wake.notify_all();
    }

    const rpc::Awake awake;
    grpc::ClientContext context;
    DeltaDiscoveryRequest out;
    DeltaDiscoveryResponse in;
    // Under the core's mutex:
    bool read_ready = false, writing = false, broken = false, done = false;
    grpc::Status status;

   private:
    Core* const core_;
    std::unique_ptr<AggregatedDiscoveryService::Stub> stub_;
  };

  const AdsClientOptions options;
  mutable std::mutex mutex;
  std::condition_variable wake;
  DeltaClient client;  // Under the mutex, as all below.
  bool stopped = false;
  bool redial = false;
  bool changed = false;  // Something was decided: requests or offers may be due.
  bool connected = false;
  std::thread thread;

  void Run();
  std::string RunCall(std::unique_lock<std::mutex>& lock, const std::shared_ptr<grpc::Channel>& channel,
                      bool* answered);
  std::string Converse(std::unique_lock<std::mutex>& lock, Call& call, bool* answered);
  void Offer(std::unique_lock<std::mutex>& lock);
  void Report(std::unique_lock<std::mutex>& lock, bool up, const std::string& reason);
};

// Hands the next offer to the caller. DeltaClient gives one at a time.
void AdsClient::Core::Offer(std::unique_lock<std::mutex>& lock) {
  while (!stopped) {
    const auto update = client.TakeUpdate();
    if (!update) return;
    lock.unlock();
    if (options.on_update) options.on_update(*update);
    lock.lock();
  }
}

void AdsClient::Core::Report(std::unique_lock<std::mutex>& lock, bool up, const std::string& reason) {
  connected = up;
  if (!options.on_state || stopped) return;
  lock.unlock();
  options.on_state(up, reason);
  lock.lock();
}

void AdsClient::Core::Run() {
  std::unique_lock lock(mutex);
  process::Backoff backoff({options.backoff_min, options.backoff_max});
  while (!stopped) {
    redial = false;
    lock.unlock();
    auto channel = rpc::MakeChannel(options.channel());
    lock.lock();
    bool answered = false;
    const std::string reason = channel.ok() ? RunCall(lock, *channel, &answered) : channel.error().ToString();
    if (stopped) return;
    if (answered) backoff.Reset();  // T46: a stream that worked and ended is no error.
    const Duration pause = backoff.Next();
    const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(pause).count();
    Report(lock, false, fmt::format("{}; next try in {} ms", reason, milliseconds));
    const auto until = options.clock->Now() + pause;
    while (!stopped && !redial && options.clock->Now() < until) {
      client.Tick();
      Offer(lock);
      WaitUntil(*options.clock, wake, lock, std::min(until, options.clock->Now() + kLongest),
                [&] { return stopped || redial || std::exchange(changed, false); });
    }
  }
}

std::string AdsClient::Core::RunCall(std::unique_lock<std::mutex>& lock, const std::shared_ptr<grpc::Channel>& channel,
                                     bool* answered) {
  Call call(this, channel);
  client.OnConnected();
  lock.unlock();
  call.Start();
  lock.lock();
  std::string reason = Converse(lock, call, answered);
  lock.unlock();
  call.context.TryCancel();
  call.RemoveHold();
  lock.lock();
  wake.wait(lock, [&] { return call.done; });
  client.OnDisconnected();
  if (reason.empty())
    reason = fmt::format("stream ended: {} {}", call.status.error_code(),
                         CleanText(call.status.error_message(), kMostErrorBytes));
  return reason;
}

// Until the stream ends; "" = the server's status says why.
std::string AdsClient::Core::Converse(std::unique_lock<std::mutex>& lock, Call& call, bool* answered) {
  const MonoTime began = options.clock->Now();
  bool heartbeats = false;
  while (true) {
    if (stopped) return "stopped";
    if (redial) return "asked to dial anew";
    if (call.broken) return "";
    changed = false;
    if (call.read_ready) {
      call.read_ready = false;
      heartbeats = heartbeats || call.in.type_url() == kHeartbeat;
      const Status status = client.OnResponse(call.in);
      if (!status.ok()) return status.error().ToString();
      lock.unlock();
      call.StartRead(&call.in);
      lock.lock();
      if (!std::exchange(*answered, true)) Report(lock, true, "");
    }
    client.Tick();
    Offer(lock);
    if (!call.writing && client.Next(&call.out)) {
      call.writing = true;
      lock.unlock();
      call.StartWrite(&call.out);
      lock.lock();
      continue;
    }
    const MonoTime now = options.clock->Now();
    const auto heard = client.LastHeard();
    MonoTime until = now + kLongest;
    if (heartbeats || !heard) {
      const MonoTime stalled = heard.value_or(began) + options.stall_timeout;
      if (now >= stalled) return "stalled: nothing heard, no heartbeat";
      until = std::min(until, stalled);
    }
    if (const auto deadline = client.NextDeadline()) until = std::min(until, *deadline);
    WaitUntil(*options.clock, wake, lock, until,
              [&] { return stopped || redial || changed || call.broken || call.read_ready; });
  }
}

AdsClient::AdsClient(AdsClientOptions options) : core_(std::make_shared<Core>(std::move(options))) {}
AdsClient::~AdsClient() { Stop(); }

void AdsClient::Start() {
  core_->thread = std::thread([core = core_] { core->Run(); });
}

void AdsClient::Stop() {
  {
    std::lock_guard lock(core_->mutex);
    core_->stopped = true;
    core_->wake.notify_all();
  }
  if (core_->thread.joinable()) core_->thread.join();
}

void AdsClient::Reconnect() {
  std::lock_guard lock(core_->mutex);
  core_->redial = true;
  core_->wake.notify_all();
}

void AdsClient::Accept(uint64_t id) {
  std::lock_guard lock(core_->mutex);
  (void)core_->client.Accept(id);
  core_->changed = true;
  core_->wake.notify_all();
}

void AdsClient::AskAgain(const std::string& type_url, const std::vector<std::string>& names) {
  std::lock_guard lock(core_->mutex);
  core_->client.AskAgain(type_url, names);
  core_->changed = true;
  core_->wake.notify_all();
}

void AdsClient::Reject(uint64_t id, const std::string& reason, const std::vector<std::string>& bad,
                       const std::vector<std::string>& held) {
  std::lock_guard lock(core_->mutex);
  (void)core_->client.Reject(id, reason, bad, held);
  core_->changed = true;
  core_->wake.notify_all();
}

SnapshotPtr AdsClient::Without(const Update& update, const std::vector<std::string>& bad) const {
  std::lock_guard lock(core_->mutex);
  return core_->client.Without(update, bad);
}

SnapshotPtr AdsClient::Accepted() const {
  std::lock_guard lock(core_->mutex);
  return core_->client.Accepted();
}

bool AdsClient::Complete() const {
  std::lock_guard lock(core_->mutex);
  return core_->client.Complete();
}

bool AdsClient::Connected() const {
  std::lock_guard lock(core_->mutex);
  return core_->connected;
}

}  // namespace weir::xds
