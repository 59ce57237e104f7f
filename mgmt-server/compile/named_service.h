#pragma once

#include <string>
#include <string_view>

#include "mgmt-server/compile/gateway_shape.h"

// Inside compile and for who judges by what it made: the service that a rule of an object names.
namespace weir::compile {

// The only way to ask what an agent reports of a service that a document names: who owns the namespace is asked before,
// each time, for the workspace may have lost it since the document was written (docs/adr/0004).
struct NamedService {
  bool outside = false;                         // The object's workspace does not own the namespace there.
  const agent::v1::Service* service = nullptr;  // nullptr = outside, or there is none. Lives as long as the World.
};
// `cluster`: FQN; `host`: "<namespace>/<host>", as v2::ServiceDestination has it.
NamedService FindNamedService(const World& world, const GatewayShape& shape, std::string_view cluster,
                              const std::string& host);
// Whether the object's workspace may send requests to that service there, be it there or not.
bool MayServe(const World& world, const GatewayShape& shape, std::string_view cluster, std::string_view host);

}  // namespace weir::compile
