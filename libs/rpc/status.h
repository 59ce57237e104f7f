#pragma once

#include <grpcpp/support/status.h>

#include <string_view>

#include "libs/base/result.h"

namespace weir::rpc {

// Code and message as gRPC has them; the whole error (reason, violations, request id) as a serialized
// google.rpc.Status whose one detail is Any(weir.v2.ErrorBody). The cause stays here: it is for the log.
grpc::Status ToGrpc(const Error& error, std::string_view request_id = "");
grpc::Status ToGrpc(const Status& status, std::string_view request_id = "");

// The way back; a message "REASON: text" without details is taken apart (AdmitCalls); a peer that is not ours gives
// reason "RPC_<CODE>".
Error FromGrpc(const grpc::Status& status);

}  // namespace weir::rpc
