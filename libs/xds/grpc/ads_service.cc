#include "libs/xds/grpc/ads_service.h"

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <set>
#include <thread>
#include <utility>

#include "envoy/service/discovery/v3/ads.grpc.pb.h"
#include "libs/base/mutex.h"
#include "libs/base/wait.h"
#include "libs/obs/log.h"
#include "libs/rpc/keep_awake.h"
#include "libs/rpc/raw.h"
#include "libs/rpc/server.h"
#include "libs/rpc/status.h"

namespace weir::xds {
namespace {

using envoy::service::discovery::v3::AggregatedDiscoveryService;
using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;
using envoy::service::discovery::v3::DiscoveryRequest;
using envoy::service::discovery::v3::DiscoveryResponse;

// Deadlines are seconds; this is how late one may be noticed.
constexpr auto kTick = std::chrono::milliseconds(100);

// What the service needs of a stream, whichever protocol it speaks.
class Session {
 public:
  virtual ~Session() = default;
  virtual void Refresh() = 0;  // Takes over the current snapshot of its key.
  virtual void Tick() = 0;
  virtual void EndIfUngranted() = 0;
  virtual void Close(const Error& reason) = 0;
};

}  // namespace

struct AdsService::Core : std::enable_shared_from_this<Core> {
  Core(AdsHandler& h, AdsServiceOptions o) : handler(h), options(std::move(o)) {}

  AdsHandler& handler;
  const AdsServiceOptions options;
  std::unique_ptr<grpc::Service> service;
  Mutex mutex;  // Taken inside a session's own lock, never the other way round.
  std::map<std::string, SnapshotPtr> snapshots WEIR_GUARDED_BY(mutex);
  std::map<uint64_t, std::shared_ptr<Session>> sessions WEIR_GUARDED_BY(mutex);
  std::map<std::string, std::set<uint64_t>> by_key WEIR_GUARDED_BY(mutex);
  std::map<std::string, std::set<uint64_t>> by_principal WEIR_GUARDED_BY(mutex);  // Oldest first.
  uint64_t streams WEIR_GUARDED_BY(mutex) = 0;
  bool stopped WEIR_GUARDED_BY(mutex) = false;
  CondVar wake;
  std::thread ticker;

