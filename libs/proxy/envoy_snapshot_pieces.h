#pragma once

// The pieces that a snapshot is put together from, one per Envoy resource. Internal to envoy_snapshot*.cc.

#include <memory>
#include <string>
#include <vector>

#include "libs/base/result.h"
#include "libs/identity/generation.h"
#include "libs/proxy/snapshot.h"

namespace google::protobuf {
class Message;
}

namespace weir::proxy::envoy_v3 {

// UNSUPPORTED_FIELD with the path of the first set field that the manifest does not name.
Status CheckFields(const google::protobuf::Message& message);

struct HostPiece {
  std::shared_ptr<const traffic::VirtualHost> host;
  std::shared_ptr<const std::vector<RouteAction>> actions;
  std::shared_ptr<const Callers> callers;  // Null: not on chains by host.
};
struct RoutesPiece {
  std::string name;
  bool vhds = false;
  std::vector<HostPiece> hosts;
};
// Where one chain takes its routes: by name, or inline.
struct ChainRoutes {
  std::string rds;
  std::shared_ptr<const RoutesPiece> inline_routes;
};
struct ListenerPiece {
  std::vector<Listener> listeners;  // One per address; chains without routes.
  std::vector<ChainRoutes> routes;  // Of each chain.
};
struct DestinationSetPiece {
  DestinationSet destination;  // Without localities, if by EDS.
  bool eds = false;
  std::string endpoints_name;
};
struct EndpointsPiece {
  std::vector<Locality> localities;
  uint16_t check_port = 0;            // Where to check them all; 0 = where they serve.
  std::vector<std::string> left_out;  // Why an endpoint was not taken, one line each.
};

// Each takes the serialized message and the name it came under; the Error's message begins with the field's path.
Result<std::shared_ptr<const ListenerPiece>> ReadListener(const std::string& name, const std::string& bytes);
Result<std::shared_ptr<const RoutesPiece>> ReadRoutes(const std::string& name, const std::string& bytes);
Result<std::shared_ptr<const HostPiece>> ReadVirtualHost(const std::string& name, const std::string& bytes);
Result<std::shared_ptr<const DestinationSetPiece>> ReadDestinationSet(const std::string& name,
                                                                      const std::string& bytes);
Result<std::shared_ptr<const EndpointsPiece>> ReadEndpoints(const std::string& name, const std::string& bytes);
// Secret `trust`.
struct TrustPiece {
  std::string roots_pem;
  std::shared_ptr<const identity::ValidGenerations> generations = nullptr;
};
Result<std::shared_ptr<const TrustPiece>> ReadTrust(const std::string& name, const std::string& bytes);

}  // namespace weir::proxy::envoy_v3
