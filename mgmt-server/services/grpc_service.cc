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
#include "libs/base/mutex.h"
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
      if (method->server_streaming()) {
        AddMethod(new grpc::internal::RpcServiceMethod(paths_.back().c_str(),
                                                       grpc::internal::RpcMethod::SERVER_STREAMING, nullptr));
        MarkMethodRawCallback(i, new grpc::internal::CallbackServerStreamingHandler<ByteBuffer, ByteBuffer>(
                                     [this, method](grpc::CallbackServerContext* context, const ByteBuffer* in) {
                                       return ServeStream(*method, *context, *in);
                                     }));
        continue;
      }
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
      call.idempotency_key = EtagText(rpc::Metadata(context, "idempotency-key"));
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

  // One call that is answered with a stream: one message after the other, as the caller takes them. Ends itself when
  // gRPC is done with it.
  class Stream : public grpc::ServerWriteReactor<ByteBuffer> {
   public:
    Stream(const google::protobuf::MethodDescriptor& method, grpc::CallbackServerContext& context)
        : context_(context), position_(method.output_type()->FindFieldByName("position")) {
      call.request_id = rpc::RequestId(context);
      call.token = rpc::BearerToken(context);
      call.peer = rpc::PeerAddress(context.peer());
      call.gone = gone_;
    }
    void OnCancel() override {
      *gone_ = true;
      MutexLock lock(mutex_);
      if (outflow_ != nullptr) outflow_->Leave();
      // What is awaited may never come now.
      if (awaiting_ && !std::exchange(finished_, true)) Finish(grpc::Status::CANCELLED);
    }
    void OnDone() override {
      {
        MutexLock lock(mutex_);
        done_ = true;
      }
      Release();
    }
    void OnWriteDone(bool ok) override {
      if (!ok) return End(grpc::Status::CANCELLED);
      WriteOn();
    }

    void Flow(std::shared_ptr<Outflow> outflow) {
      const std::shared_ptr<Stream> alive = Hold();  // A cancelled call may be done before this returns.
      {
        MutexLock lock(mutex_);
        outflow_ = std::move(outflow);
      }
      outflow_->OnCut([hold = Hold()] {
        MutexLock lock(hold->mutex_);  // The context lives until OnDone returns.
        if (!hold->done_) hold->context_.TryCancel();
      });
      Await();
    }
    void Refuse(const Error& error) {
      if (call.retry_after > Duration(0)) {
        const auto seconds = std::chrono::ceil<std::chrono::seconds>(call.retry_after).count();
        context_.AddTrailingMetadata("retry-after", std::to_string(seconds));
      }
      End(rpc::ToGrpc(error, call.request_id));
    }

    CallContext call;

   private:
    // gRPC's own reference and those of whoever may still call.
    struct Drop {
      void operator()(Stream* stream) const { stream->Release(); }
    };
    std::shared_ptr<Stream> Hold() {
      ++references_;
      return {this, Drop()};
    }
    void Release() {
      if (--references_ == 0) delete this;
    }

    void Await() {
      {
        MutexLock lock(mutex_);
        awaiting_ = true;
        if (*gone_ && !std::exchange(finished_, true)) {
          outflow_->Leave();  // OnCancel may have come before there was one.
          return Finish(grpc::Status::CANCELLED);
        }
        if (finished_) return;
      }
      const std::shared_ptr<Outflow> outflow = outflow_;  // This may be gone before Next returns.
      outflow->Next([hold = Hold()](Outflow::Piece piece) { hold->Take(std::move(piece)); });
    }
    void Take(Outflow::Piece piece) {
      {
        MutexLock lock(mutex_);
        awaiting_ = false;
        if (finished_) return;
      }
      piece_ = std::move(piece);
      at_ = 0;
      WriteOn();
    }
    void WriteOn() {
      if (at_ < piece_.items.size()) {
        const Outflow::Item& item = piece_.items[at_++];
        std::string bytes = item.said->Bytes();
        if (!item.position.empty()) AppendPosition(item.position, bytes);
        const grpc::Slice slice(bytes);
        out_ = ByteBuffer(&slice, 1);
        return StartWrite(&out_);
      }
      if (!piece_.last) return Await();
      if (!piece_.position.empty()) context_.AddTrailingMetadata("position", piece_.position);
      End(piece_.error ? rpc::ToGrpc(*piece_.error, call.request_id) : grpc::Status::OK);
    }
    // A message may come in parts, one behind the other (protobuf's encoding guide, "Last One Wins").
    void AppendPosition(const std::string& position, std::string& bytes) const {
      const int number = position_->number();
      bytes.push_back(static_cast<char>(number << 3 | 2));  // Below 16, and shorter than 128 * 128: one byte, then two.
      bytes.push_back(static_cast<char>((position.size() & 127) | 128));
      bytes.push_back(static_cast<char>(position.size() >> 7));
      bytes += position;
    }
    void End(const grpc::Status& status) {
      {
        MutexLock lock(mutex_);
        if (std::exchange(finished_, true)) return;
      }
      if (outflow_ != nullptr) outflow_->Leave();
      Finish(status);
    }

    grpc::CallbackServerContext& context_;
    const google::protobuf::FieldDescriptor* const position_;
    const std::shared_ptr<std::atomic<bool>> gone_ = std::make_shared<std::atomic<bool>>(false);
    std::atomic<int> references_{1};
    Mutex mutex_;
    bool awaiting_ WEIR_GUARDED_BY(mutex_) = false;
    bool finished_ WEIR_GUARDED_BY(mutex_) = false;
    bool done_ WEIR_GUARDED_BY(mutex_) = false;
    std::shared_ptr<Outflow> outflow_;  // Set once, before anybody but OnCancel reads it.
    Outflow::Piece piece_;
    size_t at_ = 0;
    ByteBuffer out_;
  };

  grpc::ServerWriteReactor<ByteBuffer>* ServeStream(const google::protobuf::MethodDescriptor& method,
                                                    grpc::CallbackServerContext& context, const ByteBuffer& in) {
    auto* const stream = new Stream(method, context);
    if (!pool_.Post(OwnerOf(method, stream->call), [this, &method, stream, &in] { RunStream(method, *stream, in); })) {
      stream->Refuse(ResourceExhausted("POOL_FULL", "the server is busy; try again"));
    }
    return stream;
  }

  void RunStream(const google::protobuf::MethodDescriptor& method, Stream& stream, const ByteBuffer& in) const {
    const MessagePtr request = Read(method, in);
    if (request == nullptr) return stream.Refuse(BadMessage(method));
    const auto answer = methods_.Call(method, stream.call, *request);
    if (!answer.ok()) return stream.Refuse(answer.error());
    stream.Flow(std::move(stream.call.stream));
  }

  // Admitted by its headers already, so it speaks for somebody or needs to speak for nobody.
  std::string OwnerOf(const google::protobuf::MethodDescriptor& method, const CallContext& call) const {
    const auto admission = methods_.Admit(method.full_name(), call.token);
    return admission.ok() && !admission->anonymous ? admission->principal : SourceOf(call.peer);
  }

  // Null: it cannot be read.
  static MessagePtr Read(const google::protobuf::MethodDescriptor& method, const ByteBuffer& in) {
    MessagePtr request(google::protobuf::MessageFactory::generated_factory()->GetPrototype(method.input_type())->New());
    ByteBuffer copy(in);
    grpc::ProtoBufferReader reader(&copy);
    if (!reader.status().ok() || !request->ParseFromZeroCopyStream(&reader)) return nullptr;
    return request;
  }
  static Error BadMessage(const google::protobuf::MethodDescriptor& method) {
    return InvalidArgument("BAD_MESSAGE", "the request is not a {}", method.input_type()->full_name());
  }

  grpc::ServerUnaryReactor* Serve(const google::protobuf::MethodDescriptor& method,
                                  grpc::CallbackServerContext& context, const ByteBuffer& in, ByteBuffer& out) {
    Call* const call = new Call(context, out);
    if (!pool_.Post(OwnerOf(method, call->call), [this, &method, call, &in] { Run(method, *call, in); })) {
      call->Refuse(ResourceExhausted("POOL_FULL", "the server is busy; try again"));
    }
    return call;
  }

  void Run(const google::protobuf::MethodDescriptor& method, Call& call, const ByteBuffer& in) const {
    const MessagePtr request = Read(method, in);
    if (request == nullptr) return call.Refuse(BadMessage(method));
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