  // Its number; what it takes the place of is to be closed by the caller.
  Result<uint64_t> Add(const std::string& principal, std::shared_ptr<Session> session,
                       std::shared_ptr<Session>* replaced) {
    MutexLock lock(mutex);
    if (stopped) return Unavailable("SHUTTING_DOWN", "the server is shutting down");
    std::set<uint64_t>& own = by_principal[principal];
    if (own.size() >= options.streams_per_principal) {
      *replaced = sessions.at(*own.begin());
      own.erase(own.begin());
    } else if (sessions.size() >= options.max_streams) {
      if (own.empty()) by_principal.erase(principal);
      return ResourceExhausted("STREAM_LIMIT", "{} streams are open already; no more are taken", sessions.size());
    }
    sessions.emplace(++streams, std::move(session));
    own.insert(streams);
    return streams;
  }
  void Name(uint64_t id, const std::string& key) {
    MutexLock lock(mutex);
    by_key[key].insert(id);
  }
  void Drop(uint64_t id, const std::string& principal, const std::string& key) {
    MutexLock lock(mutex);
    sessions.erase(id);
    const auto forget = [id](auto& index, const std::string& name) {
      const auto found = index.find(name);
      if (found == index.end()) return;
      found->second.erase(id);
      if (found->second.empty()) index.erase(found);
    };
    forget(by_principal, principal);
    forget(by_key, key);
  }
  SnapshotPtr Current(const std::string& key) {
    MutexLock lock(mutex);
    const auto found = snapshots.find(key);
    return found == snapshots.end() ? nullptr : found->second;
  }
  std::vector<std::shared_ptr<Session>> All() {
    MutexLock lock(mutex);
    std::vector<std::shared_ptr<Session>> all;
    all.reserve(sessions.size());
    for (const auto& [id, session] : sessions) all.push_back(session);
    return all;
  }
  std::vector<std::shared_ptr<Session>> OfKey(const std::string& key) {
    MutexLock lock(mutex);
    std::vector<std::shared_ptr<Session>> found;
    const auto ids = by_key.find(key);
    if (ids == by_key.end()) return found;
    for (const uint64_t id : ids->second) {
      if (const auto session = sessions.find(id); session != sessions.end()) found.push_back(session->second);
    }
    return found;
  }
  void TickLoop() {
    MutexLock lock(mutex);
    while (!stopped) {
      WaitFor(*options.clock, wake, mutex, kTick, [&]() WEIR_REQUIRES(mutex) { return stopped; });
      lock.Unlock();
      for (const auto& session : All()) session->Tick();
      lock.Lock();
    }
  }
};

namespace {

// One stream. The reactor owns itself until OnDone; the core keeps it findable until then.
template <typename Core, typename Request, typename Response>
class Stream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                     public Session,
                     public std::enable_shared_from_this<Stream<Core, Request, Response>> {
 public:
  Stream(std::shared_ptr<Core> core, grpc::CallbackServerContext* context)
      : core_(std::move(core)),
        context_(context),
        opened_(core_->options.clock->Now()),
        protocol_(core_->options.rules, *core_->options.clock,
                  [this](const AckEvent& event) WEIR_REQUIRES(mutex_) { events_.push_back(event); }) {}

  void Begin() {
    self_ = this->shared_from_this();
    const Status admitted = Admit();
    if (admitted.ok())
      this->StartRead(&in_bytes_);
    else
      Close(admitted.error());
  }

  void OnReadDone(bool ok) override {
    if (!ok) {  // The client is done, or gone.
      Close(Cancelled("CLIENT_LEFT", "the client closed the stream"));
      return;
    }
    bool first = false;
    Status status = rpc::Parse(&in_bytes_, &in_);
    {
      MutexLock lock(mutex_);
      ++reading_;
      first = !named_;
      if (status.ok()) status = protocol_.OnRequest(in_);
    }
    if (status.ok() && first) status = Introduce();
    if (status.ok()) {
      if (first) Refresh();
      Deliver();
      Pump();
    } else {
      Close(status.error());
    }
    if (!Closing()) this->StartRead(&in_bytes_);
    bool finish = false;
    {
      MutexLock lock(mutex_);
      --reading_;
      if (closing_ && reading_ == 0 && !writing_ && !finished_) finish = finished_ = true;
    }
    if (finish) this->Finish(FinalStatus());
  }

  void OnWriteDone(bool ok) override {
    bool finish = false;
    {
      MutexLock lock(mutex_);
      writing_ = false;
      if (closing_ && reading_ == 0 && !finished_) finish = finished_ = true;
    }
    if (finish)
      this->Finish(FinalStatus());
    else if (!ok)
      Close(Cancelled("CLIENT_LEFT", "a write failed"));
    else if (!Closing())
      Pump();
  }

  void OnCancel() override { Close(Cancelled("CLIENT_LEFT", "the call was cancelled")); }

  void OnDone() override {
    core_->Drop(id_, principal_, key_);
    MutexLock lock(mutex_);
    const Node node = named_ ? *protocol_.node() : Node();
    const std::string why = closing_ ? closing_->message : std::string("cancelled");
    const bool tell = named_;
    lock.Unlock();
    if (tell) core_->handler.OnStream({AdsStreamEvent::Kind::kClosed, id_, key_, node, why});
    self_.reset();  // Last line: this may be the end of it.
  }

  void Refresh() override {
    {
      MutexLock lock(mutex_);
      if (!named_ || finished_) return;
      protocol_.SetSnapshot(core_->Current(key_));  // Read under our lock: the newest always comes last.
    }
    Pump();
  }

  void Tick() override {
    Status status;
    {
      MutexLock lock(mutex_);
      if (finished_ || closing_) return;
      const MonoTime now = core_->options.clock->Now();
      if (writing_ && now - write_began_ > core_->options.send_timeout) {
        status = Unavailable("SEND_TIMEOUT", "the client does not read");
      } else if (!named_) {
        if (now - opened_ > core_->options.first_request_timeout) {
          status = DeadlineExceeded("NO_REQUEST", "no first request");
        }
      } else {
        status = protocol_.Tick();
      }
    }
    if (!status.ok())
      Close(status.error());
    else
      Pump();
  }

  void EndIfUngranted() override {
    std::function<Status()> still_valid;
    {
      MutexLock lock(mutex_);
      if (finished_ || closing_) return;
      still_valid = still_valid_;
    }
    if (!still_valid) return;
    if (const Status valid = still_valid(); !valid.ok()) Close(valid.error());
  }

  // With a write in flight the call is cancelled first: the write may never end by itself.
  void Close(const Error& reason) override {
    bool finish = false, cancel = false;
    {
      MutexLock lock(mutex_);
      if (closing_ || finished_) return;
      closing_ = reason;
      if (!writing_ && reading_ == 0) finish = finished_ = true;
      cancel = writing_;
      if (cancel) ++reading_;  // Keeps the call until it is cancelled.
    }
    if (cancel) {
      context_->TryCancel();
      MutexLock lock(mutex_);
      if (--reading_ == 0 && !writing_ && !finished_) finish = finished_ = true;
    }
    if (finish) this->Finish(FinalStatus());
  }

 private:
  grpc::Status FinalStatus() {
    MutexLock lock(mutex_);
    return closing_->code == Code::kCancelled ? grpc::Status::OK : rpc::ToGrpc(*closing_);
  }

  bool Closing() {
    MutexLock lock(mutex_);
    return closing_.has_value();
  }

  // Once, by the headers alone: who is it, and is there room?
  Status Admit() {
    AdsPeer peer;
    peer.address = context_->peer();
    if (const std::string id = rpc::PeerSpiffeId(*context_); !id.empty()) peer.uris.push_back(id);
    for (const auto& [key, value] : context_->client_metadata()) {
      peer.metadata.emplace(std::string(key.data(), key.size()), std::string(value.data(), value.size()));
    }
    peer.chain_pem = rpc::PeerChain(*context_);
    WEIR_ASSIGN(AdsGrant grant, core_->handler.Authenticate(peer));
    principal_ = std::move(grant.principal);
    still_valid_ = std::move(grant.still_valid);
    std::shared_ptr<Session> replaced;
    WEIR_ASSIGN(id_, core_->Add(principal_, self_, &replaced));
    if (replaced) replaced->Close(Aborted("REPLACED", "a newer stream of {} took its place", principal_));
    return {};
  }

  // Once, after the first request: what does it see?
  Status Introduce() {
    MutexLock lock(mutex_);
    const Node node = *protocol_.node();
    lock.Unlock();
    WEIR_ASSIGN(std::string key, core_->handler.KeyOf(principal_, node));
    lock.Lock();
    key_ = std::move(key);
    named_ = true;
    lock.Unlock();
    core_->Name(id_, key_);
    core_->handler.OnStream({AdsStreamEvent::Kind::kOpened, id_, key_, node, ""});
    lock.Lock();
    introduced_ = true;
    return {};
  }

  // Observers run without our lock, in order: one thread at a time delivers. The ticker may have written already, but
  // nobody hears an answer of a stream before he has heard of the stream.
  void Deliver() {
    MutexLock lock(mutex_);
    if (delivering_ || !introduced_) return;
    delivering_ = true;
    while (!events_.empty()) {
      std::vector<AckEvent> batch;
      batch.swap(events_);
      lock.Unlock();
      for (const AckEvent& event : batch) core_->handler.OnAck(key_, id_, event);
      lock.Lock();
    }
    delivering_ = false;
  }

  void Pump() {
    bool write = false;
    bool report = false;
    {
      MutexLock lock(mutex_);
      if (!named_ || writing_ || closing_ || finished_) return;
      write = protocol_.Next(&out_);
      if (write) {
        if constexpr (std::is_same_v<Response, DeltaDiscoveryResponse>) {
          out_.set_system_version_info(core_->handler.Origin());
        }
        rpc::Serialize(out_, &out_bytes_);
        writing_ = true;
        write_began_ = core_->options.clock->Now();
      }
      report = !events_.empty();
    }
    if (write) this->StartWrite(&out_bytes_);
    if (report) Deliver();
  }

  const std::shared_ptr<Core> core_;
  grpc::CallbackServerContext* const context_;
  const MonoTime opened_;
  const rpc::KeepAwake awake_;
  std::shared_ptr<Stream> self_;
  grpc::ByteBuffer in_bytes_, out_bytes_;  // gRPC's while it reads and while writing_.
  Request in_;                             // Of the thread that was told.
  Response out_;
  // Written once: by Admit; the key before named_.
  std::string principal_;
  std::function<Status()> still_valid_;
  uint64_t id_ = 0;
  std::string key_;
  Mutex mutex_;
  ServerStream protocol_ WEIR_GUARDED_BY(mutex_);
  std::vector<AckEvent> events_ WEIR_GUARDED_BY(mutex_);
  bool named_ WEIR_GUARDED_BY(mutex_) = false;
  bool introduced_ WEIR_GUARDED_BY(mutex_) = false;  // The handler has been told of it.
  bool writing_ WEIR_GUARDED_BY(mutex_) = false;
  // Requests being dealt with: Finish waits, or the next read would be started on a dead call.
  int reading_ WEIR_GUARDED_BY(mutex_) = 0;
  bool finished_ WEIR_GUARDED_BY(mutex_) = false;  // Finish was called: nothing may be started any more.
  bool delivering_ WEIR_GUARDED_BY(mutex_) = false;
  MonoTime write_began_ WEIR_GUARDED_BY(mutex_){};
  std::optional<Error> closing_ WEIR_GUARDED_BY(mutex_);
};

using RawService = AggregatedDiscoveryService::WithRawCallbackMethod_StreamAggregatedResources<
    AggregatedDiscoveryService::WithRawCallbackMethod_DeltaAggregatedResources<AggregatedDiscoveryService::Service>>;

template <typename Core>
class Service final : public RawService {
 public:
  using Reactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;
  explicit Service(std::weak_ptr<Core> core) : core_(std::move(core)) {}

