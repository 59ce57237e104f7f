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

#include <list>
#include <string>

#include "libs/rpc/pool.h"
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
  TableService(const google::protobuf::ServiceDescriptor& service, const MethodTable& methods, rpc::Pool& pool)
      : methods_(methods), pool_(pool) {
    for (int i = 0; i < service.method_count(); ++i) {
      const auto* method = service.method(i);
      paths_.push_back("/" + service.full_name() + "/" + method->name());  // gRPC keeps the pointer.
      AddMethod(
          new grpc::internal::RpcServiceMethod(paths_.back().c_str(), grpc::internal::RpcMethod::NORMAL_RPC, nullptr));
      MarkMethodRawCallback(
          i, new grpc::internal::CallbackUnaryHandler<ByteBuffer, ByteBuffer>(
                 [this, method](grpc::CallbackServerContext* context, const ByteBuffer* in, ByteBuffer* out) {
                   return rpc::RunOn(pool_, context,
                                     [this, method, context, in, out] { return Serve(*method, *context, *in, *out); });
                 }));
    }
  }

 private:
  grpc::Status Serve(const google::protobuf::MethodDescriptor& method, const grpc::CallbackServerContext& context,
                     const ByteBuffer& in, ByteBuffer& out) const {
    CallContext call;
    call.request_id = rpc::RequestId(context);
    call.token = rpc::BearerToken(context);
    call.peer = context.peer();
    const MessagePtr request(
        google::protobuf::MessageFactory::generated_factory()->GetPrototype(method.input_type())->New());
    ByteBuffer copy(in);
    grpc::ProtoBufferReader reader(&copy);
    if (!reader.status().ok() || !request->ParseFromZeroCopyStream(&reader)) {
      return rpc::ToGrpc(InvalidArgument("BAD_MESSAGE", "the request is not a {}", method.input_type()->full_name()),
                         call.request_id);
    }
    auto answer = methods_.Call(method, call, *request);
    if (!answer.ok()) return rpc::ToGrpc(answer.error(), call.request_id);
    bool own = false;
    const grpc::Status serialized =
        grpc::GenericSerialize<grpc::ProtoBufferWriter, google::protobuf::Message>(**answer, &out, &own);
    return serialized;
  }

  const MethodTable& methods_;
  rpc::Pool& pool_;
  std::list<std::string> paths_;
};

}  // namespace

std::vector<std::unique_ptr<grpc::Service>> GrpcServices(
    const std::vector<const google::protobuf::ServiceDescriptor*>& services, const MethodTable& methods,
    rpc::Pool& pool) {
  std::vector<std::unique_ptr<grpc::Service>> made;
  for (const auto* service : services) made.push_back(std::make_unique<TableService>(*service, methods, pool));
  return made;
}

}  // namespace weir::services
