#include "cluster-agent/serve/telemetry.h"

#include <grpcpp/server_builder.h>

#include <deque>
#include <map>
#include <set>

#include "api/weir/agent/v1/traffic.grpc.pb.h"
#include "envoy/service/load_stats/v3/lrs.grpc.pb.h"
#include "libs/base/mutex.h"
#include "libs/obs/log.h"
#include "libs/rpc/raw.h"
#include "libs/rpc/server.h"
#include "libs/rpc/status.h"

namespace weir::agent {
namespace {

using envoy::service::load_stats::v3::LoadReportingService;
using envoy::service::load_stats::v3::LoadStatsRequest;
using envoy::service::load_stats::v3::LoadStatsResponse;

constexpr int kIntervalSeconds = 1;
constexpr size_t kMostStreams = 10'000;
constexpr size_t kMostStreamsPerWorkload = 4;  // A newer one takes the place of the oldest.

}  // namespace

struct Telemetry::Core {
  class Stream;

  using Reactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;
  class Loads : public LoadReportingService::WithRawCallbackMethod_StreamLoadStats<LoadReportingService::Service> {
   public:
    explicit Loads(Core* core) : core_(core) {}
    Reactor* StreamLoadStats(grpc::CallbackServerContext* context) override;

   private:
    Core* core_;
  };

  class Health : public v1::GatewayHealth::CallbackService {
   public:
    explicit Health(Core* core) : core_(core) {}
    grpc::ServerUnaryReactor* Report(grpc::CallbackServerContext* context, const v1::GatewayHealthReport* report,
                                     v1::GatewayHealthAck* ack) override {
      auto* reactor = context->DefaultReactor();
      const auto workload = core_->authenticate(rpc::BearerToken(*context));
      if (workload.ok()) ack->set_resend(!core_->ledger->OnHealth(*workload, *report));
      reactor->Finish(workload.ok() ? grpc::Status::OK : rpc::ToGrpc(workload.error()));
      return reactor;
    }

   private:
    Core* core_;
  };

  Core(Authenticate a, TrafficLedger* l) : authenticate(std::move(a)), ledger(l) {}

  const Authenticate authenticate;
  TrafficLedger* const ledger;
  Loads loads{this};
  Health health{this};
  Mutex mutex;
  bool stopped WEIR_GUARDED_BY(mutex) = false;
  std::set<Stream*> streams WEIR_GUARDED_BY(mutex);
  std::map<std::string, std::deque<Stream*>> by_workload
      WEIR_GUARDED_BY(mutex);  // Oldest first; what is cancelled stands here no more.
};

// One gateway's reports: the first message names the node, then counts come at the interval we ask for.
class Telemetry::Core::Stream : public Reactor {
 public:
  Stream(Core* core, grpc::CallbackServerContext* context) : core_(core), context_(context) {
    const Status refused = Begin(rpc::BearerToken(*context));
    if (!refused.ok()) Finish(rpc::ToGrpc(refused.error()));
  }

  void Cancel() { context_->TryCancel(); }  // Under the core's lock, so that the context is still there.

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    if (const Status read = rpc::Parse(&in_, &report_); !read.ok()) return Finish(rpc::ToGrpc(read));
    core_->ledger->OnLoad(workload_, report_);
    if (!std::exchange(answered_, true)) StartWrite(&answer_);
    StartRead(&in_);
  }

  void OnDone() override {
    {
      MutexLock lock(core_->mutex);
      core_->streams.erase(this);
      const auto own = core_->by_workload.find(workload_);
      if (own != core_->by_workload.end()) {
        std::erase(own->second, this);
        if (own->second.empty()) core_->by_workload.erase(own);
      }
    }
    delete this;
  }

 private:
  Status Begin(const std::string& token) {
    WEIR_ASSIGN(workload_, core_->authenticate(token));
    bool alone = false;
    {
      MutexLock lock(core_->mutex);
      if (core_->stopped || core_->streams.size() >= kMostStreams) {
        return ResourceExhausted("STREAM_LIMIT", "no more load report streams are taken");
      }
      std::deque<Stream*>& own = core_->by_workload[workload_];
      alone = own.empty();
      if (own.size() >= kMostStreamsPerWorkload) {
        own.front()->Cancel();
        own.pop_front();
      }
      core_->streams.insert(this);
      own.push_back(this);
    }
    if (alone) core_->ledger->OnOpened(workload_);  // Else the one that stands does not say again what it has said.
    LoadStatsResponse answer;
    answer.set_send_all_clusters(true);
    answer.mutable_load_reporting_interval()->set_seconds(kIntervalSeconds);
    rpc::Serialize(answer, &answer_);
    StartRead(&in_);
    return {};
  }

  Core* const core_;
  grpc::CallbackServerContext* const context_;
  std::string workload_;
  bool answered_ = false;
  grpc::ByteBuffer in_, answer_;
  LoadStatsRequest report_;
};

Telemetry::Core::Reactor* Telemetry::Core::Loads::StreamLoadStats(grpc::CallbackServerContext* context) {
  return new Stream(core_, context);
}

Telemetry::Telemetry(Authenticate authenticate, TrafficLedger* ledger)
    : core_(std::make_unique<Core>(std::move(authenticate), ledger)) {}
Telemetry::~Telemetry() = default;

void Telemetry::Register(grpc::ServerBuilder& builder) {
  builder.RegisterService(&core_->loads);
  builder.RegisterService(&core_->health);
}

void Telemetry::Shutdown() {
  MutexLock lock(core_->mutex);
  core_->stopped = true;
  for (Core::Stream* stream : core_->streams) stream->Cancel();
}

}  // namespace weir::agent
