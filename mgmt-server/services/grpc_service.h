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

// gRPC services that answer by the method table, one for each descriptor. Handlers run on the pool. All must outlive
// the grpc::Server.
std::vector<std::unique_ptr<grpc::Service>> GrpcServices(
    const std::vector<const google::protobuf::ServiceDescriptor*>& services, const MethodTable& methods,
    FairPool& pool);

}  // namespace weir::services
