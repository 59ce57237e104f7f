#pragma once

#include <memory>
#include <vector>

namespace google::protobuf {
class ServiceDescriptor;
}
namespace grpc {
class Service;
}
namespace weir {
class FairPool;
}

namespace weir::services {

class MethodTable;

// gRPC reflection (grpc.reflection.v1 and v1alpha, which are the same on the wire) over the public services, for
// callers whose token speaks for somebody; the door refuses others by their headers. Outlives the grpc::Server.
class Reflection {
 public:
  // Streams at once of one principal and of all; above, RESOURCE_EXHAUSTED TOO_MANY_STREAMS.
  static constexpr size_t kStreamsOfOne = 8;
  static constexpr size_t kStreamsOfAll = 256;

  Reflection(const std::vector<const google::protobuf::ServiceDescriptor*>& services, const MethodTable& methods,
             FairPool& pool);
  ~Reflection();

  std::vector<grpc::Service*> services() const;
  // Ends what streams are open, so that the server need not wait for them. Not from gRPC's own threads.
  void Stop();

  struct State;  // Of the implementation.

 private:
  std::unique_ptr<State> state_;
};

}  // namespace weir::services
