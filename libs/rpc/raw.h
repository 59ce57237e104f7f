#pragma once

#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/byte_buffer.h>

#include "libs/base/result.h"

namespace weir::rpc {

// For streams that take messages as bytes (WithRawCallbackMethod_...): gRPC tells a message that it cannot parse and
// the end of the stream by the same word.

// INVALID_ARGUMENT BAD_MESSAGE: the bytes are no such message. Takes the bytes.
template <typename Message>
Status Parse(grpc::ByteBuffer* bytes, Message* out) {
  if (grpc::SerializationTraits<Message>::Deserialize(bytes, out).ok()) return {};
  return InvalidArgument("BAD_MESSAGE", "the message is no {}", Message::descriptor()->full_name());
}

// Replaces what stands in `out`.
template <typename Message>
void Serialize(const Message& message, grpc::ByteBuffer* out) {
  out->Clear();  // gRPC aborts on one that is in use.
  bool own = false;
  (void)grpc::SerializationTraits<Message>::Serialize(message, out, &own);  // Into memory: it cannot fail.
}

}  // namespace weir::rpc
