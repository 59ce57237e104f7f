#include "libs/rpc/run_on.h"

#include <utility>

#include "libs/rpc/status.h"

namespace weir::rpc {

grpc::ServerUnaryReactor* RunOn(FairPool& pool, const std::string& owner, grpc::CallbackServerContext* context,
                                std::function<grpc::Status()> work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (!pool.Post(owner, [reactor, work = std::move(work)] { reactor->Finish(work()); })) {
    reactor->Finish(ToGrpc(ResourceExhausted("POOL_FULL", "the server is busy; try again")));
  }
  return reactor;
}

}  // namespace weir::rpc
