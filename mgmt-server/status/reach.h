#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "libs/traffic/availability.h"
#include "mgmt-server/compile/compile.h"
#include "mgmt-server/compile/gateway_shape.h"
#include "mgmt-server/status/pieces.h"

namespace weir::agent::v1 {
class ClusterHealth;
}
namespace weir::v2 {
class ServiceDestination;
}

// What a request of a host would meet, from what is pushed, what agents report of their clusters, and what gateways say
// of the clusters behind them. Pure.
namespace weir::status {

// How far one gateway is to be heard.
enum class Voice : uint8_t {
  kHeard,      // It says who can serve.
  kMute,       // Its kind never does (stock Envoy): what is pushed is all that is known.
  kNotYet,     // It will, and has not yet.
  kAway,       // Its agent is there, and it is not connected to it.
  kAgentAway,  // The agent of its cluster is not connected.
  kAstray,     // That agent does not follow this server's state.
};

// Why one route is not served.
struct Shortfall {
  std::string reason;   // NO_RECEIVER, ALL_DRAINED, GATEWAYS_DOWN, SERVICE_MISSING, PORT_MISSING, NO_ENDPOINT, ...
  std::string message;  // Names host, route and clusters.
};

// What gateways reported; what is older than its sender's silence allows is not said.
class ReportedHealth {
 public:
  virtual ~ReportedHealth() = default;
  virtual Voice VoiceOf(const std::string& cluster, const std::string& workload) const = 0;
  // Of one destination set at one gateway ("<namespace>/<name>" of this cluster's FQN), the cluster `target` (a name)
  // behind it; nullptr = nothing is known.
  virtual const agent::v1::ClusterHealth* Find(const std::string& cluster, const std::string& workload,
                                               const std::string& set, const std::string& target) const = 0;
  // What keeps the agent of a cluster (FQN) from following this server; reason "" = nothing.
  virtual Shortfall Plight(const std::string& cluster) const = 0;
};

// One route as one tier-1 gateway spreads it.
struct RouteReach {
  std::string gateway_cluster;  // FQN.
  std::string workload;
  std::string host;
  std::string route;  // "<server name>/<rule index>".
  std::string path;   // Of requests that tier-2 gateways treat alike: "/a"; "" = all that the route takes.
  traffic::Mode mode = traffic::Mode::kProportional;
  bool panic = false;
  std::vector<traffic::Destination> destinations;
  std::vector<Shortfall> details;  // By destination: why it cannot serve; reason "" = it can.
  Voice voice = Voice::kMute;
  std::vector<bool> unchecked;  // By destination: nobody has found out whether it can.
};
// Some destination may serve, and all that may are unchecked.
bool IsUnchecked(const std::vector<traffic::Destination>& destinations, const std::vector<bool>& unchecked);
// All routes of a tier-1 object that spread over clusters, at each of its gateways: each as often as rules of tier-2
// objects make a difference for its paths, one behind the other. For a gateway does not send a path to a cluster where
// nobody can serve its own rule, whatever other rules of the host there serve.
std::vector<RouteReach> RoutesOf(const compile::Compilation& compilation, const compile::GatewayShape& tier1,
                                 const ReportedHealth& health);

// One of them: a destination set of what a cluster is told, at one of its gateways. nullopt = it goes to no cluster.
std::optional<RouteReach> RouteAt(Pieces& pieces, const compile::GatewayShape& tier1, const std::string& cluster,
                                  const compile::Key& set, const std::string& workload, const ReportedHealth& health);
// Why what a gateway of this cluster does may be another thing than what is pushed, for people; "" = it is not.
std::string DoubtOf(Voice voice, std::string_view cluster);

// How much of an object is served.
struct Reach {
  static constexpr size_t kMostKept = 8;
  size_t routes = 0;
  size_t unserved = 0;
  std::vector<Shortfall> shortfalls;  // The first of them.
};
// Of a tier-1 object: its routes (by path, see RoutesOf) at each of its gateways, but those of which nobody knows. Of a
// tier-2 object: its rules; one that is served in one of its clusters is served, of those that tier-1 gateways send to
// where there is one. What may be served and is unchecked is not served yet.
Reach ReachOf(const compile::Compilation& compilation, std::string_view fqn, const ReportedHealth& health);

// The status reason of a word of libs/traffic: "NO_RECEIVER" for kNoGateway, "ALL_DRAINED" for kDrained.
std::string ReasonName(traffic::Reason reason);
// The status reason of a route that nobody serves, from what is wrong with its destinations: of that the most telling,
// which is what is closest to the application.
std::string WhyNobody(const std::vector<Shortfall>& details, traffic::Reason nobody);

}  // namespace weir::status
