#include "mgmt-server/services/reflection.h"

#include <google/protobuf/descriptor.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/support/server_callback.h>

#include <set>
#include <string>

#include "api/grpc/health/v1/health.pb.h"
#include "api/grpc/reflection/v1/reflection.pb.h"
#include "api/weir/v2/error.pb.h"
#include "google/rpc/status.pb.h"
#include "libs/base/fair_pool.h"
#include "libs/base/mutex.h"
#include "libs/rpc/raw.h"
#include "libs/rpc/server.h"
#include "libs/rpc/status.h"
#include "mgmt-server/services/call.h"
#include "mgmt-server/services/described_files.h"
#include "mgmt-server/services/in_work.h"

namespace weir::services {
namespace {

using grpc::ByteBuffer;
namespace messages = grpc::reflection::v1;

using Services = std::vector<const google::protobuf::ServiceDescriptor*>;

Services WithProtocols(Services services) {
  services.push_back(messages::ServerReflectionRequest::descriptor()->file()->service(0));
  services.push_back(grpc::health::v1::HealthCheckRequest::descriptor()->file()->service(0));
  return services;
}

class Stream;

}  // namespace

struct Reflection::State {
  State(const Services& services, const MethodTable& method_table, FairPool& fair_pool)
      : methods(method_table),
        pool(fair_pool),
        files(WithProtocols(services),
              {v2::ErrorBody::descriptor()->file(), google::rpc::Status::descriptor()->file()}) {}

  bool Enter(Stream* stream);
  void Leave(Stream* stream);

  const MethodTable& methods;
  FairPool& pool;
  const DescribedFiles files;
  InWork places{kStreamsOfOne, kStreamsOfAll};
  std::vector<std::unique_ptr<grpc::Service>> doors;
  Mutex mutex;
  std::set<Stream*> open WEIR_GUARDED_BY(mutex);
  bool stopped WEIR_GUARDED_BY(mutex) = false;
};

namespace {

// One stream: a question is read, answered on the pool, and only then the next one is read. Deletes itself when gRPC is
// done with it.
class Stream : public grpc::ServerBidiReactor<ByteBuffer, ByteBuffer> {
 public:
  Stream(Reflection::State& state, grpc::CallbackServerContext& context)
      : state_(state), context_(context), token_(rpc::BearerToken(context)), request_id_(rpc::RequestId(context)) {
    Begin();
  }

  void Cut() { context_.TryCancel(); }

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    if (!state_.pool.Post(owner_, [this] { Answer(); })) {
      End(ResourceExhausted("POOL_FULL", "the server is busy; try again"));
    }
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    StartRead(&in_);
  }
  void OnDone() override {
    state_.Leave(this);
    delete this;
  }

 private:
  void Begin() {
    const auto admission = Admit();
    if (!admission.ok()) return End(admission.error());
    owner_ = admission->principal;
    place_ = state_.places.Take(owner_, 1);
    if (place_ == nullptr) {
      return End(ResourceExhausted("TOO_MANY_STREAMS", "at most {} streams of reflection at once; end one first",
                                   Reflection::kStreamsOfOne));
    }
    if (!state_.Enter(this)) return End(Unavailable("STOPPING", "the server stops"));
    StartRead(&in_);
  }

  // The token may have ended since the stream began.
  Result<MethodTable::Admission> Admit() const { return state_.methods.Admit("", token_); }

  void Answer() {
    if (const auto admission = Admit(); !admission.ok()) return End(admission.error());
    messages::ServerReflectionRequest request;
    if (const Status parsed = rpc::Parse(&in_, &request); !parsed.ok()) return End(parsed.error());
    rpc::Serialize(state_.files.Answer(request), &out_);
    StartWrite(&out_);
  }
  void End(const Error& error) { Finish(rpc::ToGrpc(error, request_id_)); }

  Reflection::State& state_;
  grpc::CallbackServerContext& context_;
  const std::string token_, request_id_;
  std::string owner_;
  std::shared_ptr<const void> place_;
  ByteBuffer in_, out_;
};

class Door : public grpc::Service {
 public:
  Door(Reflection::State& state, std::string path) : path_(std::move(path)) {
    AddMethod(new grpc::internal::RpcServiceMethod(path_.c_str(), grpc::internal::RpcMethod::BIDI_STREAMING, nullptr));
    MarkMethodRawCallback(0,
                          new grpc::internal::CallbackBidiHandler<ByteBuffer, ByteBuffer>(
                              [&state](grpc::CallbackServerContext* context) { return new Stream(state, *context); }));
  }

 private:
  const std::string path_;  // gRPC keeps the pointer.
};

}  // namespace

bool Reflection::State::Enter(Stream* stream) {
  MutexLock lock(mutex);
  if (!stopped) open.insert(stream);
  return !stopped;
}

void Reflection::State::Leave(Stream* stream) {
  MutexLock lock(mutex);
  open.erase(stream);
}

Reflection::Reflection(const Services& services, const MethodTable& methods, FairPool& pool)
    : state_(std::make_unique<State>(services, methods, pool)) {
  for (const char* version : {"v1", "v1alpha"}) {
    state_->doors.push_back(std::make_unique<Door>(
        *state_, fmt::format("/grpc.reflection.{}.ServerReflection/ServerReflectionInfo", version)));
  }
}

Reflection::~Reflection() = default;

std::vector<grpc::Service*> Reflection::services() const {
  std::vector<grpc::Service*> services;
  for (const auto& door : state_->doors) services.push_back(door.get());
  return services;
}

void Reflection::Stop() {
  MutexLock lock(state_->mutex);
  state_->stopped = true;
  for (Stream* stream : state_->open) stream->Cut();  // OnDone waits for the lock: all of them are there.
}

}  // namespace weir::services
