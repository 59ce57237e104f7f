#pragma once

#include <string>
#include <string_view>

#include "mgmt-server/status/reach.h"

// Whether a service behind the gateways of a tier-2 object is served. For this room.
namespace weir::status {

// What the agent of a cluster says of the service that a route goes to.
enum class ServiceState : uint8_t { kServes, kOutsideWorkspace, kServiceMissing, kPortMissing, kNoEndpoint };
ServiceState StateOf(const compile::World& world, const compile::GatewayShape& tier2, const std::string& cluster,
                     const v2::ServiceDestination& destination);
// `cluster`: its name. Reason "" = it serves.
Shortfall OfService(ServiceState state, const v2::ServiceDestination& destination, std::string_view cluster);

// What the gateways of a tier-2 object in one cluster say of a service that exists there.
struct GatewaysWord {
  bool served = false;   // By one of them, checked.
  bool unknown = false;  // One will say, and has not yet.
  bool silent = false;   // One says nothing of it, or nobody hears it.
  bool away = false;     // One is not connected to its agent.
};
GatewaysWord OfGateways(const compile::World& world, const compile::GatewayShape& tier2, const std::string& cluster,
                        const v2::ServiceDestination& destination, const ReportedHealth& health);
Shortfall NobodyThere(const std::string& cluster);
Shortfall NobodyHealthy(const std::string& cluster, const v2::ServiceDestination& destination);

// All of that together: why gateways of a tier-2 object in this cluster do not serve a service; reason "" = they do, or
// nobody knows. `unchecked`: they will say, and have not yet.
Shortfall ServiceAt(const compile::World& world, const compile::GatewayShape& tier2, const std::string& cluster,
                    const v2::ServiceDestination& destination, const ReportedHealth& health, bool* unchecked);

// The same for who asks of a tier-1 object, and may not read what answers it (docs/adr/0003): the word stays, and
// nothing of the service is named. `cluster`: its name. Where the service stands the hops of an explanation say, to who
// may read their objects.
Shortfall Unnamed(const Shortfall& shortfall, std::string_view cluster);

}  // namespace weir::status