  Reactor* StreamAggregatedResources(grpc::CallbackServerContext* context) override {
    return Open<DiscoveryRequest, DiscoveryResponse>(context);
  }
  Reactor* DeltaAggregatedResources(grpc::CallbackServerContext* context) override {
    return Open<DeltaDiscoveryRequest, DeltaDiscoveryResponse>(context);
  }

 private:
  template <typename Request, typename Response>
  Reactor* Open(grpc::CallbackServerContext* context) {
    const auto stream = std::make_shared<Stream<Core, Request, Response>>(core_.lock(), context);
    stream->Begin();
    return stream.get();
  }

  std::weak_ptr<Core> core_;
};

}  // namespace

AdsService::AdsService(AdsHandler& handler, AdsServiceOptions options)
    : core_(std::make_shared<Core>(handler, std::move(options))) {
  core_->service = std::make_unique<Service<Core>>(core_);
  core_->ticker = std::thread([core = core_.get()] { core->TickLoop(); });
}

AdsService::~AdsService() { Shutdown(); }

grpc::Service* AdsService::service() { return core_->service.get(); }

void AdsService::SetSnapshot(const std::string& key, SnapshotPtr snapshot) {
  {
    MutexLock lock(core_->mutex);
    core_->snapshots[key] = std::move(snapshot);
  }
  for (const auto& session : core_->OfKey(key)) session->Refresh();
}

SnapshotPtr AdsService::GetSnapshot(const std::string& key) const { return core_->Current(key); }

void AdsService::Remove(const std::string& key, const std::string& reason) {
  {
    MutexLock lock(core_->mutex);
    core_->snapshots.erase(key);
  }
  if (reason.empty()) return;
  for (const auto& session : core_->OfKey(key)) session->Close(PermissionDenied("REMOVED", "{}", reason));
}

void AdsService::EndUngrantedStreams() {
  for (const auto& session : core_->All()) session->EndIfUngranted();
}

size_t AdsService::StreamCount() const {
  MutexLock lock(core_->mutex);
  return core_->sessions.size();
}

size_t AdsService::StreamCount(const std::string& key) const {
  MutexLock lock(core_->mutex);
  const auto found = core_->by_key.find(key);
  return found == core_->by_key.end() ? 0 : found->second.size();
}

void AdsService::Shutdown() {
  {
    MutexLock lock(core_->mutex);
    core_->stopped = true;
  }
  core_->wake.NotifyAll();
  if (core_->ticker.joinable()) core_->ticker.join();
  for (const auto& session : core_->All()) {
    session->Close(Unavailable("SHUTTING_DOWN", "the server is shutting down"));
  }
}

}  // namespace weir::xds
