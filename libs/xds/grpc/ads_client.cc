#include "libs/xds/grpc/ads_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <algorithm>
#include <deque>
#include <thread>
#include <utility>

#include "envoy/service/discovery/v3/ads.grpc.pb.h"
#include "libs/base/mutex.h"
#include "libs/base/text.h"
#include "libs/base/wait.h"
#include "libs/obs/log.h"
#include "libs/process/backoff.h"
#include "libs/rpc/keep_awake.h"

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
  Core(AdsClientHandler& h, AdsClientOptions o)
      : handler(h), options(std::move(o)), client(WithFeatures(options.node), *options.clock) {
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
      MutexLock lock(core_->mutex);
      if (ok)
        core_->call.read_ready = true;
      else
        core_->call.broken = true;
      core_->wake.NotifyAll();
    }
    void OnWriteDone(bool ok) override {
      MutexLock lock(core_->mutex);
      core_->call.writing = false;
      core_->changed = true;  // The next request may go.
      if (!ok) core_->call.broken = true;
      core_->wake.NotifyAll();
    }
    void OnDone(const grpc::Status& result) override {
      MutexLock lock(core_->mutex);
      core_->call.status = result;
      core_->call.done = true;
      core_->wake.NotifyAll();
    }

    const rpc::KeepAwake awake;
    grpc::ClientContext context;
    DeltaDiscoveryRequest out;
    DeltaDiscoveryResponse in;

   private:
    Core* const core_;
    std::unique_ptr<AggregatedDiscoveryService::Stub> stub_;
  };

  // How far the one stream is; gRPC says so.
  struct CallState {
    bool read_ready = false, writing = false, broken = false, done = false;
    grpc::Status status;
  };

  AdsClientHandler& handler;
  const AdsClientOptions options;
  mutable Mutex mutex;
  CondVar wake;
  DeltaClient client WEIR_GUARDED_BY(mutex);
  CallState call WEIR_GUARDED_BY(mutex);
  bool stopped WEIR_GUARDED_BY(mutex) = false;
  bool redial WEIR_GUARDED_BY(mutex) = false;
  bool changed WEIR_GUARDED_BY(mutex) = false;  // Something was decided: requests or offers may be due.
  bool connected WEIR_GUARDED_BY(mutex) = false;
  std::thread thread;

  void Run();
  // These let go of the lock while they call others.
  std::string RunCall(const std::shared_ptr<grpc::Channel>& channel, bool* answered) WEIR_REQUIRES(mutex);
  std::string Converse(Call& stream, bool* answered) WEIR_REQUIRES(mutex);
  void Offer() WEIR_REQUIRES(mutex);
  void Report(bool up, const std::string& reason) WEIR_REQUIRES(mutex);
};

// Hands the next offer to the caller. DeltaClient gives one at a time.
void AdsClient::Core::Offer() {
  while (!stopped) {
    const auto update = client.TakeUpdate();
    if (!update) return;
    mutex.Unlock();
    handler.OnUpdate(*update);
    mutex.Lock();
  }
}

void AdsClient::Core::Report(bool up, const std::string& reason) {
  connected = up;
  if (stopped) return;
  mutex.Unlock();
  handler.OnState(up, reason);
  mutex.Lock();
}

void AdsClient::Core::Run() {
  MutexLock lock(mutex);
  process::Backoff backoff({options.backoff_min, options.backoff_max});
  while (!stopped) {
    redial = false;
    lock.Unlock();
    auto channel = rpc::MakeChannel(handler.Channel());
    lock.Lock();
    bool answered = false;
    const std::string reason = channel.ok() ? RunCall(*channel, &answered) : channel.error().ToString();
    if (stopped) return;
    if (answered) backoff.Reset();  // T46: a stream that worked and ended is no error.
    const Duration pause = backoff.Next();
    const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(pause).count();
    Report(false, fmt::format("{}; next try in {} ms", reason, milliseconds));
    const auto until = options.clock->Now() + pause;
    while (!stopped && !redial && options.clock->Now() < until) {
      client.Tick();
      Offer();
      WaitUntil(*options.clock, wake, mutex, std::min(until, options.clock->Now() + kLongest),
                [&]() WEIR_REQUIRES(mutex) { return stopped || redial || std::exchange(changed, false); });
    }
  }
}

