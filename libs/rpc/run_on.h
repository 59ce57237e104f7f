#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <string>

#include "libs/base/fair_pool.h"

namespace weir::rpc {

// A unary callback method by a blocking function `work() -> grpc::Status` on the pool, so that gRPC's own threads never
// wait; `owner` as FairPool has it. What does not fit there is answered with RESOURCE_EXHAUSTED POOL_FULL.
grpc::ServerUnaryReactor* RunOn(FairPool& pool, const std::string& owner, grpc::CallbackServerContext* context,
                                std::function<grpc::Status()> work);

}  // namespace weir::rpc
