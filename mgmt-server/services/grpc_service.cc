#include "mgmt-server/services/grpc_service.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/proto_buffer_writer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <chrono>
#include <list>
#include <string>

#include "libs/base/admission.h"
#include "libs/base/fair_pool.h"
#include "libs/rpc/server.h"
#include "libs/rpc/status.h"
#include "mgmt-server/services/call.h"

namespace weir::services {
namespace {

using grpc::ByteBuffer;

// What generated "raw callback" services do, for any descriptor: messages come and go as bytes, so one class serves
// all.
class TableService : public grpc::Service {
 public:
  TableService(const google::protobuf::ServiceDescriptor& service, const MethodTable& methods, FairPool& pool)
      : methods_(methods), pool_(pool) {
    for (int i = 0; i < service.method_count(); ++i) {
      const auto* method = service.method(i);
      paths_.push_back("/" + service.full_name() + "/" + method->name());  // gRPC keeps the pointer.
      AddMethod(
          new grpc::internal::RpcServiceMethod(paths_.back().c_str(), grpc::internal::RpcMethod::NORMAL_RPC, nullptr));
      MarkMethodRawCallback(i, new grpc::internal::CallbackUnaryHandler<ByteBuffer, ByteBuffer>(
                                   [this, method](grpc::CallbackServerContext* context, const ByteBuffer* in,
                                                  ByteBuffer* out) { return Serve(*method, *context, *in, *out); }));
    }
  }

 private:
  // One call; ends itself when gRPC is done with it.
  class Call : public grpc::ServerUnaryReactor {
   public:
    Call(grpc::CallbackServerContext& context, ByteBuffer& out) : context_(context), out_(out) {
      call.request_id = rpc::RequestId(context);
      call.token = rpc::BearerToken(context);
      call.peer = rpc::PeerAddress(context.peer());
      call.gone = gone_;
    }
    void OnCancel() override { *gone_ = true; }
    void OnDone() override { delete this; }

    void Answer(const Result<MessagePtr>& answer) {
      if (!answer.ok()) return Refuse(answer.error());
      bool own = false;
      Finish(grpc::GenericSerialize<grpc::ProtoBufferWriter, google::protobuf::Message>(**answer, &out_, &own));
    }
    void Refuse(const Error& error) {
      if (call.retry_after > Duration(0)) {
        const auto seconds = std::chrono::ceil<std::chrono::seconds>(call.retry_after).count();
        context_.AddTrailingMetadata("retry-after", std::to_string(seconds));
      }
      Finish(rpc::ToGrpc(error, call.request_id));
    }

    CallContext call;

   private:
    grpc::CallbackServerContext& context_;
    ByteBuffer& out_;
    const std::shared_ptr<std::atomic<bool>> gone_ = std::make_shared<std::atomic<bool>>(false);
  };

  grpc::ServerUnaryReactor* Serve(const google::protobuf::MethodDescriptor& method,
                                  grpc::CallbackServerContext& context, const ByteBuffer& in, ByteBuffer& out) {
    Call* const call = new Call(context, out);
    // Admitted by its headers already, so it speaks for somebody or needs to speak for nobody.
    const auto admission = methods_.Admit(method.full_name(), call->call.token);
    const std::string owner =
        admission.ok() && !admission->anonymous ? admission->principal : SourceOf(call->call.peer);
    if (!pool_.Post(owner, [this, &method, call, &in] { Run(method, *call, in); })) {
      call->Refuse(ResourceExhausted("POOL_FULL", "the server is busy; try again"));
    }
    return call;
  }

  void Run(const google::protobuf::MethodDescriptor& method, Call& call, const ByteBuffer& in) const {
    const MessagePtr request(
        google::protobuf::MessageFactory::generated_factory()->GetPrototype(method.input_type())->New());
    ByteBuffer copy(in);
    grpc::ProtoBufferReader reader(&copy);
    if (!reader.status().ok() || !request->ParseFromZeroCopyStream(&reader)) {
      return call.Refuse(InvalidArgument("BAD_MESSAGE", "the request is not a {}", method.input_type()->full_name()));
    }
    const auto answer = methods_.Call(method, call.call, *request);
    if (!answer.ok() || !call.call.later) return call.Answer(answer);
    // What it waits for may answer, and end the call, before this returns.
    const auto later = std::move(call.call.later);
    later([&call](const Result<MessagePtr>& late) { call.Answer(late); });
  }

  const MethodTable& methods_;
  FairPool& pool_;
  std::list<std::string> paths_;
};

}  // namespace

std::vector<std::unique_ptr<grpc::Service>> GrpcServices(
    const std::vector<const google::protobuf::ServiceDescriptor*>& services, const MethodTable& methods,
    FairPool& pool) {
  std::vector<std::unique_ptr<grpc::Service>> made;
  made.reserve(services.size());
  for (const auto* service : services) made.push_back(std::make_unique<TableService>(*service, methods, pool));
  return made;
}

}  // namespace weir::services