std::string AdsClient::Core::RunCall(const std::shared_ptr<grpc::Channel>& channel, bool* answered) {
  Call stream(this, channel);
  call = {};
  client.OnConnected();
  mutex.Unlock();
  stream.Start();
  mutex.Lock();
  std::string reason = Converse(stream, answered);
  mutex.Unlock();
  stream.context.TryCancel();
  stream.RemoveHold();
  mutex.Lock();
  wake.Wait(mutex, [&]() WEIR_REQUIRES(mutex) { return call.done; });
  client.OnDisconnected();
  if (reason.empty())
    reason = fmt::format("stream ended: {} {}", call.status.error_code(),
                         CleanText(call.status.error_message(), kMostErrorBytes));
  return reason;
}

// Until the stream ends; "" = the server's status says why.
std::string AdsClient::Core::Converse(Call& stream, bool* answered) {
  const MonoTime began = options.clock->Now();
  bool heartbeats = false;
  while (true) {
    if (stopped) return "stopped";
    if (redial) return "asked to dial anew";
    if (call.broken) return "";
    changed = false;
    if (call.read_ready) {
      call.read_ready = false;
      heartbeats = heartbeats || stream.in.type_url() == kHeartbeat;
      const Status status = client.OnResponse(stream.in);
      if (!status.ok()) return status.error().ToString();
      mutex.Unlock();
      stream.StartRead(&stream.in);
      mutex.Lock();
      if (!std::exchange(*answered, true)) Report(true, "");
    }
    client.Tick();
    Offer();
    if (!call.writing && client.Next(&stream.out)) {
      call.writing = true;
      mutex.Unlock();
      stream.StartWrite(&stream.out);
      mutex.Lock();
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
    WaitUntil(*options.clock, wake, mutex, until,
              [&]() WEIR_REQUIRES(mutex) { return stopped || redial || changed || call.broken || call.read_ready; });
  }
}

AdsClient::AdsClient(AdsClientHandler& handler, AdsClientOptions options)
    : core_(std::make_shared<Core>(handler, std::move(options))) {}
AdsClient::~AdsClient() { Stop(); }

void AdsClient::Start() {
  core_->thread = std::thread([core = core_] { core->Run(); });
}

void AdsClient::Stop() {
  {
    MutexLock lock(core_->mutex);
    core_->stopped = true;
    core_->wake.NotifyAll();
  }
  if (core_->thread.joinable()) core_->thread.join();
}

void AdsClient::Reconnect() {
  MutexLock lock(core_->mutex);
  core_->redial = true;
  core_->wake.NotifyAll();
}

void AdsClient::Accept(uint64_t id) {
  MutexLock lock(core_->mutex);
  (void)core_->client.Accept(id);
  core_->changed = true;
  core_->wake.NotifyAll();
}

void AdsClient::Resubscribe(const std::string& type_url, const std::vector<std::string>& names) {
  MutexLock lock(core_->mutex);
  core_->client.Resubscribe(type_url, names);
  core_->changed = true;
  core_->wake.NotifyAll();
}

void AdsClient::Reject(uint64_t id, const std::string& reason, const std::vector<std::string>& bad,
                       const std::vector<std::string>& held) {
  MutexLock lock(core_->mutex);
  (void)core_->client.Reject(id, reason, bad, held);
  core_->changed = true;
  core_->wake.NotifyAll();
}

SnapshotPtr AdsClient::Without(const Update& update, const std::vector<std::string>& bad) const {
  MutexLock lock(core_->mutex);
  return core_->client.Without(update, bad);
}

SnapshotPtr AdsClient::Accepted() const {
  MutexLock lock(core_->mutex);
  return core_->client.Accepted();
}

bool AdsClient::Complete() const {
  MutexLock lock(core_->mutex);
  return core_->client.Complete();
}

bool AdsClient::Connected() const {
  MutexLock lock(core_->mutex);
  return core_->connected;
}

}  // namespace weir::xds
